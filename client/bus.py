"""The driver `bus` of `create`: a client made from a driver's parameters."""

from __future__ import annotations

from collections.abc import Sequence

from ..drivers.errors import InvalidParameterError
from .client import DEADLINE_S, Client


def create(
    endpoint: str | Sequence[str],
    service: str = "default",
    deadline: float | str = DEADLINE_S,
) -> Client:
    """Make a client; any value may be a string, as from an environment variable.

    Args:
        endpoint: addresses of brokers; in a string they are separated by commas.
        service: the name of the service.
        deadline: seconds.

    Raises:
        InvalidParameterError: an argument makes no sense.
    """
    if isinstance(deadline, str):
        try:
            deadline = float(deadline)
        except ValueError:
            raise InvalidParameterError(
                "deadline: must be a number of seconds", driver="bus"
            ) from None
    return Client(endpoint, service, deadline)
