"""A simulated broker process: the real core, and the loop's work around it."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from storagebus.broker.core import BrokerCore
from storagebus.broker.loop import FENCE_S, GRACE_S
from storagebus.broker.messages import Reason
from storagebus.broker.sessions import ClientSession, Door, Peer
from storagebus.broker.sessions import Stream as BrokerStream
from storagebus.broker.settings import BrokerSettings
from storagebus.broker.wire import Message, Type

from .network import OUT, Wire
from .node import Node
from .violation import require
from .watch import OneEnd
from .workernode import WorkerNode

if TYPE_CHECKING:
    from .world import World

PUT_BYTES_MAX = 65_536
RETIRING_S = 0.05
FAREWELL_S = 0.05


class BrokerNode(Node):
    """A broker.

    Args:
        world: where it runs.
        index: which of the brokers.

    Attributes:
        core: the machine.
        held_bytes: bytes of streams that are on their way to it or from it, as the
            network counts them.
    """

    def __init__(self, world: World, index: int) -> None:
        super().__init__(world, f"b{index}")
        self.index = index
        self.held_bytes = 0
        self._wires: dict[bytes, Wire] = {}
        self._ends = OneEnd()
        self._retiring_since: float | None = None
        self._has_left = False
        options = world.options
        settings = BrokerSettings(
            (),
            (),
            broker_id=self.name,
            services=tuple(world.services),
            streams_max=options.streams_max,
            floor_bytes=options.floor_bytes,
            pool_bytes=options.pool_bytes,
            queue_calls_max=options.queue_calls_max,
        )
        self.core = BrokerCore(
            settings,
            seed=world.chance.randrange(1 << 40),
            chance=Random(world.chance.random()),
            now=self.now(),
        )

    def start(self) -> None:
        """Begin to serve."""
        self._arm()

    def accepted(self, wire: Wire) -> None:
        """A peer has connected; a broker is not told."""
        self._wires[wire.routing_id] = wire

    def lost(self, wire: Wire) -> None:
        """The news that a connection is gone; it does not say which."""
        self._wires.pop(wire.routing_id, None)
        self.core.disconnected(_peer(wire).door, self.now())

    def arrived(self, wire: Wire, message: Message) -> None:
        """A message has come."""
        self.core.received(_peer(wire), message, self.now())

    def hear_of(self, cookie: str, crashed: bool) -> None:
        """Somebody says how a worker's process has ended."""
        self.core.ended(cookie, crashed=crashed)

    def retire(self) -> None:
        """Somebody sends SIGTERM: the work of the loop's `_retire`."""
        if self._retiring_since is None:
            self._retiring_since = self.now()
            self.core.retire(self.now())

    def settle(self) -> None:
        outbox = self.core.outbox
        while outbox:
            send = outbox.popleft()
            wire = self._wires.get(send.peer.routing_id)
            if wire is None or not wire.send(OUT, send.message):
                self.core.undelivered(send, self.now())
            elif send.peer.door is Door.CLIENTS:
                self._ends.sent(send.peer.routing_id, send.message)
        self.core.notices.clear()
        self.check()
        if self._retiring_since is not None and not self._has_left:
            self._leave_when_deserted(self._retiring_since)

    def next_deadline(self) -> float:
        due = self.core.next_deadline()
        if self._retiring_since is not None:
            due = min(due, self.now() + RETIRING_S)
        return due

    def tick(self) -> None:
        self.core.tick(self.now())

    def _leave_when_deserted(self, since: float) -> None:
        past_s = self.now() - since
        core = self.core
        may_stay = past_s < FENCE_S or not core.is_idle
        if not core.is_deserted and past_s < GRACE_S and may_stay:
            return
        self._has_left = True
        for session in core.sessions:
            farewell = Message(Type.GOAWAY, code=Reason.SHUTDOWN, epoch=session.epoch)
            wire = self._wires.get(session.peer.routing_id)
            if wire is not None:
                wire.send(OUT, farewell)
        self.world.loop.after(FAREWELL_S, self.world.broker_ended, self)

    def check(self) -> None:
        """What always holds."""
        core = self.core
        budget = core.switch.budget
        require(budget.in_flight <= budget.in_flight_max, "more in flight than granted")
        require(0 <= budget.pooled <= budget.pool_bytes, "the pool is overdrawn")
        require(core.switch.unread.bytes >= 0, "less than nothing is unread")
        streams: dict[BrokerStream, None] = {}
        clients = 0
        for session in core.sessions:
            streams.update(dict.fromkeys(session.streams.values()))
            if isinstance(session, ClientSession):
                clients += 1
                continue
            held = [stream.holds_stream for stream in session.streams.values()]
            require(session.open == sum(held), "a worker's streams are miscounted")
            calls = len(held) - sum(held)
            require(session.calls == calls, "a worker's calls are miscounted")
        flows = [stream.flow for stream in streams if stream.flow is not None]
        require(budget.flows == len(flows), "flows are miscounted")
        in_flight = sum(flow.in_flight for flow in flows)
        require(budget.in_flight == in_flight, "bytes in flight are miscounted")
        waiting = sum(stream.worker is None for stream in streams)
        queued = sum(len(backlog) for backlog in core.switch.backlogs.values())
        require(queued == waiting, "what waits is miscounted")

    def check_rest(self) -> None:
        """Nothing goes on: nothing may be left but sessions."""
        core = self.core
        budget = core.switch.budget
        for session in core.sessions:
            left = [str(s.opened.code) for s in session.streams.values()]
            require(not left, f"{self.name} has streams left: {left}")
        in_use = (budget.flows, budget.in_flight, budget.pooled)
        require(in_use == (0, 0, 0), f"{self.name} has budget in use: {in_use}")
        for backlog in core.switch.backlogs.values():
            require(not len(backlog) and not backlog.bytes, "a backlog is left")

    def check_alone(self) -> None:
        """All clients are gone: nothing may be left of them."""
        core = self.core
        clients = [s for s in core.sessions if isinstance(s, ClientSession)]
        require(not clients, f"{self.name} has sessions of clients that are gone")
        require(core.switch.unread.bytes == 0, "bytes of nobody are unread")
        require(not core.switch.unread.peers(), "an account of nobody is left")


def _peer(wire: Wire) -> Peer:
    is_worker = isinstance(wire.peer, WorkerNode)
    return Peer(Door.WORKERS if is_worker else Door.CLIENTS, wire.routing_id)
