import os
from typing import Any

import click
import pytest

from storagebus.conf.subject import CLIENT, subject
from storagebus.drivers.errors import InvalidStorageDriverError


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((None, None, False, None, None), "give --driver"),
        (("inmemory", None, False, "ipc:///x", None), "give --driver"),
        ((None, {}, False, "ipc:///x", None), "are for --driver"),
        ((None, None, True, "ipc:///x", None), "are for --driver"),
        (("inmemory", None, False, None, "a"), "is for --endpoint"),
    ],
)
def test_options_that_do_not_fit(given: Any, said: str) -> None:
    with pytest.raises(click.UsageError, match=said), subject(*given, 1.0):
        pass


def test_a_driver_in_this_process() -> None:
    with subject("inmemory", None, False, None, None, 1.0) as (store, find):
        assert store.name == "inmemory"
        assert find() == {os.getpid(): CLIENT}


def test_a_managed_child(tmp_path: Any) -> None:
    given = {"rootdirectory": str(tmp_path)}
    with subject("filesystem", given, True, None, None, 10.0) as (store, find):
        store.put_content("/a", b"x")
        assert set(find().values()) == {CLIENT, "child"}


def test_an_executable_that_is_missing() -> None:
    with (
        pytest.raises(InvalidStorageDriverError),
        subject("no-such", None, True, None, None, 1.0),
    ):
        pass


def test_a_service(bus: str) -> None:
    with subject(None, None, False, bus, "default", 10.0) as (store, find):
        assert store.name == "filesystem"
        assert list(find().values()) == [CLIENT, "broker", "worker", "worker"]
