"""broker/addresses.py: what is an address, said in words."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storagebus.broker.addresses import (
    ADDRESSES_MAX,
    IPC_PATH_BYTES_MAX,
    check_address,
    check_addresses,
    is_local,
)
from storagebus.drivers.errors import InvalidParameterError

LONGEST = "ipc:///" + "x" * (IPC_PATH_BYTES_MAX - 1)


@pytest.mark.parametrize(
    "address",
    [
        "ipc:///run/storagebus/clients",
        LONGEST,
        "tcp://127.0.0.1:7400",
        "tcp://node-1.example_2:65535",
        "tcp://[::1]:1",
        "tcp://[fe80::1%eth0]:1",
    ],
)
def test_good(address: str) -> None:
    assert check_address(address) == address
    assert check_address(address, bind=True) == address


@pytest.mark.parametrize("address", ["tcp://*:7400", "tcp://*:0"])
def test_any_host_only_to_bind(address: str) -> None:
    assert check_address(address, bind=True) == address
    with pytest.raises(InvalidParameterError, match="a host is needed"):
        check_address(address)


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:*", "tcp://[::]:0"])
def test_any_port_only_to_bind(address: str) -> None:
    assert check_address(address, bind=True) == address
    with pytest.raises(InvalidParameterError, match="a port is needed"):
        check_address(address)


@pytest.mark.parametrize(
    ("address", "says"),
    [
        (7400, "not int"),
        (None, "not NoneType"),
        ("", "use ipc:///path or tcp://host:port"),
        ("localhost:7400", "use ipc"),
        ("http://a:1", "use ipc"),
        ("tcp://a", "use ipc"),
        ("tcp://a:1/x", "use ipc"),
        ("tcp://a b:1", "use ipc"),
        ("tcp://:1", "use ipc"),
        ("tcp://a:1\n", "use ipc"),
        ("tcp://a:65536", "no such port"),
        ("ipc://relative", "absolute path"),
        ("ipc://", "absolute path"),
        ("ipc:///a\0b", "control characters"),
        ("ipc:///a\n", "control characters"),
        ("ipc:///\udcff", "control characters"),
        (LONGEST + "x", "at most 107 bytes"),
        ("ipc:///" + "ä" * 54, "at most 107 bytes"),
    ],
)
def test_bad(address: Any, says: str) -> None:
    with pytest.raises(InvalidParameterError, match=says):
        check_address(address)


@given(st.text())
def test_any_text(address: str) -> None:
    try:
        check_address(address, bind=True)
    except InvalidParameterError:
        pass


def test_lists() -> None:
    assert check_addresses("tcp://a:1") == ("tcp://a:1",)
    assert check_addresses(" tcp://a:1, ipc:///b,") == ("tcp://a:1", "ipc:///b")
    assert check_addresses(["tcp://a:1", "tcp://b:2", "tcp://a:1"]) == (
        "tcp://a:1",
        "tcp://b:2",
    )
    for wrong in ([], 5, None, ["tcp://a:1"] * (ADDRESSES_MAX + 1), {"a"}):
        with pytest.raises(InvalidParameterError, match="list of 1 to 16"):
            check_addresses(wrong)


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("ipc:///run/x", True),
        ("tcp://127.0.0.1:1", True),
        ("tcp://127.8.9.1:1", True),
        ("tcp://[::1]:1", True),
        ("tcp://localhost:1", True),
        ("tcp://*:1", False),
        ("tcp://0.0.0.0:1", False),
        ("tcp://[::]:1", False),
        ("tcp://192.168.1.1:1", False),
        ("tcp://example:1", False),
        ("nonsense", False),
    ],
)
def test_who_can_reach_it(address: str, local: bool) -> None:
    assert is_local(address) is local
