"""The world of a run: brokers, workers and clients, from the first event to the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

from storagebus.broker.poison import DEATHS_MAX, UNEXPLAINED_MAX
from storagebus.drivers.errors import StorageError

from . import faults
from .brokernode import PUT_BYTES_MAX, BrokerNode
from .clientnode import ClientNode
from .contest import Contest
from .ledger import Ledger
from .loop import Loop
from .network import Network
from .options import Options
from .store import Store
from .transcript import Transcript
from .violation import require
from .workernode import LONG, WorkerNode
from .workload import Script

LATE_S = 9.0
"""How long after its end a write may still be done: a worker's lease, and the time for
which a message can be under way on a connection that nobody has given up yet."""
FINISH_S_MAX = 600.0
"""How long after the last fault an application may still be busy."""
OBITUARY_S_MAX = 0.5
"""Between the end of a worker's process and the news of how it ended."""
POISONED_MAX = DEATHS_MAX + UNEXPLAINED_MAX
"""Workers that a call may end while one broker gives it away: a few of whose endings it
has heard, and a few of which it has not yet."""
RECOVERY_S = 10.0
"""After the last fault everybody has found whom he lost."""
REST_S = 12.0
"""After this nothing may be left of what has ended."""


class World:
    """A run.

    Args:
        options: all that is decided beforehand.

    Attributes:
        faulty: whether faults still happen.
        brokers, workers, clients: those that live, by index.
        services, stores: their names, and what is behind them.
        steps: those of driver work that takes long, by path.
        contests: uploads with more than one writer.
        tally: how operations have ended: how often well, or with which error.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self.chance = Random(options.seed)
        self.loop = Loop()
        self.transcript = Transcript(lambda: self.loop.now)
        self.ledger = Ledger(lambda: self.loop.now, LATE_S)
        self.services = [f"s{number}" for number in range(options.services)]
        self.stores = [Store(self.ledger, name) for name in self.services]
        self.brokers: dict[int, BrokerNode] = {}
        self.workers: dict[int, WorkerNode] = {}
        self.clients: dict[int, ClientNode] = {}
        self.faulty = True
        self.contests: list[Contest] = []
        self.steps: Counter[str] = Counter()
        self._poisoned: Counter[str] = Counter()
        self._brokers_started = 0
        self.tally: Counter[tuple[str, str]] = Counter()
        self.network = Network(
            self.loop, self.chance, options, self.brokers, self.transcript
        )
        self._started = 0
        self._healing: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self._uploads: dict[str, tuple[ClientNode, str, bytes]] = {}
        self.loop.after_step = self.check
        for index in range(options.brokers):
            self._start_broker(index)
        for index in range(self._workers):
            self._start_worker(index)
        for index in range(options.clients):
            self._start_client(index)

    def run(self) -> None:
        """From the first fault to the last check.

        Raises:
            Violation: an invariant does not hold.
        """
        faults.plan(self)
        self.loop.run(self.options.faults_s)
        self.heal()
        self._let_finish()
        self.loop.run(self.loop.now + RECOVERY_S)
        for number in range(self.options.services):
            for client in self.clients.values():
                self._say_farewell(client, number, "")
            self._let_finish()
            if self.options.long_chance:
                # One alone, as the others would have to wait for what takes long.
                self._say_farewell(next(iter(self.clients.values())), number, LONG)
                self._let_finish()
        self.loop.run(self.loop.now + REST_S)
        for node in (*self.brokers.values(), *self.workers.values()):
            node.check_rest()
        for client in self.clients.values():
            client.check_rest()
            client.do(client.leave)
        self.loop.run(self.loop.now + REST_S)
        for broker in self.brokers.values():
            broker.check_alone()
            require(broker.held_bytes == 0, "the network holds bytes of nobody")

    def close(self) -> None:
        """End what a violation has left in the middle."""
        for client in self.clients.values():
            client.die()

    def heal(self) -> None:
        """No more faults, and those that last are over."""
        self.transcript.note("all", "is healed")
        self.faulty = False
        self.network.heal()
        for node in (
            *self.brokers.values(),
            *self.workers.values(),
            *self.clients.values(),
        ):
            node.wake()
        for act, args in self._healing:
            act(*args)
        self._healing.clear()

    def when_healed(self, act: Callable[..., None], *args: Any) -> None:
        """Have something done when faults are over."""
        if not self.faulty:
            self.loop.after(0.0, act, *args)
            return
        self._healing.append((act, args))

    def check(self) -> None:
        """What always holds, as the network counts it."""
        options = self.options
        for broker in self.brokers.values():
            if broker.held_bytes > options.pool_bytes:
                budget = broker.core.switch.budget
                peers = len(broker.core.sessions) + 1
                most = budget.in_flight_max + options.pool_bytes
                most += peers * (options.floor_bytes + PUT_BYTES_MAX)
                held = broker.held_bytes
                require(held <= most, f"{held} bytes are queued, of {most} at most")

    def count(self, operation: str, error: StorageError | None) -> None:
        """An operation has ended."""
        self.tally[operation, "" if error is None else type(error).__name__] += 1

    # -- uploads that outlive their client ------------------------------------

    def upload_begun(
        self, client: ClientNode, upload_id: str, path: str, content: bytes
    ) -> None:
        """A client writes this; should it die, another can go on."""
        self._uploads[upload_id] = client, path, content

    def upload_ended(self, upload_id: str) -> None:
        """Nobody shall go on with it; not said by those who die."""
        self._uploads.pop(upload_id, None)

    def take_left_upload(self, service: str) -> tuple[str, str, bytes] | None:
        """Path, name and content of an upload whose client has died."""
        for upload_id, (client, path, content) in self._uploads.items():
            if client.is_dead and path.startswith(f"/{service}/"):
                del self._uploads[upload_id]
                return path, upload_id, content
        return None

    # -- processes ------------------------------------------------------------

    def crash_broker(self, broker: BrokerNode) -> None:
        """Kill a broker, and start another in its place."""
        self.transcript.note(broker.name, "is killed")
        self.broker_ended(broker)

    def broker_ended(self, broker: BrokerNode) -> None:
        """A broker is gone, in good order or not; another follows."""
        if self.brokers.get(broker.index) is broker:
            del self.brokers[broker.index]
            broker.die()
            self.network.died(broker)
            self._later(self._start_broker, broker.index)

    def crash_worker(self, worker: WorkerNode) -> None:
        """Kill a worker, and start another in its place."""
        self.transcript.note(worker.name, "is killed")
        self.worker_ended(worker)

    def worker_ended(self, worker: WorkerNode, *, crashed: bool = False) -> None:
        """A worker is gone, in good order or not; another follows."""
        if self.workers.pop(worker.index, None) is not None:
            worker.die()
            self.network.died(worker)
            self._later(self._start_worker, worker.index)
            if self.options.obituaries:
                told_s = self.chance.uniform(0.0, OBITUARY_S_MAX)
                self.loop.after(told_s, self._tell_ending, worker, crashed)

    def poisoned(self, worker: WorkerNode, path: str) -> None:
        """A worker has done what ends it."""
        if worker.is_dead:
            return
        self.transcript.note(worker.name, f"is ended by {path}")
        self._poisoned[path] += 1
        most = POISONED_MAX * self._brokers_started
        deaths = self._poisoned[path]
        require(deaths <= most, f"{deaths} workers were ended by {path}")
        self.worker_ended(worker, crashed=True)

    @property
    def poisonings(self) -> int:
        """How many workers were ended by what they were asked."""
        return self._poisoned.total()

    def _tell_ending(self, worker: WorkerNode, crashed: bool) -> None:
        for broker in self.brokers.values():
            broker.do(broker.hear_of, worker.cookie, crashed)

    def crash_client(self, client: ClientNode) -> None:
        """Kill a client, and start another in its place."""
        self.transcript.note(client.name, "is killed")
        del self.clients[client.index]
        client.die()
        self.network.died(client)
        self._later(self._start_client, client.index)

    def _later(self, start: Callable[[int], None], index: int) -> None:
        pause_s = self.chance.uniform(0.0, self.options.restart_s_max)
        self.loop.after(pause_s, start, index)

    @property
    def _workers(self) -> int:
        return max(self.options.workers, self.options.services)

    def _start_broker(self, index: int) -> None:
        self._brokers_started += 1
        broker = self.brokers[index] = BrokerNode(self, index)
        broker.start()
        self.transcript.note(broker.name, "starts")

    def _start_worker(self, index: int) -> None:
        self._started += 1
        worker = self.workers[index] = WorkerNode(self, index, self._started)
        self.transcript.note(worker.name, "starts")
        for broker in range(self.options.brokers):
            self.network.dial(worker, broker)

    def _start_client(self, index: int) -> None:
        self._started += 1
        client = self.clients[index] = ClientNode(self, index, self._started)
        self.transcript.note(client.name, "starts")
        for broker in range(self.options.brokers):
            self.network.dial(client, broker)
        for number in range(self.options.tasks):
            service = self.chance.randrange(self.options.services)
            script = Script(self, client, number, service)
            client.begin_task(script.run(self.options.operations))

    def _let_finish(self) -> None:
        self.loop.run(
            self.loop.now + FINISH_S_MAX,
            enough=lambda: self._is_complete() and self._is_idle(),
        )
        busy = [c.name for c in self.clients.values() if c.tasks]
        require(not busy, f"{busy} are still busy {FINISH_S_MAX:.0f} s after the end")

    def _say_farewell(self, client: ClientNode, service: int, ending: str) -> None:
        script = Script(self, client, 99 + service, service)
        client.begin_task(script.farewell(ending))

    def _is_complete(self) -> bool:
        options = self.options
        return (
            len(self.brokers) == options.brokers
            and len(self.workers) == self._workers
            and len(self.clients) == options.clients
        )

    def _is_idle(self) -> bool:
        return not any(client.tasks for client in self.clients.values())
