"""Another peer: the standard library's HTTP server over the same folder.

    python http_peer.py ROOT PORT     prints "ready" when it listens

A GET of a file is one sendfile(2), which no server that shows its bytes to Python can
equal; so it is fair for whole files over TCP, and for nothing else.
"""

from __future__ import annotations

import os
import sys
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from children import say

CHUNK_BYTES = 1 << 20


class Files(BaseHTTPRequestHandler):
    """Serves files, by sendfile."""

    protocol_version = "HTTP/1.1"
    root = Path()

    def do_GET(self) -> None:
        with Path(f"{self.root}{self.path}").open("rb") as file:
            self.send_response(200)
            self.send_header("Content-Length", str(os.fstat(file.fileno()).st_size))
            self.end_headers()
            self.wfile.flush()
            self.connection.sendfile(file)

    def log_message(self, *words: object) -> None:
        """Nothing."""


def read(connection: HTTPConnection, path: str) -> int:
    """Read a file to its end; returns its size in bytes."""
    connection.request("GET", path)
    answer = connection.getresponse()
    count = 0
    while piece := answer.read(CHUNK_BYTES):
        count += len(piece)
    return count


if __name__ == "__main__":
    Files.root = Path(sys.argv[1])
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Files)
    say("ready")
    server.serve_forever()
