"""A bus as users run it: `storagebus up` and the processes that it starts."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

READY_S_MAX = 30
STOP_S_MAX = 30
UP = [sys.executable, "-m", "storagebus.conf", "up"]


@contextmanager
def running_bus(
    driver: str,
    parameters: dict[str, Any],
    workers: int = 2,
    options: Sequence[str] = (),
) -> Iterator[str]:
    """Start a bus for one driver; the value is its endpoint.

    It must end in good order, with code 0, and leave no process of its group.
    """
    folder = tempfile.mkdtemp(prefix="sb-")  # short, as Unix sockets' paths are
    endpoint = f"ipc://{folder}/bus"
    words = ["--driver", driver, "--parameters", json.dumps(parameters)]
    words += ["--endpoint", endpoint, "--workers", str(workers), *options]
    up = subprocess.Popen(
        [*UP, *words], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert up.stdout is not None
        line = up.stdout.readline()
        assert endpoint in line, f"`storagebus up` said {line!r}"
        yield endpoint
        up.terminate()
        assert up.wait(STOP_S_MAX) == 0
    finally:
        if up.poll() is None:
            up.kill()
            up.wait()
        if up.stdout is not None:
            up.stdout.close()
        shutil.rmtree(folder, ignore_errors=True)
    assert not alive(up.pid), "processes were left behind"


def alive(group: int) -> bool:
    """Whether a process group has a process."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
