"""A server that says in its errors all that it was sent: no secret may get through."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from xml.sax.saxutils import escape


@dataclass(frozen=True, slots=True)
class Reply:
    """What every request is answered with.

    Attributes:
        status: of HTTP; 0 closes the connection instead.
        code: the store's own.
        form: "xml" as stores write errors, "text" as a proxy in between might, "cut"
            for a body that ends too early.
    """

    status: int
    code: str = ""
    form: str = "xml"


class Telltale:
    """Listens on loopback until it is closed.

    Attributes:
        url: where.
        reply: what it answers with.
        heard: all that it was sent so far.
    """

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.heard: list[str] = []
        telltale = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                telltale.answer(self)

            do_PUT = do_POST = do_HEAD = do_DELETE = do_GET

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        sent = f"{request.requestline}\n{request.headers}"
        length = int(request.headers.get("Content-Length") or 0)
        if request.headers.get("Content-Type", "").startswith("application/x-www"):
            sent += request.rfile.read(length).decode(errors="replace")
        self.heard.append(sent)
        request.close_connection = True
        reply = self.reply
        if not reply.status:
            return
        body = sent.encode()
        if reply.form == "xml":
            body = (
                f"<Error><Code>{reply.code}</Code>"
                f"<Message>{escape(sent)}</Message></Error>"
            ).encode()
        request.send_response(reply.status, "You sent " + request.path)
        request.send_header("x-ms-error-code", reply.code)
        request.send_header("x-ms-request-id", "r-1")
        more = 1_000 if reply.form == "cut" else 0
        request.send_header("Content-Length", str(len(body) + more))
        request.send_header("Connection", "close")
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(body)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Telltale:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
