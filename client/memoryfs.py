"""File systems that are memory: no read there waits for a disk.

They do not know RWF_NOWAIT, which for other files says whether a read would wait.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

MOUNTS = "/proc/self/mountinfo"
DEVICES_MAX = 64
"""Devices that are remembered."""
_TYPES = ("tmpfs", "ramfs")


def is_in_memory(fd: int) -> bool:
    """Whether a file's bytes are in memory and nowhere else, but for what the system
    has swapped out."""
    return _is_memory(os.fstat(fd).st_dev)


@lru_cache(DEVICES_MAX)
def _is_memory(device: int) -> bool:
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        mounts = Path(MOUNTS).read_text(errors="replace").splitlines()
    except OSError:
        return False
    for mount in mounts:
        # 36 35 98:0 /root /point options [more ...] - type source options
        place, _, kind = mount.partition(" - ")
        if place.split(" ")[2:3] == [wanted]:
            return kind.split(" ")[0] in _TYPES
    return False
