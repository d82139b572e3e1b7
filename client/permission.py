"""Whether this process may connect at all: ZeroMQ would try for ever, in silence.

A broker that is not there yet is waited for; one whose socket is closed to this user
will not open it by waiting.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ..drivers.errors import AccessDeniedError, Executed

SCHEME = "ipc://"


def check_permission(endpoints: Sequence[str]) -> None:
    """Return if one of the endpoints may be reached, as far as can be seen.

    Args:
        endpoints: checked addresses.

    Raises:
        AccessDeniedError: each is a socket that the system keeps this user from.
    """
    if all(map(_is_denied, endpoints)):
        raise AccessDeniedError(
            f"user {os.geteuid()} may not connect to {' or '.join(endpoints)}: that "
            "takes permission to write to the socket and to enter its directory",
            executed=Executed.NO,
        )


def _is_denied(endpoint: str) -> bool:
    if not endpoint.startswith(SCHEME):
        return False
    path = Path(endpoint.removeprefix(SCHEME))
    try:
        path.stat()
    except PermissionError:
        return True
    except OSError:
        return False  # it may come
    return not os.access(path, os.W_OK, effective_ids=True)
