"""The commands of broker_*.txt: peers, what they send, time, and what is looked at."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable
from typing import Any

from scene import Scene, Sent

from storagebus.broker.admin import status
from storagebus.broker.messages import (
    Accepted,
    Load,
    Open,
    Operation,
    Progress,
    Reason,
    Result,
    Update,
    error_message,
    pack,
)
from storagebus.broker.sessions import Door
from storagebus.broker.wire import Flag, Message, Type, unpack_map
from storagebus.drivers.errors import (
    CODES,
    PathNotFoundError,
    ProtocolError,
    StorageFullError,
)

ERRORS = {"not_found": PathNotFoundError("here"), "full": StorageFullError("no room")}
_HIDDEN = {
    "boot",
    "broker",
    "chunk_max",
    "client",
    "protocol",
    "status",
    "temporary",
    "user",
}


class BrokerScript:
    """Runs commands against a scene; the first may be `settings NAME=VALUE ...`."""

    def __init__(self) -> None:
        self.scene = Scene()

    def run(self, command: str) -> list[str]:
        """Execute one command; returns the lines it prints."""
        words = shlex.split(command)
        plain = [word for word in words if "=" not in word]
        named = dict(word.split("=", 1) for word in words if "=" in word)
        verb = _VERBS.get(plain[0])
        if verb is not None:
            return verb(self, plain[1:], named)
        return self._peer(plain[0], plain[1], plain[2:], named)

    def settings(self, _: list[str], named: dict[str, str]) -> list[str]:
        """`settings [services=A,B] LIMIT=N ...`: a new scene."""
        services = tuple(named.pop("services", "default").split(","))
        limits = {name: int(value) for name, value in named.items()}
        self.scene = Scene(services=services, **limits)
        return []

    def lose(self, plain: list[str], _: dict[str, str]) -> list[str]:
        """`lose PEER`: its connection goes, and ZeroMQ says that one has gone."""
        return _shown(self.scene.lose(plain[0]))

    def vanish(self, plain: list[str], _: dict[str, str]) -> list[str]:
        """`vanish PEER`: its connection goes, and nobody says so."""
        self.scene.gone.add(plain[0])
        return []

    def clog(self, plain: list[str], _: dict[str, str]) -> list[str]:
        """`clog PEER`: it reads nothing, and its queue is full."""
        self.scene.full.add(plain[0])
        return []

    def tick(self, plain: list[str], _: dict[str, str]) -> list[str]:
        """`tick 2s` or `tick 50ms`: time passes."""
        unit, factor = ("ms", 0.001) if plain[0].endswith("ms") else ("s", 1.0)
        sent = self.scene.pass_time(float(plain[0].removesuffix(unit)) * factor)
        return _shown(sent)

    def show(self, plain: list[str], _: dict[str, str]) -> list[str]:
        """`show [counters]`: what the broker has in hand."""
        core, now = self.scene.core, self.scene.now
        shown = status(core, now)
        if plain == ["counters"]:
            return [f"{name} {count}" for name, count in sorted(core.counters.items())]
        lines = [f"in flight {shown['broker']['in_flight_bytes']}"]
        if shown["broker"]["unread_bytes"]:
            lines.append(f"unread {shown['broker']['unread_bytes']}")
        for name, service in shown["services"].items():
            lines.append(f"{name}: waiting {service['waiting']}")
            lines += [
                f"  {w['name']} {w['state']} calls {w['calls']}/{w['slots']}"
                f" streams {w['streams']}/{w['streams_max']}"
                for w in service["workers"]
            ]
        return lines

    def _peer(
        self, name: str, verb: str, plain: list[str], named: dict[str, str]
    ) -> list[str]:
        scene = self.scene
        if verb == "hello":
            door = Door(named.pop("door")) if "door" in named else None
            changes = {key: _hello_value(key, text) for key, text in named.items()}
            return _shown(scene.greet(name, door=door, **changes))
        if verb == "garbage":
            return _shown(scene.raw(name, ProtocolError("not a message")))
        epoch = int(named.pop("epoch", scene.epochs.get(name, 0)))
        message = _MESSAGES[verb](plain, named)
        assert not named, f"unknown words {named}"
        return _shown(scene.raw(name, message._replace(epoch=epoch)))


def _hello_value(key: str, text: str) -> Any:
    if key == "protocol":
        return tuple(int(part) for part in text.split("-"))
    if key == "shared":
        raise AssertionError("write capabilities=alone")
    if key == "capabilities":
        return {"shared": text != "alone"}
    if key == "features":
        return tuple(text.split(","))
    if key == "boot":
        return text.encode().ljust(16, b"\0")
    return int(text) if key in ("slots", "streams", "pid") else text


def _opened(plain: list[str], named: dict[str, str]) -> Message:
    """`open STREAM OPERATION [PATH] [service=] [limit=] [budget=] [bytes=]`."""
    stream, operation = int(plain[0]), plain[1]
    code = Operation[operation.upper()] if operation.isalpha() else int(operation)
    arguments: dict[str, Any] = {"service": named.pop("service", "default")}
    if len(plain) > 2:
        arguments["path"] = plain[2]
    if "worker" in named:
        arguments["worker"] = named.pop("worker")
    return Message(
        Type.OPEN,
        stream,
        code=int(code),
        limit=int(named.pop("limit", 0)),
        budget_ms=int(named.pop("budget", 0)),
        fields=pack(Open(**arguments)),
        payload=bytes(int(named.pop("bytes", 0))),
    )


def _data(plain: list[str], _: dict[str, str]) -> Message:
    """`data STREAM OFFSET BYTES [want] [lane]`."""
    flags = int(Flag.WANT) if "want" in plain else 0
    stream, offset, length = (int(word) for word in plain[:3])
    lane = length if "lane" in plain else 0
    payload = b"" if lane else bytes(length)
    return Message(
        Type.DATA, stream, flags=flags, offset=offset, payload=payload, lane=lane
    )


def _credit(plain: list[str], _: dict[str, str]) -> Message:
    """`credit STREAM RECEIVED LIMIT`."""
    stream, received, limit = (int(word) for word in plain)
    return Message(Type.CREDIT, stream, offset=received, limit=limit)


def _result(plain: list[str], named: dict[str, str]) -> Message:
    """`result STREAM [OFFSET BYTES]`."""
    numbers = [int(word) for word in plain] + [0, 0]
    size = int(named.pop("size", 0))
    return Message(
        Type.RESULT,
        numbers[0],
        offset=numbers[1],
        fields=pack(Result(size=size)),
        payload=bytes(numbers[2]),
    )


def _accept(plain: list[str], named: dict[str, str]) -> Message:
    """`accept STREAM [limit=]`."""
    limit = int(named.pop("limit", 0))
    fields = pack(Accepted(identity="v1"))
    return Message(Type.ACCEPT, int(plain[0]), limit=limit, fields=fields)


def _error(plain: list[str], _: dict[str, str]) -> Message:
    """`error STREAM WHICH`."""
    return error_message(ERRORS[plain[1]], int(plain[0]))


def _numbered(kind: Type) -> Callable[[list[str], dict[str, str]], Message]:
    """`commit STREAM [OFFSET]`, `ping TOKEN` and their like."""

    def build(plain: list[str], named: dict[str, str]) -> Message:
        numbers = [int(word) for word in plain] + [0]
        if kind < Type.OPEN:
            return Message(kind, offset=numbers[0])
        return Message(kind, numbers[0], offset=numbers[1])

    return build


def _pong(plain: list[str], named: dict[str, str]) -> Message:
    load = Load(oldest_ms=int(named.pop("oldest_ms", 0)))
    return Message(Type.PONG, offset=int(plain[0]), fields=pack(load))


def _update(_: list[str], named: dict[str, str]) -> Message:
    update = Update(int(named.pop("slots")), int(named.pop("streams")))
    return Message(Type.UPDATE, fields=pack(update))


def _goaway(_: list[str], __: dict[str, str]) -> Message:
    return Message(Type.GOAWAY, code=int(Reason.SHUTDOWN))


def _progress(plain: list[str], _: dict[str, str]) -> Message:
    return Message(Type.PROGRESS, int(plain[0]), fields=pack(Progress(done=1)))


_VERBS = {
    "settings": BrokerScript.settings,
    "lose": BrokerScript.lose,
    "vanish": BrokerScript.vanish,
    "clog": BrokerScript.clog,
    "tick": BrokerScript.tick,
    "show": BrokerScript.show,
}

_MESSAGES: dict[str, Callable[[list[str], dict[str, str]], Message]] = {
    "open": _opened,
    "data": _data,
    "credit": _credit,
    "result": _result,
    "accept": _accept,
    "error": _error,
    "pong": _pong,
    "update": _update,
    "goaway": _goaway,
    "progress": _progress,
    "commit": _numbered(Type.COMMIT),
    "detach": _numbered(Type.DETACH),
    "cancel": _numbered(Type.CANCEL),
    "ping": _numbered(Type.PING),
    "drain": _numbered(Type.DRAIN),
    "drained": _numbered(Type.DRAINED),
    "welcome": _numbered(Type.WELCOME),
}


def _shown(sent: list[Sent]) -> list[str]:
    lines = [f"{name} < {line_of(message)}" for name, message in sent]
    counts = Counter(lines)
    return [
        line if count == 1 else f"{line} ({count} times)"
        for line, count in counts.items()
    ]


def line_of(message: Message) -> str:
    """A message in one line; what is zero or of no interest is left out."""
    words = [message.type.name]
    if message.stream:
        words.append(str(message.stream))
    words += _code_words(message)
    if message.type is Type.WELCOME:
        words.append(f"epoch={message.epoch}")
    if message.type in (Type.DATA, Type.RESULT) and message.payload:
        words.append(f"{message.offset}+{len(message.payload)}")
    elif message.lane:
        words.append(f"{message.offset}+{message.lane} lane")
    elif message.payload:
        words.append(f"bytes={len(message.payload)}")
    elif message.offset:
        words.append(f"offset={message.offset}")
    for name in ("limit", "budget_ms"):
        if getattr(message, name):
            words.append(f"{name}={getattr(message, name)}")
    if message.flags & Flag.WANT:
        words.append("want")
    given = message.map() | (unpack_map(message.vouched) if message.vouched else {})
    words += [f"{k}={_value(v)}" for k, v in given.items() if k not in _HIDDEN]
    return " ".join(words)


def _code_words(message: Message) -> list[str]:
    if message.type is Type.OPEN:
        return [Operation(message.code).name.lower()]
    if message.type is Type.ERROR:
        return [CODES[message.code].__name__]
    if message.type is Type.GOAWAY:
        return [Reason(message.code).name]
    return []


def _value(value: Any) -> str:
    text = str(value)
    return repr(text) if " " in text or not text else text
