"""Memory for large messages, in processes that are ours alone.

By default glibc takes every block of a message's size fresh from the kernel, or gives
what it has kept back as soon as a few are free: each mebibyte that passes then costs
256 page faults, a fifth of all the work of a stream. A program that has us as a library
is left as it is.
"""

from __future__ import annotations

import os

LARGE_BYTES_MIN = 4_194_304
"""From this size on blocks come from the kernel: more than the largest message."""
KEPT_BYTES_MAX = 16_777_216
"""What each arena may keep free at its end."""
ARENAS_MAX = 2
"""So that little is kept; what uses much memory are two threads."""
# <malloc.h>
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8


def keep_memory() -> bool:
    """Have the C library keep the blocks of messages; False where it is not glibc."""
    if not _is_glibc():
        return False
    import ctypes

    mallopt = ctypes.CDLL(None).mallopt
    done = [
        mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES_MIN),
        mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES_MAX),
        mallopt(_M_ARENA_MAX, ARENAS_MAX),
    ]
    return all(done)


def _is_glibc() -> bool:
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    except (AttributeError, OSError, ValueError):
        return False
