"""A worker for a driver that is known by name: what `storagebus worker` runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..drivers.factory import create
from .instance import instance_of
from .serving import serve


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
        SystemExit: every broker has refused it.
    """
    return serve(
        create(driver, parameters),
        service,
        endpoint=endpoints,
        slots=slots,
        streams=streams,
        lane_bytes_max=lane_bytes_max,
        grace_s=grace_s,
        name=name,
        instance=instance_of(driver, parameters),
    )
