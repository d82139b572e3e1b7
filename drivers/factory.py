"""Drivers by name: registered, built in, an entry point, or an executable.

`create` looks in this order, and says in its error where it looked:

1. what `register` was given in this process;
2. the drivers of this package, imported only when asked for, so that nobody loads a
   cloud SDK that they do not use;
3. the entry point group `storagebus.drivers`: `bus`, and third-party drivers;
4. the executable `registry-storage-NAME`, through the entry point group
   `storagebus.fallbacks`, which the client package fills.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from .arguments import check_parameters
from .checked import Checked
from .contract import StorageDriver
from .errors import (
    Executed,
    InvalidParameterError,
    InvalidStorageDriverError,
    StorageError,
)
from .oserrors import from_os_error

Factory = Callable[..., StorageDriver]

DRIVERS_GROUP = "storagebus.drivers"
FALLBACKS_GROUP = "storagebus.fallbacks"
EXECUTABLE_PREFIX = "registry-storage-"

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_BUILT_IN = {
    "azure": ("azure", "AzureDriver"),
    "filesystem": ("filesystem", "FilesystemDriver"),
    "inmemory": ("inmemory", "InMemoryDriver"),
    "s3": ("s3", "S3Driver"),
}
_registered: dict[str, Factory] = {}
_lock = threading.Lock()


def register(name: str, factory: Factory) -> None:
    """Make a driver known to `create` in this process.

    Args:
        name: lower-case letters, digits, ".", "_" and "-".
        factory: called with the parameters as keywords; returns a `StorageDriver`.

    Raises:
        InvalidParameterError: the name is unfit or taken, or the factory not callable.
    """
    _check_name(name)
    if not callable(factory):
        raise InvalidParameterError(f"the factory of driver {name!r} is not callable")
    with _lock:
        if name in _registered or name in _BUILT_IN:
            raise InvalidParameterError(f"driver {name!r} is registered already")
        _registered[name] = factory


def create(
    name: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    pool: Mapping[str, int] | None = None,
) -> StorageDriver:
    """Make a driver by name.

    Args:
        name: "inmemory", "filesystem", "bus", a registered or installed driver, or the
            NAME of an executable `registry-storage-NAME`.
        parameters: the driver's own, see its page.
        pool: for an executable, the size of its pool of processes.

    Returns:
        The driver behind its checks (`drivers.checked.Checked`).

    Raises:
        InvalidStorageDriverError: no such driver; says what was looked for.
        InvalidParameterError: a parameter is unknown, missing or wrong.
        StorageError: the driver could not be made, for whatever reason it gave.
    """
    _check_name(name)
    given = dict(check_parameters({} if parameters is None else parameters))
    factory, tried = find(name)
    if factory is not None:
        if pool is not None:
            raise InvalidParameterError(
                f"driver {name!r} runs in this process and takes no pool"
            )
        try:
            driver = call_factory(name, factory, given)
        except StorageError:
            raise
        except OSError as error:
            raise from_os_error(error, None) from error
        except Exception as error:
            what = f"it could not be made: {type(error).__name__}: {error}"
            raise StorageError(what, driver=name, executed=Executed.NO) from error
        return driver if isinstance(driver, Checked) else Checked(driver)
    return _create_child(name, given, pool, tried)


def create_child(
    name: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    pool: Mapping[str, int] | None = None,
) -> StorageDriver:
    """Make a managed child, though a driver of that name runs in this process too.

    The parameters and errors are those of `create`.
    """
    _check_name(name)
    given = dict(check_parameters({} if parameters is None else parameters))
    return _create_child(name, given, pool, [])


def _create_child(
    name: str,
    parameters: dict[str, Any],
    pool: Mapping[str, int] | None,
    tried: list[str],
) -> StorageDriver:
    """The first fallback that knows the name; `tried` is where else it was sought."""
    for point in entry_points(group=FALLBACKS_GROUP):
        found: StorageDriver | None = point.load()(name, parameters, pool)
        if found is not None:
            return found
    tried.append(f"executable {EXECUTABLE_PREFIX}{name} on PATH")
    raise InvalidStorageDriverError(f"{name!r}; looked for: {', '.join(tried)}")


def find(name: str) -> tuple[Factory | None, list[str]]:
    """The factory of a driver that runs in this process, and where it was looked for.

    Raises:
        InvalidStorageDriverError: it is there, but cannot be imported.
    """
    tried = ["a driver registered in this process"]
    if name in _registered:
        return _registered[name], tried
    if name in _BUILT_IN:
        module, attribute = _BUILT_IN[name]
        try:
            return getattr(import_module(f".{module}", __package__), attribute), tried
        except ImportError as error:
            raise InvalidStorageDriverError(
                f"{name!r} needs a package that is not installed ({error}); "
                f"pip install 'storagebus[{name}]'"
            ) from error
    tried.append(f"the built-in drivers {', '.join(sorted(_BUILT_IN))}")
    tried.append(f"entry point {name!r} in the group {DRIVERS_GROUP}")
    for point in entry_points(group=DRIVERS_GROUP, name=name):
        try:
            return point.load(), tried
        except Exception as error:
            raise InvalidStorageDriverError(
                f"{name!r}: its entry point {point.value} cannot be loaded ({error})"
            ) from error
    return None, tried


def call_factory(
    name: str, factory: Factory, parameters: Mapping[str, Any]
) -> StorageDriver:
    """Call a driver's factory, and take nothing but a driver from it.

    Raises:
        InvalidParameterError: the factory does not take these parameters.
        InvalidStorageDriverError: it returned something else.
    """
    try:
        driver = factory(**parameters)
    except TypeError as error:
        detail = _misfit(factory, parameters) or str(error)
        raise InvalidParameterError(detail, driver=name) from error
    if not isinstance(driver, StorageDriver):
        raise InvalidStorageDriverError(
            f"{name!r}: its factory returned {type(driver).__name__}, no StorageDriver"
        )
    return driver


def _misfit(factory: Factory, parameters: Mapping[str, Any]) -> str:
    """What is wrong with the names of parameters, without the factory's own name."""
    from inspect import signature

    try:
        taken = signature(factory)
        taken.bind_partial(**parameters)  # first: a misspelled name is missing as well
        taken.bind(**parameters)
    except TypeError as error:
        return str(error)
    except ValueError:
        pass  # a factory written in C may not tell
    return ""


def entry_points(**wanted: str) -> Any:
    """Entry points of a group; imported late, as only a driver that is not our own
    needs them and they take a third of the time that this package takes to import."""
    from importlib.metadata import entry_points as find_all

    return find_all(**wanted)


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidStorageDriverError(
            f"{name!r}: a driver's name is lower-case letters, digits and . _ -"
        )
