"""A workers' door with no broker behind it: what a stranger's broker would see."""

import zmq

from storagebus.broker.dealer import set_options
from storagebus.broker.messages import (
    Hello,
    Open,
    Operation,
    Result,
    Vouched,
    Welcome,
    error_of,
    pack,
    parse,
)
from storagebus.broker.wire import Flag, Message, Type, decode, encode

PATIENCE_S = 20


class RawBroker:
    """A workers' door without a broker behind it."""

    def __init__(self, directory, name="door"):
        self.endpoint = f"ipc://{directory}/{name}"
        self._bind()
        self.peer = b""
        self.epoch = 0
        self.stream = 0

    def _bind(self):
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        set_options(self._socket)
        self._socket.bind(self.endpoint)

    def restart(self):
        """End, and come back with nothing remembered."""
        self.close()  # waits until the old door's file is gone
        self._bind()

    def receive(self, timeout_s=PATIENCE_S):
        """The next message of the worker, or None."""
        if not self._socket.poll(int(timeout_s * 1000)):
            return None
        self.peer, *frames = self._socket.recv_multipart()
        return decode(frames, from_broker=False)

    def expect(self, *kinds):
        """The next message, which must be of these types; numbers are let pass."""
        while (message := self.receive()) is not None and message.type is Type.UPDATE:
            pass
        assert message is not None, f"nothing came, {kinds} were due"
        assert message.type in kinds, message
        return message

    def send(self, kind, stream=0, **header):
        message = Message(kind, stream, epoch=self.epoch, **header)
        self._socket.send_multipart([self.peer, *encode(message)])

    def welcome(self):
        """Take the greeting of a worker and answer it."""
        hello = parse(Hello, self.expect(Type.HELLO).fields)
        self.epoch += 1000
        fields = pack(Welcome("raw", 1, 1 << 20, 1000, 100))
        self.send(Type.WELCOME, fields=fields)
        self.stream = 0
        # Its PONG proves that the worker has taken the WELCOME.
        self.send(Type.PING, offset=4)
        self.expect(Type.PONG)
        return hello

    def open(self, operation, path="/", limit=0, payload=b"", **arguments):
        self.stream += 1
        self.send(
            Type.OPEN,
            self.stream,
            code=int(operation),
            limit=limit,
            payload=payload,
            fields=pack(Open("default", path, **arguments)),
            vouched=pack(Vouched("client#1")),
        )
        return self.stream

    def call(self, operation, path="/", **arguments):
        """A call and its answer."""
        stream = self.open(operation, path, **arguments)
        message = self.expect(Type.RESULT, Type.ERROR)
        assert message.stream == stream
        if message.type is Type.ERROR:
            raise error_of(message)
        return parse(Result, message.fields)

    def read(self, operation, path="/", window=1 << 20, **arguments):
        """A download's payloads; grants when asked."""
        stream = self.open(operation, path, limit=window, **arguments)
        payloads, total = [], 0
        while True:
            message = self.expect(Type.ACCEPT, Type.DATA, Type.RESULT, Type.ERROR)
            assert message.stream == stream
            if message.type is Type.ERROR:
                raise error_of(message)
            if message.payload:
                assert message.offset == total
                payloads.append(bytes(message.payload))
                total += len(message.payload)
            if message.type is Type.RESULT:
                return payloads
            if message.flags & Flag.WANT:
                self.send(Type.CREDIT, stream, offset=total, limit=total + window)

    def write(self, path, content, end=Type.COMMIT, chunk=262_144):
        """An upload, within its credit; returns the terminal message."""
        stream = self.open(Operation.WRITE, path)
        limit = self.expect(Type.ACCEPT).limit
        sent = 0
        while sent < len(content):
            piece = content[sent : min(sent + chunk, limit)]
            if piece:
                want = int(Flag.WANT) if sent + len(piece) >= limit else 0
                self.send(Type.DATA, stream, offset=sent, payload=piece, flags=want)
                sent += len(piece)
            else:
                limit = max(limit, self.expect(Type.CREDIT).limit)
        self.send(end, stream, offset=sent)
        while (message := self.receive()).type is Type.CREDIT:
            pass
        return message

    def close(self):
        self._socket.close(0)
        self._context.term()
