"""The suite that every driver passes, and what only this driver promises."""

import sqlite3

import pytest
from acme import AcmeDriver

from storagebus.drivers import conformance, create
from storagebus.drivers.errors import (
    DataLossError,
    InvalidParameterError,
    UnavailableError,
)
from storagebus.drivers.standing import Lease, Standing, standing_on


def test_it_conforms(tmp_path):
    file = str(tmp_path / "objects.db")
    report = conformance.in_process(lambda: AcmeDriver(database=file))
    assert report.ok, str(report)


def test_the_executable_conforms(tmp_path):
    """The same suite over the managed child registry-storage-acme."""
    report = conformance.child("acme", {"database": str(tmp_path / "objects.db")})
    assert report.ok, str(report)


def test_a_piece_that_was_changed_on_disk_is_found(tmp_path):
    file = tmp_path / "objects.db"
    with create("acme", {"database": str(file), "sealkey": "secret"}) as driver:
        driver.put_content("/a", b"what was stored")
        with sqlite3.connect(file) as database:
            database.execute("UPDATE pieces SET data = ?", (b"something else!",))
        database.close()
        with pytest.raises(DataLossError, match="damaged"):
            driver.get_content("/a")


@pytest.mark.parametrize(
    "change",
    [
        lambda store: store.put_content("/a", b"new"),
        lambda store: store.move("/a", "/b"),
        lambda store: store.delete("/a"),
    ],
)
def test_a_call_that_was_cut_off_changes_nothing(change, tmp_path):
    with create("acme", {"database": str(tmp_path / "objects.db")}) as driver:
        driver.put_content("/a", b"old")
        with standing_on(Standing(Lease(0.0))), pytest.raises(UnavailableError):
            change(driver)
        assert driver.list("/") == ["/a"]
        assert driver.get_content("/a") == b"old"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "'database' is required"),
        ({"database": "objects.db"}, "'database': must be an absolute path"),
        ({"database": "/nowhere/objects.db"}, "there is no directory /nowhere"),
        ({"database": "/x/y.db", "sealkey": "s" * 65}, "'sealkey': must be 64 bytes"),
    ],
)
def test_wrong_parameters_are_named(given, says):
    with pytest.raises(InvalidParameterError, match=says):
        create("acme", given)
