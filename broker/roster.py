"""The workers of each service, and which of them gets the next call.

Pure; the source of chance is given in, so that a simulation repeats.
"""

from __future__ import annotations

from random import Random

from .sessions import WorkerSession

SERVICES_MAX = 1_000
"""Names of services that are remembered without being configured."""


class Roster:
    """Workers by service.

    Args:
        configured: services for which work may wait without a worker.
        chance: source of chance for the choice between workers.

    Attributes:
        is_wary: whether some worker may be in quarantine.
    """

    def __init__(self, configured: tuple[str, ...], chance: Random) -> None:
        self.services: dict[str, list[WorkerSession]] = {
            name: [] for name in configured
        }
        self.is_wary = False
        self._chance = chance

    def knows(self, service: str) -> bool:
        """Whether the service is configured, or has had a worker."""
        return service in self.services

    def objection(self, worker: WorkerSession) -> str:
        """Why a worker may not join its service; "" when it may."""
        hello = worker.hello
        others = [
            other
            for other in self.services.get(hello.service, [])
            if not other.draining and other.hello.boot != hello.boot
        ]
        if not others:
            known = hello.service in self.services
            if not known and len(self.services) >= SERVICES_MAX:
                return f"there are {SERVICES_MAX} services already"
            return ""
        other = others[0].hello
        if other.instance != hello.instance:
            return (
                f"service {hello.service!r} is served by driver {other.driver!r} with "
                f"other parameters (instance {other.instance}, this one "
                f"{hello.instance}): workers of a service must be configured alike"
            )
        if not (hello.capabilities or {}).get("shared", True):
            return (
                f"driver {hello.driver!r} cannot share its state between processes, "
                f"and service {hello.service!r} has a worker already"
            )
        return ""

    def add(self, worker: WorkerSession) -> None:
        """A worker joins its service."""
        self.services.setdefault(worker.hello.service, []).append(worker)

    def remove(self, worker: WorkerSession) -> None:
        """A worker is gone; its service stays known."""
        workers = self.services.get(worker.hello.service, [])
        if worker in workers:
            workers.remove(worker)

    def workers(self) -> list[WorkerSession]:
        """All workers."""
        return [worker for workers in self.services.values() for worker in workers]

    def with_boot(self, boot: bytes) -> WorkerSession | None:
        """The session that the same worker process had before."""
        for worker in self.workers():
            if worker.hello.boot == boot:
                return worker
        return None

    def find(self, worker_id: str) -> WorkerSession | None:
        """A worker by its id, or by its name."""
        for worker in self.workers():
            if worker_id in (worker.id, worker.hello.name):
                return worker
        return None

    def pick(
        self, service: str, holds_stream: bool, *, alone: bool = False
    ) -> WorkerSession | None:
        """A worker with room: the less loaded of two taken by chance, and of two that
        are equal any.

        Args:
            service: whose.
            holds_stream: whether room for a stream is needed, else for a call.
            alone: whether it must have no suspect.

        Two choices keep several brokers from sending all to the same worker, which
        the least loaded of all would invite. Calls that come one by one find all
        workers idle: always the first one would leave the others out, and one that
        fails at everything nobody to be compared with.
        """
        workers = self.services.get(service, [])
        if self.is_wary:
            sound = [worker for worker in workers if worker.is_sound]
            workers = sound or workers  # when nobody is without fault, everybody works
        if alone:
            workers = [worker for worker in workers if not worker.has_suspect]
        if len(workers) > 2:
            pair = self._chance.sample(workers, 2)
            if any(worker.has_room(holds_stream) for worker in pair):
                workers = pair
        best: WorkerSession | None = None
        equal = 1
        for worker in workers:
            if not worker.has_room(holds_stream):
                continue
            if best is None or worker.pressure < best.pressure:
                best, equal = worker, 1
            elif worker.pressure == best.pressure:
                equal += 1
                if self._chance.random() * equal < 1:
                    best = worker
        return best
