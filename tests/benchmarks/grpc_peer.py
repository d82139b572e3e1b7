"""The peer to compare with: a direct gRPC server over the same driver, no broker.

    python grpc_peer.py ROOT ADDRESS...     prints "ready" when it listens

Requests are a path as bytes; no protobuf is involved, which favours gRPC.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import msgpack

from storagebus.drivers import create

CHUNK_BYTES = 1 << 20
SERVICE = "storage"
THREADS = 32
OPTIONS = [
    ("grpc.max_receive_message_length", 8 << 20),
    ("grpc.max_send_message_length", 8 << 20),
]


class Channel:
    """A client of the server.

    Args:
        address: one of the server's.
    """

    def __init__(self, address: str) -> None:
        self._channel = grpc.insecure_channel(address, options=OPTIONS)
        self._stat = self._channel.unary_unary(f"/{SERVICE}/stat")
        self._get = self._channel.unary_unary(f"/{SERVICE}/get")
        self._read = self._channel.unary_stream(f"/{SERVICE}/read")
        self._write = self._channel.stream_unary(f"/{SERVICE}/write")

    def stat(self, path: str) -> Any:
        return msgpack.unpackb(self._stat(path.encode()))

    def get_content(self, path: str) -> bytes:
        return bytes(self._get(path.encode()))

    def pieces(self, path: str) -> Iterator[bytes]:
        yield from self._read(path.encode())

    def read(self, path: str) -> int:
        return sum(map(len, self.pieces(path)))

    def write(self, path: str, pieces: Iterator[bytes]) -> None:
        def requests() -> Iterator[bytes]:
            yield path.encode()
            yield from pieces

        self._write(requests())

    def close(self) -> None:
        self._channel.close()


class AsyncChannel:
    """A client of the server, for asyncio."""

    def __init__(self, address: str) -> None:
        self._channel = grpc.aio.insecure_channel(address, options=OPTIONS)
        self._get = self._channel.unary_unary(f"/{SERVICE}/get")

    async def get_content(self, path: str) -> bytes:
        return bytes(await self._get(path.encode()))

    async def close(self) -> None:
        await self._channel.close()


def serve(root: str, addresses: Sequence[str]) -> None:
    """Serve a folder until the end of the process."""
    driver = create("filesystem", {"rootdirectory": root})

    def stat(request: bytes, context: Any) -> bytes:
        info = driver.stat(request.decode())
        time = info.mod_time.timestamp() if info.mod_time else None
        return bytes(msgpack.packb([info.path, info.size, time, info.is_dir]))

    def get(request: bytes, context: Any) -> bytes:
        return driver.get_content(request.decode())

    def read(request: bytes, context: Any) -> Iterator[bytes]:
        with driver.reader(request.decode()) as stream:
            while piece := stream.read(CHUNK_BYTES):
                yield piece

    def write(requests: Iterator[bytes], context: Any) -> bytes:
        path = next(requests).decode()
        with driver.writer(path) as upload:
            for piece in requests:
                upload.write(piece)
            upload.commit()
        return b""

    server = grpc.server(ThreadPoolExecutor(THREADS), options=OPTIONS)
    handlers = {
        "stat": grpc.unary_unary_rpc_method_handler(stat),
        "get": grpc.unary_unary_rpc_method_handler(get),
        "read": grpc.unary_stream_rpc_method_handler(read),
        "write": grpc.stream_unary_rpc_method_handler(write),
    }
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(SERVICE, handlers),)
    )
    for address in addresses:
        server.add_insecure_port(address)
    server.start()
    print("ready", flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2:])
