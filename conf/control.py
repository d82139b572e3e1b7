"""supervisord as its event listener reaches it: XML-RPC over its Unix socket.

The standard library's client alone, so that supervisord may be installed elsewhere.
Every question has a time limit; supervisor's own client has none.
"""

from __future__ import annotations

import http.client
import os
import signal
import socket
import xmlrpc.client
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.parsers.expat import ExpatError

from ..drivers.errors import InvalidParameterError, UnavailableError
from .health import Process

URL_VARIABLE = "SUPERVISOR_SERVER_URL"
"""Set by supervisord in the environment of what it starts."""
TIMEOUT_S = 5.0
BROKER_PROGRAM = "storagebus-broker"
WORKER_PROGRAM_PREFIX = "storagebus-worker-"

# http://supervisord.org/subprocess.html#process-states
_UP = {"STARTING", "RUNNING"}
_GIVEN_UP = "FATAL"
_ERRORS = (OSError, http.client.HTTPException, xmlrpc.client.Error, ExpatError)


class Supervisord:
    """One supervisord.

    Args:
        url: "unix:///path" of its XML-RPC server.

    Raises:
        InvalidParameterError: another kind of address.
    """

    def __init__(self, url: str) -> None:
        scheme, _, path = url.partition("://")
        if scheme != "unix" or not path.startswith("/"):
            raise InvalidParameterError(
                f"{URL_VARIABLE} is {url!r}; it must be unix:///path, as supervisord "
                "sets it for its event listeners when it has a [unix_http_server]"
            )
        self._path = path

    def processes(self) -> list[Process]:
        """The broker and the workers that it has.

        Raises:
            UnavailableError: it does not answer.
        """
        found = []
        for info in self._ask("getAllProcessInfo"):
            group = str(info["group"])
            if group != BROKER_PROGRAM and not group.startswith(WORKER_PROGRAM_PREFIX):
                continue
            is_worker = group != BROKER_PROGRAM
            pid = int(info["pid"])
            found.append(
                Process(
                    name=f"{group}:{info['name']}",
                    service=group.removeprefix(WORKER_PROGRAM_PREFIX) * is_worker,
                    pid=pid,
                    is_up=info["statename"] in _UP and pid > 0,
                    is_given_up=info["statename"] == _GIVEN_UP,
                    is_stopped=is_stopped(pid),
                )
            )
        return found

    def start(self, process: Process) -> None:
        """Start a process that it has given up.

        Raises:
            UnavailableError: it does not answer, or cannot.
        """
        self._ask("startProcess", process.name, False)

    def kill(self, process: Process) -> bool:
        """End a process that may be unable to, with whatever it has started.

        supervisord's own stop sends TERM, which a stopped process never sees, and its
        KILL comes only after the time for draining; its signal reaches the process
        alone. So the group is killed here, and supervisord finds the process dead.

        Returns:
            False when that process has gone meanwhile.

        Raises:
            UnavailableError: supervisord does not answer.
        """
        info = self._ask("getProcessInfo", process.name)
        # As long as supervisord says so it has not reaped it: the number is its own.
        if int(info["pid"]) != process.pid:
            return False
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        except PermissionError:
            # It runs as another user; supervisord can.
            self._ask("signalProcess", process.name, "KILL")
        return True

    def _ask(self, method: str, *arguments: object) -> Any:
        transport = _Transport(self._path)
        try:
            with xmlrpc.client.ServerProxy("http://localhost", transport) as server:
                return getattr(server.supervisor, method)(*arguments)
        except _ERRORS as error:
            raise UnavailableError(f"supervisord at {self._path}: {error}") from error


class _Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(TIMEOUT_S)
        self.sock.connect(self._path)


class _Transport(xmlrpc.client.Transport):
    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        made = _Connection(self._path)
        self._connection = host, made  # where `close` looks for it
        return made


def is_stopped(pid: int) -> bool:
    """Whether a signal has stopped a process (state T of proc(5))."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    # The name before it is in brackets, and may hold brackets itself.
    return text.rpartition(")")[2].split()[:1] == ["T"]


def server(environ: Mapping[str, str]) -> Supervisord:
    """The supervisord that has started this process.

    Raises:
        InvalidParameterError: none has.
    """
    url = environ.get(URL_VARIABLE, "")
    if not url:
        raise InvalidParameterError(
            f"{URL_VARIABLE} is not set: this command is an event listener, and is "
            "started by supervisord; see `storagebus conf supervisor`"
        )
    return Supervisord(url)
