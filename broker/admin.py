"""The broker's own service, `$bus`: its status, draining a worker, and the news of how
one ended. Pure."""

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
"""Workers of a service that are shown, if there is room for them."""
STATUS_BYTES_MAX = MAP_BYTES_MAX - 256


def answer(core: BrokerCore, wanted: Open, opened: Message, now: float) -> Message:
    """The terminal message for a call to `$bus`."""
    stream = opened.stream
    if opened.code == Operation.STATUS:
        fields = pack(Result(status=_status_text(core, now)))
        return Message(Type.RESULT, stream, fields=fields)
    if opened.code == Operation.DRAIN:
        worker = core.roster.find(wanted.worker)
        if worker is None:
            error = PathNotFoundError(f"no worker {wanted.worker!r}; see status")
            return error_message(error, stream)
        core.drain(worker)
        return Message(Type.RESULT, stream, fields=pack(Result(state="draining")))
    if opened.code == Operation.OBITUARY:
        core.ended(wanted.cookie, crashed=wanted.crashed)
        return Message(Type.RESULT, stream, fields=pack(Result()))
    return error_message(
        UnsupportedMethodError(f"the broker has no operation {opened.code}"), stream
    )


def status(
    core: BrokerCore,
    now: float,
    *,
    workers_max: int = WORKERS_SHOWN_MAX,
    brief: bool = False,
) -> dict[str, Any]:
    """What the broker knows, for people and for `ready`.

    Args:
        core: the broker.
        now: the time.
        workers_max: workers of a service that are shown.
        brief: of each worker only its id and pid.
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
                for worker in workers[:workers_max]
            ],
            "workers_total": len(workers),
            "calls": sum(worker.calls for worker in workers),
            "streams": sum(worker.open for worker in workers),
            "slots": sum(worker.slots for worker in workers),
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
            "in_flight_bytes": budget.in_flight,
            "unread_bytes": core.switch.unread.bytes,
            "in_flight_bytes_max": budget.in_flight_max,
            "services_total": len(core.roster.services),
            "counters": core.counters,
        },
        "services": services,
    }


def _status_text(core: BrokerCore, now: float) -> bytes:
    """The status as JSON, in the most detail that a map has room for."""
    text = b""
    for workers_max, brief in ((WORKERS_SHOWN_MAX, False), (WORKERS_SHOWN_MAX, True)):
        text = _json(status(core, now, workers_max=workers_max, brief=brief))
        if len(text) <= STATUS_BYTES_MAX:
            return text
    shown = status(core, now, workers_max=0, brief=True)
    services = shown["services"]
    while len(text := _json(shown)) > STATUS_BYTES_MAX:
        for name in list(services)[len(services) // 2 :]:
            del services[name]
    return text


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _worker(worker: WorkerSession, now: float) -> dict[str, Any]:
    return {
        "id": worker.id,
        "pid": worker.hello.pid,
        "name": worker.hello.name,
        "driver": worker.hello.driver,
        "api_version": worker.hello.api_version,
        "state": worker.state,
        "slots": worker.slots,
        "calls": worker.calls,
        "streams_max": worker.streams_max,
        "streams": worker.open,
        "done": worker.done,
        "direct": worker.load.direct,
        "heard_s": round(now - worker.heard, 3),
        "stuck_s": round(worker.stuck_s(now), 3),
        "oldest_ms": worker.load.oldest_ms,
        "lag_ms": worker.load.lag_ms,
    }
