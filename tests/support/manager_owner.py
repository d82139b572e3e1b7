"""Who owns a manager in a test, children, and looks at processes."""

import os
import queue
import time
from collections.abc import Callable
from typing import Any

import psutil

from storagebus.workers.children import (
    Notice,
    ProcessSpec,
    Readiness,
)
from storagebus.workers.manager import Manager
from storagebus.workers.restart import RestartPolicy

QUICK = RestartPolicy(delay_first_s=0.02, delay_max_s=0.1)
READY = "echo ready > /dev/fd/$STORAGEBUS_READY_FD"
POLITE = f"trap 'exit 0' TERM; sleep 60 & {READY}; wait"
STUBBORN = f"trap '' TERM; sleep 60 & {READY}; while :; do wait; sleep 1; done"


def shell(name: str, script: str, **given: Any) -> ProcessSpec:
    fields = {"ready": Readiness.TOLD, "restart": QUICK, "grace_s": 10.0} | given
    return ProcessSpec(name, ("/bin/sh", "-c", script), **fields)


class Owner:
    """Who owns a manager in these tests: collects the news."""

    def __init__(self) -> None:
        self.news: list[Notice] = []
        self._queue: queue.Queue[Notice] = queue.Queue()
        self.managers: list[Manager] = []

    def manage(self, *specs: ProcessSpec) -> Manager:
        manager = Manager(specs, self._queue.put)
        self.managers.append(manager)
        manager.start()
        return manager

    def wait(self, kind: type[Notice], count: int = 1) -> Any:
        """The next notice of a kind, or the last of so many."""
        while True:
            notice = self._queue.get(timeout=10)
            self.news.append(notice)
            if isinstance(notice, kind):
                count -= 1
                if not count:
                    return notice


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def eventually(true: Callable[[], bool], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def group(pid: int) -> set[int]:
    """The running processes of a process group."""
    found = set()
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == pid and is_running(process.pid):
                found.add(process.pid)
        except ProcessLookupError:
            pass
    return found
