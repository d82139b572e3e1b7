"""The memory of a benchmark's processes, where this host shows it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PROCESSES_MAX = 64
"""Of more processes the rest is left out."""
_CHILD = b"registry-storage-"
"""What the names of executables begin with."""


Processes = dict[int, str]
"""What kind each process is of, by its id."""


class Memory:
    """The resident memory of some processes: first, and at most so far.

    What the processes share is counted in each of them.
    """

    def __init__(self) -> None:
        self._names: dict[int, str] = {}
        self._before: dict[int, int] = {}
        self._peak: dict[int, int] = {}

    def watch(self, processes: Processes) -> None:
        """Watch these too; those that are watched already stay."""
        for pid, kind in processes.items():
            now = resident(pid)
            if pid in self._names or now is None or len(self._names) >= PROCESSES_MAX:
                continue
            number = sum(name.startswith(kind) for name in self._names.values())
            self._names[pid] = f"{kind} {number + 1}" if number else kind
            self._before[pid] = self._peak[pid] = now

    def look(self) -> None:
        """Take note of what they have now."""
        for pid, peak in self._peak.items():
            self._peak[pid] = max(peak, resident(pid) or 0)

    def fields(self) -> list[dict[str, Any]]:
        """What is known of each, for programs."""
        return [
            {
                "process": name,
                "pid": pid,
                "before": self._before[pid],
                "peak": self._peak[pid],
            }
            for pid, name in self._names.items()
        ]


def resident(pid: int) -> int | None:
    """Resident memory of a process in bytes; None where it cannot be seen."""
    try:
        text = Path(f"/proc/{pid}/statm").read_bytes()
    except OSError:
        return None
    return int(text.split()[1]) * os.sysconf("SC_PAGE_SIZE")


def of_service(status: Mapping[str, Any], service: str) -> Processes:
    """The processes of a service, by the bus's own report, that run on this host.

    The report may come from another host, where the same numbers are other processes'.
    """
    workers = status["services"].get(service, {}).get("workers", [])
    found = [("broker", status["broker"]), *(("worker", worker) for worker in workers)]
    return {
        pid: kind
        for kind, said in found
        if (pid := said.get("pid")) and _is_ours(kind.encode(), pid)
    }


def of_children(parent: int) -> Processes:
    """The managed children of a process."""
    found: Processes = {}
    for task in Path(f"/proc/{parent}/task").glob("*/children"):
        try:
            pids = task.read_text().split()
        except OSError:
            continue  # a thread that has just ended
        found |= {pid: "child" for pid in map(int, pids) if _is_ours(_CHILD, pid)}
    return found


def _is_ours(word: bytes, pid: int) -> bool:
    """Whether a process of this host has a word in its command line.

    Those of our processes hold the word broker, the word worker, or the name of the
    executable.
    """
    try:
        line = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return word in line or _CHILD in line
