"""supervisord's XML-RPC where it fails; `test_supervisord` has it where it works."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from storagebus.conf import control
from storagebus.conf.control import Supervisord, is_stopped, server
from storagebus.drivers.errors import InvalidParameterError, UnavailableError


@pytest.mark.parametrize("url", ["", "http://localhost:9001", "unix://relative", "x"])
def test_a_supervisord_that_cannot_be_reached(url: str) -> None:
    with pytest.raises(InvalidParameterError, match="SUPERVISOR_SERVER_URL"):
        server({"SUPERVISOR_SERVER_URL": url})


def test_nobody_is_there(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="supervisord at"):
        Supervisord(f"unix://{tmp_path}/socket").processes()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"garbage",
        b"HTTP/1.0 500 Bad\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\n<a>",
        b"HTTP/1.0 200 OK\r\nContent-Length: 30\r\n\r\n<a>",
        None,
    ],
)
def test_answers_that_are_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes | None
) -> None:
    monkeypatch.setattr(control, "TIMEOUT_S", 0.3)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        listening.listen()

        def serve() -> None:
            for _ in range(2):  # the library asks again when a connection breaks
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65_536)
                    if answer is None:
                        connection.recv(1)  # says nothing until the other gives up
                    else:
                        connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        began = time.monotonic()
        with pytest.raises(UnavailableError):
            Supervisord(f"unix://{tmp_path}/s").processes()
        assert time.monotonic() - began < 5
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(20)


def test_a_stopped_process_is_seen() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        try:
            assert not is_stopped(process.pid)
            process.send_signal(signal.SIGSTOP)
            deadline = time.monotonic() + 5
            while not is_stopped(process.pid):
                assert time.monotonic() < deadline
                time.sleep(0.01)
            process.send_signal(signal.SIGCONT)
            while is_stopped(process.pid):
                assert time.monotonic() < deadline
                time.sleep(0.01)
        finally:
            process.kill()
    assert not is_stopped(process.pid)
    assert not is_stopped(os.getpid())
    assert not is_stopped(0)
