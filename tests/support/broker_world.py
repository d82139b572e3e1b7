"""A broker's machine among peers that behave by chance, and often badly.

Everything follows from the seed. After every event the invariants are checked; what
peers are sent is checked as it arrives.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import Random

from scene import Scene, Sent

from storagebus.broker.messages import STREAMS, Open, Operation, pack
from storagebus.broker.sessions import ClientSession, Stream
from storagebus.broker.wire import TERMINAL, Message, Type
from storagebus.drivers.errors import ProtocolError

FLOOR_BYTES, POOL_BYTES, STREAMS_MAX = 100, 1_000, 6
OPERATIONS = [
    Operation.STAT,
    Operation.DELETE,
    Operation.PUT,
    Operation.READ,
    Operation.READ,
    Operation.WRITE,
    Operation.WRITE,
]


class Half:
    """What a peer knows of one of its streams.

    Attributes:
        operation: what it does.
        sent: bytes that this side has sent.
        received: bytes that have arrived here.
        sendable: bytes may be sent below this offset, as it was told.
        granted: bytes may come below this offset, as it has said.
        accepted: an ACCEPT was sent or seen.
        committed: nothing more is sent.
        ended: a terminal message was sent or seen.
        by_lane: bytes are sent by a lane.
    """

    def __init__(self, operation: int, granted: int = 0, sendable: int = 0) -> None:
        self.operation = operation
        self.sent = 0
        self.received = 0
        self.granted = granted
        self.sendable = sendable
        self.accepted = False
        self.committed = False
        self.ended = False
        self.by_lane = False

    def arrived(self, message: Message) -> None:
        """Bytes came: in order, and no more than was granted."""
        assert message.offset == self.received, "a gap or a repetition was passed on"
        self.received += message.size
        assert self.received <= self.granted, "more came than was granted"


class Actor:
    """A peer: its name, and its streams in the session it has now.

    Attributes:
        lazy: it reads nothing, so that what it is sent stays in its inbox.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.epoch = 0
        self.streams: dict[int, Half] = {}
        self.draining = False
        self.last_stream = 0
        self.lazy = self.has_dozed = False
        self.inbox: deque[Message] = deque()

    def live(self) -> list[int]:
        """The streams that have not ended."""
        return [number for number, half in self.streams.items() if not half.ended]


class World:
    """The simulation.

    Args:
        seed: everything follows from it.
    """

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)
        self.scene = Scene(
            seed,
            streams_max=STREAMS_MAX,
            client_streams_max=5,
            floor_bytes=FLOOR_BYTES,
            pool_bytes=POOL_BYTES,
            queue_calls_max=6,
            queue_bytes_max=500,
            peers_max=12,
        )
        self.scene.check = self.check
        self.actors: dict[str, Actor] = {}
        self.count = 0
        for kind in "wwcc":
            self.arrive(kind)

    def run(self, steps: int) -> None:
        """Let `steps` things happen, then everybody finish, then everybody leave."""
        for _ in range(steps):
            self.step()
        self.finish()
        self.leave()

    def step(self) -> None:
        """One thing happens."""
        actions = list(_ACTIONS)
        weights = [_ACTIONS[action] for action in actions]
        (action,) = self.chance.choices(actions, weights)
        action(self)

    # -- what peers do --------------------------------------------------------

    def arrive(self, kind: str = "") -> None:
        """Somebody new greets, or somebody greets once more."""
        names = [
            name
            for name, actor in self.actors.items()
            if name not in self.scene.gone and not actor.lazy
        ]
        if names and not kind and self.chance.random() < 0.3:
            name = self.chance.choice(names)
        else:
            self.count += 1
            name = f"{kind or self.chance.choice('cw')}{self.count}"
            self.actors[name] = Actor(name)
        changes = {"slots": self.chance.randint(1, 3), "streams": 2}
        self.take(self.scene.greet(name, **changes if name[0] == "w" else {}))

    def open(self) -> None:
        """A client opens a stream."""
        actor = self.somebody("c")
        if actor is None:
            return
        operation = self.chance.choice(OPERATIONS)
        limit = self.chance.choice([0, 50, 400, 5000])
        number = actor.last_stream + self.chance.randint(1, 3)
        actor.last_stream = number
        reads = operation is Operation.READ
        actor.streams[number] = Half(operation, granted=limit if reads else 0)
        size = self.chance.randint(0, 200) if operation is Operation.PUT else 0
        self.say(
            actor,
            Type.OPEN,
            number,
            code=int(operation),
            fields=pack(Open("default", "/a")),
            limit=limit,
            budget_ms=self.chance.choice([0, 1, 200, 3_000, 30_000]),
            payload=bytes(size),
        )

    def send(self) -> None:
        """Whoever may send bytes sends some."""
        actor, number, half = self.stream()
        if actor is None or half is None or half.committed:
            return
        count = min(self.chance.randint(1, 300), half.sendable - half.sent)
        if count <= 0:
            return
        offset = half.sent
        if self.chance.random() < 0.1 and half.sent:
            offset = 0  # a repetition: it must not arrive
            count = min(count, half.sent)
        else:
            half.sent += count
        terminal = (
            actor.name[0] == "w" and not half.by_lane and self.chance.random() < 0.2
        )
        kind = Type.RESULT if terminal and offset else Type.DATA
        if kind is Type.RESULT and offset == 0:
            return
        half.ended = kind is Type.RESULT
        takes_lane = kind is Type.DATA and self.chance.random() < 0.1
        half.by_lane = half.by_lane or takes_lane
        place = {"lane": count} if half.by_lane else {"payload": bytes(count)}
        self.say(actor, kind, number, offset=offset, **place)

    def grant(self) -> None:
        """Whoever receives bytes grants more."""
        actor, number, half = self.stream()
        if actor is None or half is None:
            return
        reads = half.operation == Operation.READ and actor.name[0] == "c"
        writes = half.operation == Operation.WRITE and actor.name[0] == "w"
        if not reads and not (writes and half.accepted):
            return
        half.granted = max(
            half.granted, half.received + self.chance.choice([0, 30, 300, 3000])
        )
        received = self.chance.choice([half.received, half.received // 2])
        self.say(actor, Type.CREDIT, number, offset=received, limit=half.granted)

    def accept(self) -> None:
        """A worker accepts a stream."""
        actor, number, half = self.stream("w")
        if actor is None or half is None or half.accepted:
            return
        if half.operation not in STREAMS:
            return
        half.accepted = True
        uploads = half.operation == Operation.WRITE
        half.granted = self.chance.choice([50, 500, 5000]) if uploads else 0
        self.say(actor, Type.ACCEPT, number, limit=half.granted)

    def answer(self) -> None:
        """A worker ends a stream."""
        actor, number, half = self.stream("w")
        if actor is None or half is None:
            return
        half.ended = True
        self.say(actor, self.chance.choice([Type.RESULT, Type.ERROR]), number)

    def give_up(self) -> None:
        """A client cancels, detaches or commits."""
        actor, number, half = self.stream("c")
        if actor is None or half is None:
            return
        kind = self.chance.choice([Type.CANCEL, Type.DETACH, Type.COMMIT])
        if kind is Type.COMMIT and not half.accepted:
            return
        if kind is Type.COMMIT and half.operation != Operation.WRITE:
            return
        half.committed = True
        self.say(actor, kind, number, offset=half.sent)

    def chat(self) -> None:
        """A worker says how it is."""
        actor = self.somebody("w")
        if actor is None:
            return
        kind = self.chance.choice([Type.PONG, Type.PONG, Type.PING, Type.DRAIN])
        if kind is Type.DRAIN and self.chance.random() < 0.7:
            return
        self.say(actor, kind)

    def offend(self) -> None:
        """Somebody sends what it may not."""
        actor = self.somebody()
        if actor is None:
            return
        if self.chance.random() < 0.5:
            self.take(self.scene.raw(actor.name, ProtocolError("noise")))
            return
        kind = self.chance.choice(list(Type))
        number = self.chance.randint(1, 9) if kind >= Type.OPEN else 0
        if kind in (Type.HELLO, Type.GOAWAY) or number in actor.streams:
            return  # a valid message by accident; the model does not follow it
        self.say(actor, kind, number, offset=self.chance.randint(0, 5000))

    def vanish(self) -> None:
        """A connection goes, with the news of it or without, or is clogged."""
        actor = self.somebody()
        if actor is None:
            return
        match self.chance.randrange(3):
            case 0:
                self.take(self.scene.lose(actor.name))
                self.take(self.scene.pass_time(0.1))
            case 1:
                self.scene.gone.add(actor.name)
            case _:
                self.scene.full.add(actor.name)

    def doze(self) -> None:
        """A client stops reading for a while."""
        actor = self.somebody("c")
        if actor is not None:
            actor.lazy = actor.has_dozed = True

    def wake(self) -> None:
        """Whoever does not read reads again."""
        for actor in self.actors.values():
            actor.lazy = False
        self.take([])

    def leave_politely(self) -> None:
        """Somebody says goodbye."""
        actor = self.somebody()
        if actor is not None:
            self.say(actor, Type.GOAWAY)
            actor.epoch = 0
            actor.streams.clear()

    def wait(self) -> None:
        """Time passes."""
        self.take(self.scene.pass_time(self.chance.choice([0.01, 0.3, 1.5, 6.0, 40.0])))

    # -- ends -----------------------------------------------------------------

    def finish(self) -> None:
        """Workers answer all they have, and time passes: no stream may be left."""
        self.wake()
        for _ in range(100):
            busy = [
                (actor, number)
                for actor in self.actors.values()
                if actor.name[0] == "w" and self.is_up(actor)
                for number in actor.live()
            ]
            if not busy:
                break
            for actor, number in busy:
                if number in actor.streams:
                    actor.streams[number].ended = True
                    self.say(actor, Type.RESULT, number)
        # Who has vanished in silence is found by the pings of a beat.
        self.take(self.scene.pass_time(700))
        for actor in self.actors.values():
            if actor.name[0] == "c" and self.is_up(actor):
                assert not actor.live(), f"{actor.name} waits for ever"

    def leave(self) -> None:
        """Everybody goes: nothing may be left of anybody."""
        for name in list(self.actors):
            self.scene.lose(name)
        self.scene.pass_time(100)
        core = self.scene.core
        budget = core.switch.budget
        assert len(core.sessions) == 0
        assert core.roster.workers() == []
        assert (budget.flows, budget.in_flight, budget.pooled) == (0, 0, 0)
        assert core.switch.unread.bytes == 0
        for backlog in core.switch.backlogs.values():
            assert (len(backlog), backlog.bytes) == (0, 0)

    # -- what peers are sent --------------------------------------------------

    def take(self, sent: list[Sent]) -> None:
        """Everybody reads what came."""
        for name, message in sent:
            actor = self.actors[name]
            actor.inbox.append(message)
        for actor in list(self.actors.values()):
            while actor.inbox and not actor.lazy:
                self.read(actor, actor.inbox.popleft())
        self.check_inboxes()

    def read(self, actor: Actor, message: Message) -> None:
        """One message comes; it must be one that may come."""
        kind = message.type
        if kind is Type.WELCOME:
            if message.epoch != actor.epoch:
                actor.epoch = message.epoch
                actor.streams.clear()
                actor.last_stream = 0
                actor.draining = False
            return
        if kind is Type.GOAWAY:
            actor.epoch = 0
            actor.streams.clear()
            return
        if message.epoch != actor.epoch:
            # It was sent before the session ended, and read after it.
            assert actor.has_dozed, "a message of another session"
            return
        if kind is Type.PING and actor.name[0] == "c":
            self.say(actor, Type.PONG, offset=message.offset)
            return
        if kind in (Type.PING, Type.PONG):
            return
        if kind is Type.DRAIN:
            actor.draining = True
            return
        if kind is Type.OPEN:
            assert not actor.draining, "OPEN after DRAIN"
            assert message.stream > actor.last_stream
            actor.last_stream = message.stream
            actor.streams[message.stream] = Half(message.code, sendable=message.limit)
            return
        half = actor.streams[message.stream]
        assert actor.name[0] == "w" or not half.ended, "after the terminal message"
        if message.size:
            half.arrived(message)
        if kind in TERMINAL:
            half.ended = True
        elif kind is Type.ACCEPT:
            half.accepted = True
        if kind in (Type.ACCEPT, Type.CREDIT):
            half.sendable = max(half.sendable, message.limit)

    def check_inboxes(self) -> None:
        """What nobody reads is bounded: it is what a broker must hold for them."""
        clients = [a for a in self.actors.values() if a.name[0] == "c"]
        held = sum(len(message.payload) for actor in clients for message in actor.inbox)
        budget = self.scene.core.switch.budget
        floors = FLOOR_BYTES * len(clients)
        assert held <= budget.in_flight_max + POOL_BYTES + floors

    def check(self) -> None:
        """What always holds."""
        core = self.scene.core
        budget = core.switch.budget
        assert budget.in_flight <= budget.in_flight_max
        assert 0 <= budget.pooled <= POOL_BYTES
        assert core.switch.unread.bytes >= 0
        streams: set[Stream] = set()
        for session in core.sessions:
            streams.update(session.streams.values())
            if isinstance(session, ClientSession):
                assert len(session.streams) <= core.settings.client_streams_max
            else:
                held = [s.holds_stream for s in session.streams.values()]
                assert session.open == sum(held)
                assert session.calls == len(held) - sum(held)
        flows = [stream.flow for stream in streams if stream.flow is not None]
        assert budget.flows == len(flows)
        assert budget.in_flight == sum(flow.in_flight for flow in flows)
        waiting = [stream for stream in streams if stream.worker is None]
        assert sum(len(b) for b in core.switch.backlogs.values()) == len(waiting)
        for stream in waiting:
            assert stream.client is not None
            assert stream.expires > self.scene.now - 1e-6 or core.outbox

    # -- helpers --------------------------------------------------------------

    def is_up(self, actor: Actor) -> bool:
        """Whether it has a session, as far as it knows, and a connection."""
        reachable = actor.name not in self.scene.gone | self.scene.full
        return bool(actor.epoch) and reachable

    def somebody(self, kind: str = "cw") -> Actor | None:
        """Somebody with a session."""
        names = [a for a in self.actors.values() if a.name[0] in kind and self.is_up(a)]
        return self.chance.choice(names) if names else None

    def stream(self, kind: str = "cw") -> tuple[Actor | None, int, Half | None]:
        """Somebody with a live stream."""
        actor = self.somebody(kind)
        if actor is None or not actor.live():
            return None, 0, None
        number = self.chance.choice(actor.live())
        return actor, number, actor.streams[number]

    def say(self, actor: Actor, kind: Type, stream: int = 0, **more: object) -> None:
        """It sends a message, and everybody reads what comes of it."""
        message = Message(kind, stream, epoch=actor.epoch, **more)  # type: ignore[arg-type]
        self.take(self.scene.raw(actor.name, message))


_ACTIONS: dict[Callable[[World], None], int] = {
    World.arrive: 3,
    World.open: 30,
    World.send: 20,
    World.grant: 14,
    World.accept: 12,
    World.answer: 8,
    World.give_up: 5,
    World.chat: 6,
    World.offend: 2,
    World.vanish: 2,
    World.doze: 2,
    World.wake: 2,
    World.leave_politely: 1,
    World.wait: 4,
}
