"""Drivers by name: what is found where, and what the errors say."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Iterator

import pytest

from storagebus.drivers import StorageDriver, create, factory, register
from storagebus.drivers.checked import Checked
from storagebus.drivers.errors import (
    AccessDeniedError,
    InvalidParameterError,
    InvalidStorageDriverError,
    StorageError,
    UnavailableError,
)
from storagebus.drivers.inmemory import InMemoryDriver


@pytest.fixture(autouse=True)
def own_registrations(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(factory, "_registered", {})
    yield


@pytest.mark.parametrize("name", ["inmemory", "filesystem"])
def test_built_in_drivers_come_checked(name: str, tmp_path: object) -> None:
    parameters = {"rootdirectory": str(tmp_path)} if name == "filesystem" else {}
    with create(name, parameters) as driver:
        assert isinstance(driver, Checked)
        assert driver.name == name


def test_importing_the_package_loads_no_driver() -> None:
    """Nobody pays for drivers, or for their packages, that they do not use."""
    code = (
        "import sys, storagebus.drivers as d\n"
        "assert not {'storagebus.drivers.filesystem', 'zmq'} & set(sys.modules)\n"
        "d.create('inmemory')\n"
        "assert 'storagebus.drivers.filesystem' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


def test_a_registered_driver_gets_its_parameters() -> None:
    seen: dict[str, object] = {}

    def make(**parameters: object) -> StorageDriver:
        seen.update(parameters)
        return InMemoryDriver()

    register("acme", make)
    driver = create("acme", {"bucket": "b"})
    assert seen == {"bucket": "b"}
    driver.put_content("/a", b"1")
    assert driver.get_content("/a") == b"1"


def test_a_checked_driver_is_not_wrapped_again() -> None:
    checked = Checked(InMemoryDriver())
    register("acme", lambda: checked)
    assert create("acme") is checked


@pytest.mark.parametrize("name", ["acme", "inmemory"])
def test_a_name_is_registered_once(name: str) -> None:
    if name == "acme":
        register(name, InMemoryDriver)
    with pytest.raises(InvalidParameterError, match="registered already"):
        register(name, InMemoryDriver)


def test_a_factory_must_be_callable() -> None:
    with pytest.raises(InvalidParameterError, match="not callable"):
        register("acme", "InMemoryDriver")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["", "Acme", "-rf", "a/b", "../x", "a" * 65, None, 7])
def test_an_unfit_name_is_refused(name: object) -> None:
    with pytest.raises(InvalidStorageDriverError, match="lower-case letters"):
        create(name)  # type: ignore[arg-type]


def test_an_unknown_name_says_where_it_was_looked_for() -> None:
    with pytest.raises(InvalidStorageDriverError) as caught:
        create("no-such-driver")
    for place in ("registered", "filesystem, inmemory", "entry point"):
        assert place in str(caught.value)


def test_a_factory_that_returns_no_driver_is_refused() -> None:
    register("acme", lambda: object())  # type: ignore[arg-type, return-value]
    with pytest.raises(InvalidStorageDriverError, match="returned object"):
        create("acme")


@pytest.mark.parametrize(
    ("raised", "cls"),
    [
        (ZeroDivisionError("division by zero"), StorageError),
        (PermissionError(errno.EACCES, "Permission denied"), AccessDeniedError),
        (UnavailableError("the store is down"), UnavailableError),
    ],
)
def test_a_factory_that_fails_does_so_with_a_typed_error(
    raised: Exception, cls: type[StorageError]
) -> None:
    def make() -> StorageDriver:
        raise raised

    register("acme", make)
    with pytest.raises(cls):
        create("acme")


def test_parameters_that_the_factory_does_not_take_are_named() -> None:
    register("acme", lambda bucket: InMemoryDriver())
    with pytest.raises(InvalidParameterError, match="bukket") as caught:
        create("acme", {"bukket": "b"})
    assert caught.value.driver == "acme"


def test_a_missing_parameter_is_named_and_not_the_factory() -> None:
    with pytest.raises(InvalidParameterError) as caught:
        create("bus", {})
    assert str(caught.value) == (
        "bus: invalid parameter: missing a required argument: 'endpoint'"
    )


@pytest.mark.parametrize("given", [[("a", 1)], "text", {1: 2}])
def test_parameters_are_a_map_from_names(given: object) -> None:
    with pytest.raises(InvalidParameterError, match="map from names"):
        create("inmemory", given)  # type: ignore[arg-type]


def test_a_driver_of_this_process_takes_no_pool() -> None:
    with pytest.raises(InvalidParameterError, match="no pool"):
        create("inmemory", pool={"workers": 2})
