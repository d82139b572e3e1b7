"""What all brokers of a bus say of its workers, as one, and which of them say nothing.

A worker joins every broker. It counts as there when every broker that answers has it,
as alive when one of them has heard it, and its work at all of them is its work.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any

from ..drivers.errors import StorageError, UnavailableError
from .compose import broker_doors
from .options import Target, open_client
from .schema import Broker

if TYPE_CHECKING:
    from ..client import Client

SERVICE = "default"
SILENT_ASKS = 5
"""Questions that a broker must leave unanswered before it counts as silent."""

Status = Mapping[str, Any]


class Census:
    """Asks them.

    Args:
        clients: one of each broker, with a short deadline.

    Attributes:
        count: brokers.
    """

    def __init__(self, clients: Sequence[Client]) -> None:
        self._clients = clients
        self.count = len(clients)
        self._since: dict[int, float] = {}
        self._asks: dict[int, int] = {}

    def bus_status(self) -> dict[str, Any]:
        """What the brokers that answer say of their services.

        Raises:
            StorageError: none of them answers.
        """
        found: list[Status] = []
        error: StorageError = UnavailableError("there is no broker")
        for number, client in enumerate(self._clients):
            asked = time.monotonic()
            try:
                found.append(client.bus_status())
            except StorageError as failure:
                error = failure
                self._since.setdefault(number, asked)
                self._asks[number] = self._asks.get(number, 0) + 1
            else:
                self._since.pop(number, None)
                self._asks.pop(number, None)
        if not found:
            raise error
        return merged(found)

    @property
    def deaf(self) -> frozenset[int]:
        """Numbers of the brokers that have not answered the last question."""
        return frozenset(self._since)

    def silent_s(self) -> dict[int, float]:
        """Seconds for which brokers have not answered, by their numbers from 0."""
        now = time.monotonic()
        return {
            number: now - since
            for number, since in self._since.items()
            if self._asks[number] >= SILENT_ASKS
        }

    def forgive(self, number: int) -> None:
        """A broker is being replaced: its silence counts from now on."""
        self._since.pop(number, None)
        self._asks.pop(number, None)


@contextmanager
def broker_clients(broker: Broker, ask_s: float) -> Iterator[list[Client]]:
    """A client of each broker.

    Args:
        broker: with the clients' doors.
        ask_s: deadline of its calls, in seconds.
    """
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                closing(
                    open_client(Target(broker_doors(broker, number)[0], SERVICE, ask_s))
                )
            )
            for number in range(broker.processes)
        ]


def merged(statuses: Sequence[Status]) -> dict[str, Any]:
    """Several brokers' statuses as that of one."""
    if len(statuses) == 1:
        return dict(statuses[0])
    names = dict.fromkeys(name for each in statuses for name in each["services"])
    services = {}
    for name in names:
        said = [each["services"].get(name, _NOTHING) for each in statuses]
        services[name] = {
            "workers": _workers([service["workers"] for service in said]),
            "workers_total": min(service["workers_total"] for service in said),
            **{key: sum(service[key] for service in said) for key in _SUMS},
        }
    return {"broker": statuses[0]["broker"], "services": services}


_SUMS = ("calls", "streams", "slots", "waiting")
_NOTHING: Status = {"workers": [], "workers_total": 0, **dict.fromkeys(_SUMS, 0)}
_LEAST = ("heard_s", "lag_ms")
_MOST = ("stuck_s", "oldest_ms")


def _workers(lists: Sequence[Sequence[Status]]) -> list[dict[str, Any]]:
    """The workers that are in all lists, by process."""
    by_pid = [{worker["pid"]: worker for worker in each} for each in lists]
    found = []
    for pid, first in by_pid[0].items():
        same = [each[pid] for each in by_pid if pid in each]
        if len(same) < len(by_pid):
            continue
        one = dict(first)
        states = [each["state"] for each in same if "state" in each]
        if states:
            one["state"] = next((s for s in states if s != "ready"), "ready")
        for keys, pick in ((_LEAST, min), (_MOST, max), (("calls", "streams"), sum)):
            for key in keys:
                values = [each[key] for each in same if key in each]
                if values:
                    one[key] = pick(values)
        found.append(one)
    return found
