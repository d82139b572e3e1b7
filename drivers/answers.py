"""What a driver answers, checked where it would be believed.

A fault of a driver is found out here, with its name and a reason that its author can
use, and not where the answer is packed, sorted or walked.
"""

from __future__ import annotations

from datetime import datetime

from .contract import FileInfo
from .errors import StorageError


def check_info(path: str, info: object) -> FileInfo:
    """The answer of `stat`.

    Raises:
        StorageError: it is none; says what is wrong with it.
    """
    if not isinstance(info, FileInfo):
        raise StorageError(
            f"its stat gave {type(info).__name__}, no FileInfo", path=path
        )
    time = info.mod_time
    if type(info.size) is not int or info.size < 0:
        fault = f"a size of {info.size!r}"[:80]
    elif not isinstance(info.is_dir, bool):
        fault = f"is_dir of {info.is_dir!r}"[:80]
    elif time is None:
        return info
    elif not isinstance(time, datetime):
        fault = f"mod_time of {time!r}"[:80]
    elif time.tzinfo is None:
        fault = "mod_time without a zone"
    else:
        return info
    raise StorageError(f"its stat gave {fault}", path=path)


def check_url(path: str, url: object) -> str | None:
    """The answer of `redirect_url`.

    Raises:
        StorageError: it is neither a string nor None.
    """
    if url is None or isinstance(url, str):
        return url
    raise StorageError(f"its redirect_url gave {type(url).__name__}", path=path)
