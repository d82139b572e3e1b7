"""A driver's executable as a pool of child processes.

Makes the `ProcessSpec` for `registry-storage-NAME`, for a managed child and for a
service of `storagebus up` alike. PROTOCOL.md section 10 is the contract.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from sysconfig import get_path

from ..drivers.errors import InvalidParameterError, InvalidStorageDriverError
from ..drivers.factory import EXECUTABLE_PREFIX
from .children import START_TIMEOUT_S, ProcessSpec
from .references import split_secrets
from .spawned import (
    ENDPOINT,
    GRACE_S,
    GRACE_S_DEFAULT,
    LANE_BYTES,
    SERVICE,
    SLOTS,
    STREAMS,
)

KILL_MARGIN_S = 2.0
"""How much longer than its own grace a child has until it is killed."""


def find_executable(driver: str) -> str | None:
    """Path of a driver's executable, or None.

    It is looked for on PATH, then where this Python installs its commands: the
    drivers of this package are there, though nobody may have put that on PATH.
    """
    name = EXECUTABLE_PREFIX + driver
    return shutil.which(name) or shutil.which(name, path=get_path("scripts"))


def executable_spec(
    driver: str,
    parameters: Mapping[str, object],
    *,
    endpoints: Sequence[str],
    service: str,
    name: str | None = None,
    executable: str | None = None,
    public: Iterable[str] = (),
    instances: int = 1,
    slots: int | None = None,
    streams: int | None = None,
    lane_bytes_max: int | None = None,
    surge: bool = True,
    start_timeout_s: float = START_TIMEOUT_S,
    grace_s: float = GRACE_S_DEFAULT,
) -> ProcessSpec:
    """How to run a driver's executable as worker processes.

    Args:
        driver: its name.
        parameters: the driver's; what is not public does not get onto the command line.
        endpoints: workers' doors that each process joins.
        service: what it serves.
        name: of the pool; None for the driver's.
        executable: its path; None looks on PATH.
        public: names that are public by the driver's own word.
        instances: processes.
        slots: calls at once in each; None for the child's default.
        streams: open streams at once in each; likewise.
        lane_bytes_max: bytes of shared memory in each; likewise, 0 for no lanes.
        surge: whether two processes may serve the same objects during a rolling
            restart (the driver's capability `shared`).
        start_timeout_s: seconds until a child must have said HELLO.
        grace_s: seconds that it may drain.

    Raises:
        InvalidStorageDriverError: there is no such executable.
        InvalidParameterError: the parameters cannot be handed to a process, or
            `instances` is out of bounds.
    """
    found = executable or find_executable(driver)
    if found is None:
        raise InvalidStorageDriverError(
            f"{driver!r}; looked for: executable {EXECUTABLE_PREFIX}{driver} on PATH"
        )
    argument, secrets = split_secrets(parameters, public)
    env: dict[str, str | None] = {
        ENDPOINT: ",".join(endpoints),
        SERVICE: service,
        GRACE_S: f"{grace_s:g}",
    }
    if slots is not None:
        env[SLOTS] = str(slots)
    if streams is not None:
        env[STREAMS] = str(streams)
    if lane_bytes_max is not None:
        env[LANE_BYTES] = str(lane_bytes_max)
    try:
        return ProcessSpec(
            name or driver,
            (found, argument),
            env=env,
            secrets=secrets,
            instances=instances,
            surge=surge,
            start_timeout_s=start_timeout_s,
            grace_s=grace_s + KILL_MARGIN_S,
        )
    except ValueError as error:
        raise InvalidParameterError(str(error), driver=driver) from None
