"""Telling systemd how a service of Type=notify is (sd_notify(3))."""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping

SOCKET_VARIABLE = "NOTIFY_SOCKET"


class Systemd:
    """The systemd that has started this process; without one nothing is said.

    Args:
        environ: this process's environment. The socket is taken out of it: it is not
            for processes that this one starts.
    """

    def __init__(self, environ: MutableMapping[str, str] | None = None) -> None:
        where = os.environ if environ is None else environ
        self._address = where.pop(SOCKET_VARIABLE, "")

    def ready(self) -> None:
        """The service serves."""
        self._tell("READY=1")

    def stopping(self) -> None:
        """The service has begun to end."""
        self._tell("STOPPING=1")

    def _tell(self, state: str) -> None:
        if not self._address.startswith(("/", "@")):
            return
        address = self._address
        if address.startswith("@"):
            address = "\0" + address[1:]  # an abstract one
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
                told.setblocking(False)
                told.sendto(state.encode(), address)
        except OSError:
            pass  # it finds out by itself
