"""The jobs of calls: one function for each operation that is one driver call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ..broker.messages import Open, Operation
from ..broker.moments import to_us
from ..drivers.contract import StorageDriver
from .jobs import Answer


@dataclass(frozen=True, slots=True)
class CallDriver:
    """A call: one of the operations in `CALLS`."""

    operation: int
    request: Open
    content: bytes = field(default=b"", repr=False)

    def run(self, driver: StorageDriver) -> Answer:
        return CALLS[self.operation](driver, self.request, self.content)


def _describe(driver: StorageDriver, request: Open, content: bytes) -> Answer:
    return {
        "driver": driver.name,
        "api_version": driver.api_version,
        "capabilities": driver.capabilities.to_fields(),
    }


def _stat(driver: StorageDriver, request: Open, content: bytes) -> Answer:
    info = driver.stat(request.path)
    return {
        "path": info.path,
        "size": info.size,
        "mtime_us": None if info.mod_time is None else to_us(info.mod_time),
        "is_dir": info.is_dir,
        "identity": info.identity,
    }


def _put(driver: StorageDriver, request: Open, content: bytes) -> Answer:
    # No identity in the answer: a stat after the put could see another's object.
    driver.put_content(request.path, content)
    return {}


def _move(driver: StorageDriver, request: Open, content: bytes) -> Answer:
    driver.move(request.path, request.destination)
    return {}


def _delete(driver: StorageDriver, request: Open, content: bytes) -> Answer:
    driver.delete(request.path)
    return {}


def _redirect_url(driver: StorageDriver, request: Open, content: bytes) -> Answer:
    url = driver.redirect_url(request.path, request.method, request.expires)
    return {"url": url}


def _upload_status(driver: StorageDriver, request: Open, content: bytes) -> Answer:
    status = driver.upload_status(request.path, request.upload_id or "")
    return {
        "state": status.state.value,
        "durable": status.durable,
        "identity": status.identity,
    }


CALLS: dict[int, Callable[[StorageDriver, Open, bytes], Answer]] = {
    Operation.DESCRIBE: _describe,
    Operation.STAT: _stat,
    Operation.PUT: _put,
    Operation.MOVE: _move,
    Operation.DELETE: _delete,
    Operation.REDIRECT_URL: _redirect_url,
    Operation.UPLOAD_STATUS: _upload_status,
}
"""Operations that are one driver call, by their code on the wire."""
