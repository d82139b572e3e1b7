"""A worker for a driver that is known by name: what `storagebus worker` runs."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ..drivers.contract import StorageDriver
from ..drivers.factory import create
from .exits import Exit
from .instance import instance_of
from .lifeline import LIFELINE_VARIABLE
from .logs import gist
from .probe import Probe
from .serving import serve

PAUSE_FIRST_S = 0.5
PAUSE_MAX_S = 10.0
"""Between two questions whether the store can be used."""

log = logging.getLogger("storagebus.worker")


def run_worker(
    endpoints: str | Sequence[str],
    service: str,
    driver: str,
    parameters: Mapping[str, Any],
    *,
    slots: int | None = None,
    streams: int | None = None,
    lane_bytes_max: int | None = None,
    grace_s: float | None = None,
    name: str | None = None,
) -> int:
    """Make the driver in this process and serve it until told to stop.

    What is not given comes from the environment that the parent has set, or is 16
    slots, 1,024 streams and 30 seconds.

    It joins no broker before the store can be used: what it would get to do fails.

    Args:
        endpoints: address of the broker's door for workers, or of several brokers'.
        service: name of the service.
        driver: the driver's name, as for `create`.
        parameters: the driver's own, secrets in place.
        slots: calls at once.
        streams: open streams at once.
        lane_bytes_max: bytes of shared memory for clients of this host; 0 for no lanes.
        grace_s: seconds that a drain may take, after SIGTERM.
        name: for people.

    Returns:
        0, when it was told to stop.

    Raises:
        InvalidStorageDriverError: no such driver.
        InvalidParameterError: a parameter or an address is wrong.
        SystemExit: every broker has refused it; or the store cannot be used, and there
            is a parent that starts it again.
    """
    made = create(driver, parameters)
    await_store(made)
    return serve(
        made,
        service,
        endpoint=endpoints,
        slots=slots,
        streams=streams,
        lane_bytes_max=lane_bytes_max,
        grace_s=grace_s,
        name=name,
        instance=instance_of(driver, parameters),
    )


def await_store(driver: StorageDriver) -> None:
    """Return when the driver's store can be used.

    Args:
        driver: the driver.

    Raises:
        SystemExit: it cannot, and a manager is waiting for this process: that one tells
            its owner, and starts another. A process on its own asks again and again.
    """
    probe, pause_s, told = Probe(driver), PAUSE_FIRST_S, ""
    while (error := probe.ask()) is not None:
        why = f"the store cannot be used: {error}"
        if LIFELINE_VARIABLE in os.environ:
            print(f"storagebus: {why}", file=sys.stderr, flush=True)
            raise SystemExit(int(Exit.STORE))
        if gist(why) != told:
            log.warning("%s; it is asked again", why)
        told = gist(why)
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, PAUSE_MAX_S)
