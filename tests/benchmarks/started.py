"""A bus of a benchmark's own, as users run it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from children import STOP_S_MAX


@contextmanager
def started(
    folder: Path,
    doors: Sequence[str],
    driver: str,
    parameters: dict[str, Any],
    workers: int = 1,
) -> Iterator[None]:
    """`storagebus up` with one service, "default", while it lasts.

    Args:
        folder: for its configuration.
        doors: addresses for clients.
        driver: the driver's name.
        parameters: the driver's own.
        workers: processes of the service.

    Raises:
        SystemExit: it did not start.
    """
    file = folder / "storagebus.toml"
    given = "\n".join(f"{key} = {json.dumps(v)}" for key, v in parameters.items())
    file.write_text(
        f"[broker]\nclients = {json.dumps(list(doors))}\n"
        f"[services.default]\ndriver = {json.dumps(driver)}\nworkers = {workers}\n"
        f"[services.default.parameters]\n{given}\n"
    )
    words = [sys.executable, "-m", "storagebus.conf", "up", "--config", str(file)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        if not process.stdout.readline():
            raise SystemExit("the bus did not start")
        yield
    finally:
        process.terminate()
        process.wait(STOP_S_MAX)
        process.stdout.close()
