"""A simulated client process: the real connection, core and operations, over virtual
sockets, and an application of several tasks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from math import inf
from typing import TYPE_CHECKING, Any, TypeVar

from storagebus.broker.dealer import Link
from storagebus.broker.messages import Hello, Open, parse
from storagebus.broker.messages import Operation as RequestOperation
from storagebus.broker.poison import DEATHS_MAX
from storagebus.broker.wire import Message, Type
from storagebus.client.connection import Connection
from storagebus.client.core import ClientCore
from storagebus.client.handles import Handle
from storagebus.client.lanes import Lanes
from storagebus.client.operations import Operations
from storagebus.client.requests import (
    Accepting,
    Arrived,
    Event,
    Failed,
    Finished,
    Moved,
    Request,
    Sent,
)
from storagebus.drivers.errors import (
    Executed,
    InvalidStateError,
    PoisonRequestError,
    StorageError,
)

from .loop import Pause, Task
from .network import IN, Wire
from .node import PeerNode
from .violation import require
from .workernode import POISON

if TYPE_CHECKING:
    from .world import World

_T = TypeVar("_T")

THREAD_S_MAX = 0.001
"""Between a thread's wish and another's doing."""


class VirtualDealer:
    """In place of a `Dealer`: a socket without ZeroMQ."""

    def __init__(self) -> None:
        self.wire: Wire | None = None
        self.news: deque[Link] = deque()
        self.inbox: deque[Message] = deque()

    pollables: tuple[Any, Any] = (None, None)
    next_deadline = inf

    def links(self) -> Iterator[Link]:
        while self.news:
            yield self.news.popleft()

    def send(self, message: Message) -> bool:
        return self.wire is not None and self.wire.send(IN, message)

    def receive(self, most: int) -> Iterator[Message]:
        for _ in range(most):
            if not self.inbox:
                return
            yield self.inbox.popleft()

    def close(self) -> None:
        self.wire = None


class Signal:
    """A task waits for events of its operation."""

    def __init__(self) -> None:
        self._pause = Pause()

    def set(self) -> None:
        self._pause.wake()

    async def wait(self) -> None:
        await self._pause


class Course:
    """How far the bytes of a path have got, of what an application does there.

    Attributes:
        sent, limit, received: bytes that left, up to where they were allowed to, and
            that have arrived at a worker; of a download, `received` at the client.
        moved_at: when one of them was last higher than ever, on the client's own time.
    """

    def __init__(self) -> None:
        self.sent = self.limit = self.received = 0
        self.moved_at = 0.0

    def see(self, now: float, sent: int = 0, limit: int = 0, received: int = 0) -> None:
        """So far it has got now."""
        if sent > self.sent or limit > self.limit or received > self.received:
            self.moved_at = now
        self.sent = max(self.sent, sent)
        self.limit = max(self.limit, limit)
        self.received = max(self.received, received)


class Operation(Handle):
    """An operation whose events are watched.

    Args:
        client: who wants it.
        signal: how to wait.
        request: what to do.
    """

    __slots__ = (
        "_client",
        "_course",
        "_is_open",
        "_path",
        "_seen",
        "_steps",
        "_told_end",
    )

    def __init__(self, client: ClientNode, signal: Signal, request: Request) -> None:
        self._client = client
        self._path = parse(Open, request.fields).path
        self._course = client.courses.get(self._path)
        self._is_open = request.operation is not RequestOperation.WRITE
        self._told_end = False  # what its caller ends may have news on the way
        self._steps = client.world.steps[self._path]
        self._seen = 0  # bytes that came, or were there when an upload was opened
        super().__init__(client, client.connection, signal, request)

    def take(self, event: Event) -> None:
        require(not self._told_end, "news of an operation that has ended")
        self._told_end = isinstance(event, (Finished, Failed))
        if isinstance(event, Failed) and event.error.executed is not Executed.NO:
            self._client.doubts += 1
        if self._course is not None:
            self._follow(self._course, event)
        if isinstance(event, Failed) and isinstance(event.error, PoisonRequestError):
            # Who was in the same workers again and again may be suspected, too.
            excused = self._client.world.poisonings >= DEATHS_MAX
            is_poison = POISON in self._path
            require(is_poison or excused, f"{self._path} is taken for poison")
        is_lost = isinstance(event, Failed) and event.error.executed is not Executed.NO
        if is_lost and not self._is_open:
            self._client.lost_claims.add(self._path)
        self._is_open = self._is_open or isinstance(event, Accepting)
        super().take(event)

    def credited(self, received: int) -> None:
        """A CREDIT is about to be taken."""
        if self._course is not None:
            self._course.see(self._client.ran_s, received=self._seen + received)

    def _follow(self, course: Course, event: Event) -> None:
        now = self._client.ran_s
        if isinstance(event, Accepting):
            self._seen = event.accepted.size
        elif isinstance(event, Sent):
            course.see(now, self._seen + event.sent, self._seen + event.limit)
        elif isinstance(event, Arrived):
            self._seen += len(event.payload)
            course.see(now, received=self._seen)
        elif isinstance(event, Moved):
            course.moved_at = now
            self._steps += 1
            steps = self._client.world.steps[self._path]
            require(steps >= self._steps, "PROGRESS, and the driver has not moved")


class ClientNode(PeerNode):
    """A client: also the port and the transport of its operations.

    Args:
        world: where it runs.
        index: which of the clients.
        incarnation: how often this one has been started.

    Attributes:
        connection: the product's, over virtual sockets.
        services: what the application uses.
        tasks: those that have not ended.
        doubts: attempts that failed and may have run.
        courses: what the application does now, by path.
        lost_claims: paths of uploads that may have been opened without an answer.
    """

    def __init__(self, world: World, index: int, incarnation: int) -> None:
        super().__init__(world, f"c{index}")
        self.index = index
        self.incarnation = incarnation
        self._dealers: list[VirtualDealer] = []
        names = [f"b{number}" for number in range(world.options.brokers)]
        self.connection = Connection(
            None,  # type: ignore[arg-type]
            names,
            self.now,
            self._open_link,  # type: ignore[arg-type]
        )
        boot = f"{index}-{incarnation}".encode().ljust(16, b".")
        hello = Hello(role="client", protocol=(1, 1), boot=boot, name=self.name)
        self.connection.core = ClientCore(names, hello)
        self.services = [
            Operations(self, service, world.options.deadline_s, world.chance.random)
            for service in world.services
        ]
        for operations in self.services:
            operations.lanes = Lanes(())
        self.tasks: dict[Task, None] = {}
        self.endpoints = tuple(names)
        self.doubts = 0
        self.courses: dict[str, Course] = {}
        self.lost_claims: set[str] = set()
        self._posts: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()

    def begin_task(self, work: Coroutine[Pause, None, None]) -> None:
        """Have the application do something."""
        task = Task(work, self._soon, self._task_ended)
        self.tasks[task] = None

    # -- events ---------------------------------------------------------------

    def connected(self, wire: Wire) -> None:
        dealer = self._dealers[wire.index]
        dealer.wire = wire
        dealer.news.append(Link.UP)

    def lost(self, wire: Wire) -> None:
        dealer = self._dealers[wire.index]
        if dealer.wire is wire:
            dealer.wire = None
        dealer.news.append(Link.DOWN)

    def arrived(self, wire: Wire, message: Message) -> None:
        dealer = self._dealers[wire.index]
        if dealer.wire is wire:
            dealer.inbox.append(message)
            broker = self.connection.core.brokers[wire.index]
            stream = broker.streams.get(message.stream)
            if stream is not None and message.type is Type.CREDIT:
                stream.key.credited(message.offset)

    def settle(self) -> None:
        if not self.has_left:
            while self.connection.pump():
                pass

    def tick(self) -> None:
        """`settle` looks at the clock too."""

    def next_deadline(self) -> float:
        return inf if self.has_left else self.connection.next_deadline

    def die(self) -> None:
        super().die()
        for task in list(self.tasks):
            task.kill()
        self.tasks.clear()

    def leave(self) -> None:
        """Close the client, as a program does at its end."""
        wires = [dealer.wire for dealer in self._dealers]
        self.connection.close()
        self.has_left = True
        for wire in wires:
            if wire is not None:
                # What was said last still goes out.
                self.world.loop.after(0.2, wire.cut)

    # -- as the port and transport of operations ------------------------------

    def post(self, action: Callable[..., None], *arguments: Any) -> None:
        """Part of `Port`."""
        if self.is_dead:
            return  # it is being taken apart
        if self.has_left:
            raise InvalidStateError("the client is closed")
        if not self.world.options.threaded:
            action(*arguments)
            return
        self._posts.append((action, arguments))
        self.world.loop.after(self._thread_s(), self.do, self._obey)

    def release(self) -> None:
        """Part of `Port`."""

    async def sleep(self, seconds: float) -> None:
        """Part of `Transport`."""
        pause = Pause()
        self.world.loop.after(seconds, self.do, pause.wake)
        await pause

    async def run(
        self,
        work: Callable[[], _T],
        within_s: float | None = None,
        *,
        at_once: bool = False,
    ) -> _T:
        """Part of `Transport`."""
        return work()

    call_lanes = None

    async def explain(self, error: StorageError) -> None:
        """Part of `Transport`."""

    def begin(self, request: Request, *, brief: bool) -> Handle:
        """Part of `Transport`."""
        return Operation(self, Signal(), request)

    def close(self) -> None:
        """Part of `Transport`."""

    def _obey(self) -> None:
        if self._posts:
            action, arguments = self._posts.popleft()
            action(*arguments)

    def _soon(self, act: Callable[[], None]) -> None:
        self.world.loop.after(self._thread_s(), self.do, act)

    def _thread_s(self) -> float:
        if not self.world.options.threaded:
            return 0.0
        return self.world.chance.uniform(0.0, THREAD_S_MAX)

    def _task_ended(self, task: Task) -> None:
        self.tasks.pop(task, None)

    def _open_link(self, context: object, endpoint: str) -> VirtualDealer:
        dealer = VirtualDealer()
        self._dealers.append(dealer)
        return dealer

    # -- checks ---------------------------------------------------------------

    def check_rest(self) -> None:
        """Nothing goes on: nothing may be left."""
        core = self.connection.core
        require(len(core) == 0, f"{self.name} has operations left")
        for broker in core.brokers:
            require(not broker.streams, f"{self.name} has streams left")
            left = list(broker.tombstones)
            require(not left, f"{self.name} has tombstones left: {left}")
        for service in self.services:
            require(not service.downloads, f"{self.name} counts downloads")
