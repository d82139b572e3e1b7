"""A TCP proxy on loopback that does harm on demand, in the process of the test."""

from __future__ import annotations

import socket
import struct
import threading
import time
from dataclasses import dataclass, replace

PIECE_BYTES = 16 << 10
HTTP_HEAD = b"HTTP/1.1 %d Broken\r\nContent-Length: %d\r\nConnection: close\r\n"


@dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong; nothing by default.

    Attributes:
        latency_s: added before each answer and each piece of one.
        rate_bytes_s: the most that each direction of a connection carries.
        blackhole: bytes are taken, and nothing ever comes back.
        stalled: nothing gets through either way, and nothing is lost, as when a link
            is down for a while.
        reset_after_bytes: a connection is reset once that many bytes came back.
        resets_left: how many connections meet that fate; None: all.
        corrupt_at_byte: this byte of each connection's answers is changed.
        corrupt_sent_at_byte: this byte of what each connection sends is changed.
        refuse: connections are reset at once.
        status: requests are answered with this HTTP status, without the server.
        headers: of such an answer, each line with its end.
        body: of such an answer.
        statuses_left: how many requests are answered so; None: all.
    """

    latency_s: float = 0.0
    rate_bytes_s: float | None = None
    blackhole: bool = False
    stalled: bool = False
    reset_after_bytes: int | None = None
    resets_left: int | None = None
    corrupt_at_byte: int | None = None
    corrupt_sent_at_byte: int | None = None
    refuse: bool = False
    status: int | None = None
    headers: bytes = b""
    body: bytes = b""
    statuses_left: int | None = None


class FaultProxy:
    """Passes connections on to a server on loopback.

    Args:
        target: the server's port.

    Attributes:
        port: where the proxy listens.
        connections: how many it has taken.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._faults = Faults()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._closed = False
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def endpoint(self) -> str:
        """Its URL."""
        return f"http://127.0.0.1:{self.port}"

    def set(self, **faults: object) -> None:
        """What goes wrong from now on; without arguments, nothing."""
        self._faults = Faults(**faults)  # type: ignore[arg-type]

    def kill_connections(self) -> None:
        """Reset all open connections."""
        with self._lock:
            victims = list(self._open)
        for victim in victims:
            _reset(victim)

    def close(self) -> None:
        """Stop; all connections are reset."""
        self._closed = True
        self._listener.close()
        self.kill_connections()

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            if self._faults.refuse:
                _reset(client)
                continue
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(("127.0.0.1", self._target), 5)
        except OSError:
            _reset(client)
            return
        server.settimeout(None)
        with self._lock:
            self._open |= {client, server}
        back = threading.Thread(target=self._answers, args=(server, client))
        back.daemon = True
        back.start()
        try:
            self._requests(client, server)
        finally:
            back.join(60)
            with self._lock:
                self._open -= {client, server}
            client.close()
            server.close()

    def _requests(self, client: socket.socket, server: socket.socket) -> None:
        sent = 0
        try:
            while data := client.recv(PIECE_BYTES):
                if self._take_status():
                    client.sendall(self._answer())
                    client.shutdown(socket.SHUT_RDWR)
                    server.shutdown(socket.SHUT_RDWR)
                    return
                data = _changed(data, self._faults.corrupt_sent_at_byte, sent)
                sent += len(data)
                self._wait_while_stalled()
                self._slow_down(len(data))
                if not self._faults.blackhole:
                    server.sendall(data)
            server.shutdown(socket.SHUT_WR)
        except OSError:
            _reset(server)

    def _answers(self, server: socket.socket, client: socket.socket) -> None:
        sent = 0
        try:
            while data := server.recv(PIECE_BYTES):
                faults = self._faults
                if faults.latency_s:
                    time.sleep(faults.latency_s)
                self._wait_while_stalled()
                self._slow_down(len(data))
                while self._faults.blackhole and not self._closed:
                    time.sleep(0.02)
                data = _changed(data, faults.corrupt_at_byte, sent)
                limit = faults.reset_after_bytes
                if (
                    limit is not None
                    and sent + len(data) > limit
                    and self._take_reset()
                ):
                    client.sendall(data[: limit - sent])
                    _reset(client)
                    _reset(server)
                    return
                client.sendall(data)
                sent += len(data)
            client.shutdown(socket.SHUT_WR)
        except OSError:
            _reset(client)

    def _wait_while_stalled(self) -> None:
        while self._faults.stalled and not self._closed:
            time.sleep(0.02)

    def _answer(self) -> bytes:
        faults = self._faults
        head = HTTP_HEAD % (faults.status or 503, len(faults.body))
        return head + faults.headers + b"\r\n" + faults.body

    def _slow_down(self, size: int) -> None:
        if rate := self._faults.rate_bytes_s:
            time.sleep(size / rate)

    def _take_status(self) -> bool:
        with self._lock:
            if self._faults.status is None or self._faults.statuses_left == 0:
                return False
            left = self._faults.statuses_left
            if left is not None:
                self._faults = replace(self._faults, statuses_left=left - 1)
            return True

    def _take_reset(self) -> bool:
        with self._lock:
            left = self._faults.resets_left
            if left is not None:
                self._faults = replace(self._faults, resets_left=max(0, left - 1))
            return left != 0


def _changed(data: bytes, at: int | None, offset: int) -> bytes:
    """The bytes at `offset` of a stream, with byte `at` of the stream changed."""
    if at is None or not offset <= at < offset + len(data):
        return data
    changed = bytearray(data)
    changed[at - offset] ^= 0xFF
    return bytes(changed)


def _reset(victim: socket.socket) -> None:
    """Close with a reset; a thread that waits on the socket is woken."""
    try:
        victim.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        victim.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    victim.close()
