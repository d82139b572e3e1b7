"""The virtual network: connections that keep their order, and lose what was under way.

It behaves as ZeroMQ over TCP does: a peer dials until it is connected; messages of one
connection arrive in order, of different ones in any; a message that was taken may never
arrive; each side learns of a broken connection in its own time, and until then its
messages vanish; who reads nothing is written to until the window is full.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from storagebus.broker.wire import Message, Type, decode, encode

from .loop import Loop
from .options import Options

if TYPE_CHECKING:
    from .brokernode import BrokerNode
    from .node import PeerNode
    from .transcript import Transcript

DIAL_S_MIN, DIAL_S_MAX = 0.02, 0.5
HEARTBEAT_S = 4.0
"""After this a silent connection is given up; up to a second later."""
NEWS_S_MAX = 0.01
"""Between the end of a connection and the news of it."""
DUPLICABLE = frozenset(
    {
        Type.HELLO,
        Type.WELCOME,
        Type.PING,
        Type.PONG,
        Type.DATA,
        Type.CREDIT,
        Type.CANCEL,
        Type.DETACH,
        Type.RESULT,
        Type.ERROR,
    }
)
"""Messages that may come once more, and late: the protocol says they do no harm."""
BYTES_OF_STREAMS = frozenset({Type.DATA, Type.RESULT})
IN, OUT = 0, 1
"""Towards the broker, and towards the peer."""


class Wire:
    """One connection of a peer to a broker.

    Attributes:
        routing_id: what the broker calls the peer.
        index: what the peer calls the broker.
        is_cut: nothing that is sent from now on arrives.
        open: whether the peer's and the broker's socket take messages, by direction.
    """

    def __init__(
        self,
        network: Network,
        peer: PeerNode,
        index: int,
        broker: BrokerNode,
        number: int,
    ) -> None:
        self.peer = peer
        self.index = index
        self.broker = broker
        self.routing_id = number.to_bytes(5)
        self.is_cut = False
        self.open = [True, True]
        self._network = network
        self._latency = [network.latency_s(), network.latency_s()]
        self._flights: list[deque[Message]] = [deque(), deque()]
        self._arrives = [0.0, 0.0]
        self._blocked = [0.0, 0.0]
        self._survivors = [0, 0]

    def send(self, direction: int, message: Message) -> bool:
        """Take a message on its way; False when there is none."""
        network = self._network
        if not self.open[direction]:
            return False
        if len(self._flights[direction]) >= network.options.window_messages_max:
            return False
        network.transcript.sent(self, direction, message)
        if message.stream and network.faulty:
            network.provoke()
        if self.is_cut:
            return True  # and never arrives
        if network.options.framed:
            message = decode(encode(message), from_broker=direction == OUT)
        self._take(direction, message)
        if (
            network.faulty
            and message.type in DUPLICABLE
            and network.chance.random() < network.options.duplicate_chance
        ):
            late = network.chance.choice((0.0, 0.001, 0.3))
            network.loop.after(late, self._repeat, direction, message)
        return True

    def block(self, direction: int, until: float) -> None:
        """Nothing arrives in this direction before then."""
        self._blocked[direction] = max(self._blocked[direction], until)

    def cut(self, peer_s: float = 0.0, broker_s: float = 0.0) -> None:
        """Break it.

        Args:
            peer_s, broker_s: seconds until either side notices.
        """
        if self.is_cut:
            return
        self.is_cut = True
        network = self._network
        network.wires.pop(self, None)
        network.remains[self] = None
        for direction in (IN, OUT):
            under_way = len(self._flights[direction])
            self._survivors[direction] = network.chance.randint(0, under_way)
        network.loop.after(peer_s, self._notice, IN)
        network.loop.after(broker_s, self._notice, OUT)

    def die(self, direction: int) -> None:
        """Who receives in this direction is dead."""
        while self._flights[direction]:
            self._pop(direction)

    def _take(self, direction: int, message: Message) -> None:
        network = self._network
        delay = network.chance.uniform(0.2, 1.0) * self._latency[direction]
        if network.faulty and network.chance.random() < network.options.hiccup_chance:
            delay += network.chance.uniform(0.0, network.options.hiccup_s_max)
        moment = max(network.loop.now + delay, self._arrives[direction])
        self._arrives[direction] = moment
        self._flights[direction].append(message)
        if message.payload and message.type in BYTES_OF_STREAMS:
            self.broker.held_bytes += len(message.payload)
        network.loop.at(moment, self._arrive, direction)

    def _repeat(self, direction: int, message: Message) -> None:
        if not self.is_cut:
            self._network.transcript.sent(self, direction, message, again=True)
            self._take(direction, message)

    def _arrive(self, direction: int) -> None:
        if self._network.loop.now < self._blocked[direction] and not self.is_cut:
            # Which message this stands for does not matter: they keep their order.
            self._network.loop.at(self._blocked[direction], self._arrive, direction)
            return
        receiver = self.broker if direction == IN else self.peer
        receiver.do(self._hand, direction)

    def _hand(self, direction: int) -> None:
        if not self._flights[direction]:
            return
        message = self._pop(direction)
        if self.is_cut:
            if not self._survivors[direction]:
                return
            self._survivors[direction] -= 1
        self._network.transcript.came(self, direction, message)
        if direction == IN:
            self.broker.arrived(self, message)
        else:
            self.peer.arrived(self, message)

    def _pop(self, direction: int) -> Message:
        message = self._flights[direction].popleft()
        if not any(self._flights):
            self._network.remains.pop(self, None)
        if message.payload and message.type in BYTES_OF_STREAMS:
            self.broker.held_bytes -= len(message.payload)
        return message

    def _notice(self, sender: int) -> None:
        """The socket of one side has found out; its owner will soon."""
        self.open[sender] = False
        network = self._network
        news_s = network.chance.uniform(0.0, NEWS_S_MAX)
        if sender == IN:
            network.loop.after(news_s, self.peer.do, self.peer.lost, self)
            network.redial(self.peer, self.index)
        else:
            network.loop.after(news_s, self.broker.do, self.broker.lost, self)


class Network:
    """All connections.

    Args:
        loop: time.
        chance: where all delays come from.
        options: of the run.
        brokers: by index, those that live now.
        transcript: told of every message.

    Attributes:
        wires: connections that are not cut, the oldest first.
        remains: connections that are cut, of which something may still arrive.
        faulty: whether faults still happen.
        provoke: called when a stream's message is sent, and something may go wrong.
    """

    def __init__(
        self,
        loop: Loop,
        chance: Random,
        options: Options,
        brokers: dict[int, BrokerNode],
        transcript: Transcript,
    ) -> None:
        self.loop = loop
        self.chance = chance
        self.options = options
        self.transcript = transcript
        self.wires: dict[Wire, None] = {}
        self.remains: dict[Wire, None] = {}
        self.faulty = True
        self.provoke: Callable[[], None] = lambda: None
        self._brokers = brokers
        self._partitions: dict[tuple[str, int], float] = {}
        self._count = 0

    def latency_s(self) -> float:
        """Of a new connection's direction."""
        return self.chance.uniform(0.1, 1.0) * self.options.latency_s_max

    def dial(self, peer: PeerNode, index: int, pause_s: float = DIAL_S_MIN) -> None:
        """Connect a peer to a broker, as soon as that is possible."""
        if peer.is_dead or peer.has_left:
            return
        broker = self._brokers.get(index)
        until = self._partitions.get((peer.name, index), 0.0)
        if (
            broker is None
            or broker.is_stalled
            or peer.is_stalled
            or self.loop.now < until
        ):
            pause_s = min(DIAL_S_MAX, pause_s * 2)
            self.loop.after(pause_s, self.dial, peer, index, pause_s)
            return
        self._count += 1
        wire = Wire(self, peer, index, broker, self._count)
        self.wires[wire] = None
        broker.accepted(wire)
        self.loop.after(self.latency_s(), peer.do, peer.connected, wire)

    def redial(self, peer: PeerNode, index: int) -> None:
        """Connect again, a moment after a loss."""
        pause_s = self.chance.uniform(DIAL_S_MIN, 4 * DIAL_S_MIN)
        self.loop.after(pause_s, self.dial, peer, index)

    def partition(
        self, peer: str, broker: int, seconds: float, directions: tuple[int, ...]
    ) -> None:
        """Nothing arrives between two for a while; in silence, as the network does."""
        until = self.loop.now + seconds
        self._partitions[peer, broker] = until
        for wire in list(self.wires):
            if wire.peer.name == peer and wire.index == broker:
                for direction in directions:
                    wire.block(direction, until)
                if seconds > HEARTBEAT_S:
                    beat_s = HEARTBEAT_S + self.chance.random()
                    both = (self.chance.random(), self.chance.random())
                    self.loop.after(beat_s, wire.cut, *both)

    def fall_silent(self, node: PeerNode | BrokerNode) -> None:
        """A process stands still for too long: the others give it up."""
        for wire in list(self.wires):
            if node in (wire.peer, wire.broker):
                wire.cut(self.chance.random(), self.chance.random())

    def died(self, node: PeerNode | BrokerNode) -> None:
        """A process is gone: its system closes what it had open."""
        for wire in [*self.wires, *self.remains]:
            if wire.peer is node:
                wire.cut(0.0, self.chance.uniform(0.0, NEWS_S_MAX))
                wire.die(OUT)
            elif wire.broker is node:
                wire.cut(self.chance.uniform(0.0, NEWS_S_MAX), 0.0)
                wire.die(IN)

    def heal(self) -> None:
        """No more faults: end all partitions."""
        self.faulty = False
        self._partitions.clear()
