"""The broker's own service, `$bus`: its status, and draining a worker. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ..drivers.errors import (
    PathNotFoundError,
    UnsupportedMethodError,
)
from .messages import Open, Operation, Result, error_message, pack
from .wire import MAP_BYTES_MAX, Message, Type

if TYPE_CHECKING:
    from .core import BrokerCore
    from .sessions import WorkerSession

WORKERS_SHOWN_MAX = 40
"""Workers a service whose details fit into a map beside all others'."""


def answer(core: BrokerCore, wanted: Open, opened: Message, now: float) -> Message:
    """The terminal message for a call to `$bus`."""
    stream = opened.stream
    if opened.code == Operation.STATUS:
        text = json.dumps(status(core, now), separators=(",", ":")).encode()
        if len(text) > MAP_BYTES_MAX - 256:
            text = json.dumps(status(core, now, brief=True)).encode()
        return Message(Type.RESULT, stream, fields=pack(Result(status=text)))
    if opened.code == Operation.DRAIN:
        worker = core.roster.find(wanted.worker)
        if worker is None:
            error = PathNotFoundError(f"no worker {wanted.worker!r}; see status")
            return error_message(error, stream)
        core.drain(worker)
        return Message(Type.RESULT, stream, fields=pack(Result(state="draining")))
    return error_message(
        UnsupportedMethodError(f"the broker has no operation {opened.code}"), stream
    )


def status(core: BrokerCore, now: float, *, brief: bool = False) -> dict[str, Any]:
    """What the broker knows, for people and for `ready`.

    Args:
        core: the broker.
        now: the time.
        brief: with counts in place of the workers, when there are too many.
    """
    budget = core.switch.budget
    clients = [s for s in core.sessions if s.hello.role == "client"]
    services: dict[str, Any] = {}
    for name, workers in core.roster.services.items():
        backlog = core.switch.backlogs.get(name)
        services[name] = {
            "workers": [
                {"id": worker.id, "pid": worker.hello.pid}
                if brief
                else _worker(worker, now)
                for worker in workers[:WORKERS_SHOWN_MAX]
            ],
            "workers_total": len(workers),
            "waiting": len(backlog) if backlog is not None else 0,
        }
    return {
        "broker": {
            "id": core.settings.broker_id,
            "pid": core.pid,
            "uptime_s": round(now - core.started, 3),
            "clients": len(clients),
            "streams": budget.flows,
            "streams_max": budget.streams_max,
            "in_flight_bytes": in_flight_bytes(core),
            "in_flight_bytes_max": core.settings.in_flight_bytes_max,
            "counters": core.counters,
        },
        "services": services,
    }


def in_flight_bytes(core: BrokerCore) -> int:
    """Bytes that senders may have under way: the sum that the budget bounds."""
    return sum(
        stream.flow.in_flight
        for worker in core.roster.workers()
        for stream in worker.streams.values()
        if stream.flow is not None
    )


def _worker(worker: WorkerSession, now: float) -> dict[str, Any]:
    return {
        "id": worker.id,
        "pid": worker.hello.pid,
        "name": worker.hello.name,
        "driver": worker.hello.driver,
        "api_version": worker.hello.api_version,
        "state": (
            "draining" if worker.draining else "suspect" if worker.suspect else "ready"
        ),
        "slots": worker.slots,
        "calls": worker.calls,
        "streams_max": worker.streams_max,
        "streams": worker.open,
        "done": worker.done,
        "heard_s": round(now - worker.heard, 3),
        "oldest_ms": worker.load.oldest_ms,
        "lag_ms": worker.load.lag_ms,
    }
