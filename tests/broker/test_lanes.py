"""broker/lanes.py: who is on this host, and where a side socket may be."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from storagebus.broker import lanes
from storagebus.broker.lanes import (
    Descriptor,
    abstract_name,
    host_mark,
    is_own_user,
    new_address,
)


def test_a_descriptor_is_closed_once_and_at_the_latest_when_forgotten() -> None:
    for forget in (False, True):
        reading, writing = os.pipe()
        held = Descriptor(writing)
        assert held.fileno() == writing
        if forget:
            del held
        else:
            held.close()
            held.close()
            assert held.fileno() == -1
        assert os.read(reading, 1) == b"", "the writing end is open"
        os.close(reading)


def test_the_mark_is_the_same_in_another_process() -> None:
    code = "from storagebus.broker.lanes import host_mark; print(host_mark())"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.stdout.strip() == host_mark()
    assert len(host_mark()) == 32


def test_the_mark_is_another_for_another_user(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = host_mark()
    monkeypatch.setattr(os, "geteuid", lambda: 54_321)
    assert host_mark() not in ("", mine)


def test_another_network_namespace_has_another_mark() -> None:
    code = "from storagebus.broker.lanes import host_mark; print(host_mark())"
    command = ["unshare", "--net", sys.executable, "-c", code]
    ran = subprocess.run(command, capture_output=True, text=True)
    if ran.returncode:
        pytest.skip(f"no namespaces here: {ran.stderr.strip()}")
    assert ran.stdout.strip() not in ("", host_mark())


def test_no_lanes_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes.sys, "platform", "darwin")
    assert not lanes.is_possible()
    assert host_mark() == ""


def test_addresses_are_new_and_abstract() -> None:
    first, second = new_address(), new_address()
    assert first != second
    assert abstract_name(first) == b"\0" + first[1:].encode()


@pytest.mark.parametrize(
    "address",
    [
        "",
        "/run/docker.sock",
        "@/tmp/.X11-unix/X0",
        "@storagebus-lane-",
        "@storagebus-lane-" + 31 * "0",
        "@storagebus-lane-" + 33 * "0",
        "@storagebus-lane-" + 31 * "0" + "g",
        "@storagebus-lane-" + 32 * "0" + "\n",
        "storagebus-lane-" + 32 * "0",
        "../@storagebus-lane-" + 32 * "0",
    ],
)
def test_nothing_else_is_an_address(address: str) -> None:
    assert abstract_name(address) is None


def test_whose_the_other_side_is(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with one, other:
        assert is_own_user(one)
        monkeypatch.setattr(os, "geteuid", lambda: 54_321)
        assert not is_own_user(one)
