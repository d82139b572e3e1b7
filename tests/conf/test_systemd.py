"""sd_notify, as systemd would hear it."""

from __future__ import annotations

import json
import os
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from storagebus.client import Client
from storagebus.conf.systemd import Systemd


@pytest.fixture
def manager(tmp_path: Path) -> Any:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(tmp_path / "notify"))
        heard.settimeout(15)
        yield heard


def test_up_says_when_all_are_there(up: Any, manager: Any) -> None:
    running = up("--json", NOTIFY_SOCKET=manager.getsockname())
    assert manager.recv(100) == b"READY=1"
    endpoint = json.loads(running.line())["endpoint"]
    with Client(endpoint) as client:
        found = client.bus_status()
        # Nobody else speaks: the processes that it started do not know the socket.
        assert len(found["services"]["default"]["workers"]) == 2
        for pid in [found["broker"]["pid"], running.process.pid]:
            environment = Path(f"/proc/{pid}/environ").read_bytes()
            told = b"NOTIFY_SOCKET" in environment
            assert told == (pid == running.process.pid)
    running.process.send_signal(signal.SIGTERM)
    assert manager.recv(100) == b"STOPPING=1"
    running.process.communicate(timeout=30)
    assert running.process.returncode == 0


def test_an_abstract_socket() -> None:
    name = f"storagebus-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind("\0" + name)
        heard.settimeout(5)
        environ = {"NOTIFY_SOCKET": "@" + name, "OTHER": "1"}
        systemd = Systemd(environ)
        assert environ == {"OTHER": "1"}
        systemd.ready()
        systemd.stopping()
        assert [heard.recv(100), heard.recv(100)] == [b"READY=1", b"STOPPING=1"]


@pytest.mark.parametrize("address", ["", "relative", "/nowhere/socket", "@nobody"])
def test_nobody_listens(address: str) -> None:
    systemd = Systemd({"NOTIFY_SOCKET": address} if address else {})
    systemd.ready()
    systemd.stopping()


def test_a_full_socket_is_not_waited_for(manager: Any) -> None:
    systemd = Systemd({"NOTIFY_SOCKET": manager.getsockname()})
    for _ in range(2_000):
        systemd.ready()
    heard = 0
    manager.setblocking(False)
    with pytest.raises(BlockingIOError):
        while True:
            assert manager.recv(100) == b"READY=1"
            heard += 1
    assert 0 < heard < 2_000
