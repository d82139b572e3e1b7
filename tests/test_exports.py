"""The public names: users and outside checks rely on them (README, docs)."""

from __future__ import annotations

import importlib
import inspect

import pytest

NAMES = {
    "storagebus.drivers": [
        "API_VERSION",
        "Capabilities",
        "FileInfo",
        "FileRange",
        "Reader",
        "StorageDriver",
        "UploadState",
        "UploadStatus",
        "Walk",
        "Writer",
        "create",
        "errors",
        "register",
    ],
    "storagebus.client": ["AsyncClient", "Client"],
    "storagebus.workers": ["parameters", "serve"],
}
ERRORS = [
    "AccessDeniedError",
    "BusyError",
    "CancelledError",
    "DataLossError",
    "DeadlineExceededError",
    "IncompatibleVersionError",
    "InvalidOffsetError",
    "InvalidParameterError",
    "InvalidPathError",
    "InvalidStateError",
    "InvalidStorageDriverError",
    "PathConflictError",
    "PathNotFoundError",
    "PoisonRequestError",
    "PreconditionError",
    "ProtocolError",
    "QuotaExceededError",
    "StorageError",
    "StorageFullError",
    "ThrottledError",
    "TooLargeError",
    "UnavailableError",
    "UnknownServiceError",
    "UnsupportedMethodError",
    "UploadNotFoundError",
    "UploadSupersededError",
    "WorkerLostError",
]
DRIVER_METHODS = [
    "capabilities",
    "close",
    "delete",
    "get_content",
    "list",
    "move",
    "name",
    "put_content",
    "reader",
    "redirect_url",
    "stat",
    "upload_status",
    "walk",
    "writer",
]


@pytest.mark.parametrize("module", NAMES)
def test_all_is_pinned(module: str) -> None:
    loaded = importlib.import_module(module)
    assert sorted(loaded.__all__) == NAMES[module]
    for name in NAMES[module]:
        assert getattr(loaded, name) is not None


@pytest.mark.parametrize("module", NAMES)
def test_a_name_that_is_not_there_is_an_attribute_error(module: str) -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        importlib.import_module(module).nonsense  # noqa: B018


def test_errors() -> None:
    from storagebus.drivers import errors

    tree = {
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, errors.StorageError)
    }
    assert sorted(tree) == ERRORS
    assert issubclass(errors.StorageError, Exception)


def test_a_driver_s_methods() -> None:
    from storagebus.client import AsyncClient, Client
    from storagebus.drivers import StorageDriver

    for name in [*DRIVER_METHODS, "api_version"]:
        assert hasattr(StorageDriver, name) or name in StorageDriver.__annotations__
    assert issubclass(Client, StorageDriver)
    for name in set(DRIVER_METHODS) - {"name", "capabilities"}:
        assert callable(getattr(AsyncClient, name)), name


def test_signatures() -> None:
    from storagebus.client import Client
    from storagebus.drivers import StorageDriver

    def names(function: object) -> list[str]:
        return list(inspect.signature(function).parameters)[1:]  # type: ignore[arg-type]

    assert names(Client.__init__)[:3] == ["endpoint", "service", "deadline"]
    given = inspect.signature(Client.__init__).parameters
    assert (given["service"].default, given["deadline"].default) == ("default", 30.0)
    assert names(StorageDriver.put_content) == ["path", "content"]
    assert names(StorageDriver.reader)[:3] == ["path", "offset", "length"]
    assert names(StorageDriver.writer)[:2] == ["path", "append"]
    assert names(StorageDriver.walk)[:2] == ["path", "start_after"]
    assert names(StorageDriver.move) == ["source", "destination"]
    assert names(StorageDriver.redirect_url) == ["path", "method", "expires"]


def test_the_suite_for_outsiders() -> None:
    from storagebus.drivers import conformance

    for name in ("bus", "child", "in_process"):
        assert callable(getattr(conformance, name))
