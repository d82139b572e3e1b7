"""The commands of session_*.txt: a peer's session, its connection and its clock."""

from __future__ import annotations

from broker_script import line_of
from scene import hello_of

from storagebus.broker.messages import Farewell, Operation, Reason, Welcome, pack
from storagebus.broker.session import (
    Delivered,
    Event,
    Lost,
    Opened,
    PeerSession,
    Refused,
)
from storagebus.broker.wire import Message, Type
from storagebus.drivers.errors import ProtocolError


class SessionScript:
    """Runs commands against one session; the first is `role client|worker`."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.session = PeerSession(hello_of("p", "client"))

    def run(self, command: str) -> list[str]:
        """Execute one command; returns the lines it prints."""
        words = command.split()
        plain = [word for word in words[1:] if "=" not in word]
        named = dict(word.split("=", 1) for word in words[1:] if "=" in word)
        before = self.session.state
        lines = self._run(words[0], plain, named)
        after = self.session.state
        if after is not before:
            lines.append(f"{before.name} -> {after.name}")
        return lines

    def _run(self, verb: str, plain: list[str], named: dict[str, str]) -> list[str]:
        session = self.session
        if verb == "role":
            self.session = PeerSession(hello_of("p", plain[0]))
            return []
        if verb == "connected":
            return _shown(session.connected(self.now), [])
        if verb == "disconnected":
            return _shown([], session.disconnected(self.now))
        if verb == "goodbye":
            return _shown(session.goodbye("done"), [])
        if verb == "wait":
            session.wait(plain[0] == "yes", self.now)
            return []
        if verb == "tick":
            return self._tick(float(plain[0].removesuffix("s")))
        message = _message(verb, plain, int(named.get("epoch", session.epoch)))
        try:
            return _shown(*session.received(message, self.now))
        except ProtocolError as error:
            return [f"! {error}"]

    def _tick(self, seconds: float) -> list[str]:
        lines: list[str] = []
        end = self.now + seconds
        while (due := self.session.next_deadline(self.now)) is not None and due <= end:
            self.now = max(self.now, due)
            shown = _shown(*self.session.tick(self.now))
            assert shown, "a deadline that had nothing to do would spin the loop"
            lines += [f"{self.now - 1000:g}s {line}" for line in shown]
        self.now = end
        return lines


def _message(verb: str, plain: list[str], epoch: int) -> Message:
    kind = Type[verb.upper()]
    if kind is Type.WELCOME:
        fields = pack(Welcome("b", 1, 1 << 20, 1000, 10)) if plain != ["empty"] else b""
        return Message(kind, epoch=epoch, fields=fields)
    if kind is Type.GOAWAY:
        fields = pack(Farewell("because"))
        return Message(kind, code=int(Reason[plain[0]]), epoch=epoch, fields=fields)
    if kind < Type.OPEN:
        return Message(kind, offset=int(plain[0]) if plain else 0, epoch=epoch)
    code = int(Operation.STAT) if kind is Type.OPEN else 0
    return Message(kind, int(plain[0]), code=code, epoch=epoch)


def _shown(messages: list[Message], events: list[Event]) -> list[str]:
    lines = [f"> {message.type.name} {_more(message)}".rstrip() for message in messages]
    for event in events:
        name = type(event).__name__
        match event:
            case Opened(welcome):
                lines.append(f"{name} heartbeat_ms={welcome.heartbeat_ms}")
            case Lost(error) | Refused(error):
                lines.append(f"{name}: {error}, executed {error.executed.value}")
            case Delivered(message):
                lines.append(f"{name} {line_of(message)}")
    return lines


def _more(message: Message) -> str:
    words = [f"offset={message.offset}"] if message.offset else []
    return " ".join([*words, f"epoch={message.epoch}"])
