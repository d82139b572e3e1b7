"""Who of a bus's processes is there, and why one does not come.

The manager knows processes, the broker knows workers; `storagebus up` needs both.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..drivers.errors import (
    AccessDeniedError,
    InvalidParameterError,
    InvalidStorageDriverError,
    StorageError,
    UnavailableError,
)
from ..workers.children import ChildEnded, ChildReady, ChildStarted, Notice
from ..workers.exits import Exit
from ..workers.members import State
from . import exits
from .bus import missing_workers
from .compose import broker_pools, worker_pool
from .schema import Configuration

if TYPE_CHECKING:
    from ..client import Client
    from ..workers.manager import Manager
    from .census import Census

_BY_CODE: dict[int | None, type[StorageError]] = {
    exits.INVALID: InvalidParameterError,
    exits.DENIED: AccessDeniedError,
    Exit.USAGE: InvalidStorageDriverError,
    Exit.PARAMETERS: InvalidParameterError,
    Exit.CONFIGURATION: InvalidParameterError,
}
"""What the exit code of a process says: one of ours, or a driver's executable
(PROTOCOL.md section 10). Anything else is unavailable."""
OURS = "storagebus: "
"""How the line begins in which one of our programs says why it ends."""


class Attendance:
    """Tells the manager which workers have joined the broker, and who is missing.

    A worker is known by its process, or by its process group when a wrapper script
    started it: the manager makes every child the leader of a group.

    Args:
        client: asks the brokers, with a short deadline.
        configuration: says how many workers there should be.

    Attributes:
        complete: whether everybody was there at the last look.
        waits: whether somebody is on the way, so that it is worth to look soon.
    """

    def __init__(self, client: Client | Census, configuration: Configuration) -> None:
        self._client = client
        services = configuration.services
        self._wanted = {name: service.workers for name, service in services.items()}
        self._brokers = set(broker_pools(configuration))
        self._pools = [*self._brokers, *map(worker_pool, services)]
        self._ready: set[str] = set()
        self._ended: dict[str, ChildEnded] = {}
        self.complete = False
        self.waits = True

    def on_change(self, notice: Notice) -> None:
        """Hear of a child; called from the manager's thread."""
        if isinstance(notice, ChildEnded):
            self._ended[notice.name] = notice
            self.waits = True
        elif isinstance(notice, ChildStarted):
            self.waits = True
        elif isinstance(notice, ChildReady):
            self._ready.add(notice.name)

    def broker_is_ready(self, manager: Manager) -> bool:
        """Whether the doors of every broker are open.

        Raises:
            StorageError: its process was given up; says why.
        """
        self._check(manager)
        return self._brokers <= self._ready

    def look(self, manager: Manager) -> None:
        """Compare the broker's workers with the manager's children.

        Raises:
            StorageError: a pool was given up; says why.
        """
        self._check(manager)
        if not self.waits:
            return
        # Before the look: news that arrives during it must lead to another.
        self.waits = False
        starting = {
            child.pid: child.child
            for child in manager.status()
            if child.state is State.STARTING
        }
        try:
            found = self._client.bus_status()
        except StorageError:
            self.waits = True  # the broker is starting again
            return
        for service in found["services"].values():
            for worker in service["workers"]:
                child = starting.pop(leader(worker["pid"]), None)
                if child is not None:
                    manager.mark_ready(child)
        self.complete = not missing_workers(found, self._wanted)
        if starting or not self.complete:
            self.waits = True

    def _check(self, manager: Manager) -> None:
        for pool in self._pools:
            reason = manager.gave_up(pool)
            if reason is None:
                continue
            ended = self._ended.get(pool)
            if ended is None:
                raise UnavailableError(reason, temporary=False)
            cls = _BY_CODE.get(ended.ending.code, UnavailableError)
            raise cls(_complaint(ended, cls), temporary=False)


def _complaint(ended: ChildEnded, cls: type[StorageError]) -> str:
    """Why a pool was given up, in a line; what else a program wrote is in the log."""
    said = ended.ending.last_line
    if said.startswith(OURS):
        said = said.removeprefix(OURS).removeprefix(f"{cls.summary}: ")
        return f"{ended.name}: {said}"
    hint = "; --log-level info shows all that it writes"
    return f"{ended.name}: {ended.summary}{hint if cls is UnavailableError else ''}"


def leader(pid: int) -> int:
    """The process group of a worker; its own pid when it is gone already."""
    try:
        return os.getpgid(pid) if pid > 0 else pid
    except (ProcessLookupError, OverflowError):
        return pid  # of another host, perhaps
