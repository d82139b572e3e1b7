"""The interface: what a driver need not write itself."""

from __future__ import annotations

import io
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storagebus.drivers import Capabilities, StorageDriver, Walk, create
from storagebus.drivers.errors import InvalidStateError, UnsupportedMethodError

FLAGS = st.booleans()
LIMITS = st.none() | st.integers(0, 1 << 60)
CAPABILITIES = st.builds(
    Capabilities,
    *[FLAGS] * 7,
    object_bytes_max=LIMITS,
    path_bytes_max=LIMITS,
    part_bytes_min=st.integers(0, 1 << 40),
    streams_max=LIMITS,
)


@given(CAPABILITIES)
def test_capabilities_survive_the_handshake(capabilities: Capabilities) -> None:
    assert Capabilities.from_fields(capabilities.to_fields()) == capabilities


def test_capabilities_of_a_faulty_or_newer_peer_are_the_defaults() -> None:
    fields = {"resume": 1, "shared": None, "part_bytes_min": True, "teleport": True}
    assert Capabilities.from_fields(fields) == Capabilities()


def test_defaults_stand_on_reader_and_writer() -> None:
    """get_content, put_content and walk of a driver that wrote none of them."""
    driver = create("inmemory")._driver  # type: ignore[attr-defined]
    StorageDriver.put_content(driver, "/d/a", b"position 0123456789")
    assert StorageDriver.get_content(driver, "/d/a") == b"position 0123456789"
    with StorageDriver.walk(driver, "/") as walk:
        assert [info.path for info in walk] == ["/d", "/d/a"]
    assert StorageDriver.redirect_url(driver, "/d/a") is None
    with pytest.raises(UnsupportedMethodError) as caught:
        StorageDriver.upload_status(driver, "/d/a", "id")
    assert caught.value.driver == "inmemory"


def test_a_walk_without_skip_says_so() -> None:
    class Bare(Walk):
        def __next__(self) -> object:  # type: ignore[override]
            raise StopIteration

    with Bare() as walk, pytest.raises(NotImplementedError):
        walk.skip()


def test_a_writer_takes_what_a_file_holds() -> None:
    data = random.Random(7).randbytes(2_500_000)
    moved: list[int] = []
    with create("inmemory", {}) as driver:
        file = io.BytesIO(b"head" + data)
        file.seek(4)
        with driver.writer("/a") as writer:
            assert writer.write_from(file, length=10) == 10
            assert writer.write_from(file, moved=moved.append) == len(data) - 10
            assert writer.write_from(file) == 0
            writer.commit()
            with pytest.raises(InvalidStateError):
                writer.write_from(file)
        assert driver.get_content("/a") == data
        assert (len(moved), sum(moved)) == (3, len(data) - 10)
