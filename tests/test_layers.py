"""Who may import whom: the table of ARCHITECTURE.md, as a test."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HOUSE = ("drivers", "broker", "workers", "client", "conf")

PROTOCOL = {
    "broker.addresses",
    "broker.allocator",
    "broker.bell",
    "broker.dealer",
    "broker.filelimit",
    "broker.flow",
    "broker.lanes",
    "broker.memorylane",
    "broker.messages",
    "broker.moments",
    "broker.packets",
    "broker.segment",
    "broker.session",
    "broker.wakeup",
    "broker.wire",
}
BROKER_CORE = {
    "broker.core",
    "broker.doors",
    "broker.notices",
    "broker.sessions",
    "broker.settings",
}
PROCESSES = {
    "workers.children",
    "workers.elastic",
    "workers.executable",
    "workers.exits",
    "workers.health",
    "workers.manager",
    "workers.watch",
}
CONTRACT = {
    "drivers.arguments",
    "drivers.checked",
    "drivers.contract",
    "drivers.errors",
    "drivers.oserrors",
    "drivers.paths",
    "drivers.progress",
    "drivers.standing",
    "drivers.parameters",
    "drivers.walking",
}

MAY_IMPORT: dict[str, set[str]] = {
    "drivers": set(),
    "broker": {"drivers.contract", "drivers.errors"},
    "workers": PROTOCOL | CONTRACT | {"drivers.factory"},
    "client": PROTOCOL | BROKER_CORE | PROCESSES | CONTRACT | {"drivers.factory"},
}
"""For each room, the modules of other rooms that it may use; `conf` may use all."""

ZMQ = {
    "broker/dealer.py": "a peer's socket",
    "broker/doors.py": "the broker's sockets",
    "broker/loop.py": "the broker's poll",
    "workers/loop.py": "the worker's poll",
    "client/aio.py": "the event loop's sockets",
    "client/channels.py": "sockets that calling threads own",
    "client/connection.py": "one socket and the engine of a connection",
    "client/context.py": "one ZeroMQ context a process",
    "client/engine.py": "the I/O thread's poll",
    "client/local.py": "a broker within the I/O thread, for managed children",
}
"""The thin shells: all else works without ZeroMQ."""

OUTSIDE = {
    "drivers": {"azure", "boto3", "botocore", "requests", "urllib3"},
    "broker": {"msgpack", "zmq"},
    "workers": {"msgpack", "zmq"},
    "client": {"msgpack", "tqdm", "zmq"},
    "conf": {"click", "tqdm"},
}
"""Packages from elsewhere that a room may use."""


def sources(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """The modules that a file imports, ours as `room.module`; and in which line."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom) and not node.level:
            assert node.module
            yield node.module, node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1]
            module = ".".join((*base, *(node.module or "").split("."))).rstrip(".")
            if ROOT.joinpath(*module.split(".")).is_dir():
                for alias in node.names:
                    yield f"{module}.{alias.name}", node.lineno
            else:
                yield module, node.lineno


@pytest.mark.parametrize("room", HOUSE)
def test_a_room_uses_what_it_may(room: str) -> None:
    allowed = MAY_IMPORT.get(room)
    wrong = []
    for path in sources(room):
        for module, line in imports(path):
            other = module.partition(".")[0]
            if other in HOUSE and other != room and allowed is not None:
                two = ".".join(module.split(".")[:2])
                if two not in allowed:
                    wrong.append(f"{path.relative_to(ROOT)}:{line} imports {module}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("room", HOUSE)
def test_a_room_names_its_own_relatively(room: str) -> None:
    """The wrong half of a name then fails at once, and loads no module twice."""
    for path in sources(room):
        for module, line in imports(path):
            where = f"{path.relative_to(ROOT)}:{line}"
            assert not module.startswith("storagebus"), where


def test_the_lowest_room_does_not_reach_up_by_name_either() -> None:
    for path in sources("drivers"):
        for other in HOUSE[1:]:
            assert f"storagebus.{other}" not in path.read_text(), path


def test_zmq_only_in_the_shells() -> None:
    using = {
        str(path.relative_to(ROOT))
        for room in HOUSE
        for path in sources(room)
        for module, _ in imports(path)
        if module.partition(".")[0] == "zmq"
    }
    assert using == set(ZMQ)


@pytest.mark.parametrize("room", HOUSE)
def test_packages_from_elsewhere(room: str) -> None:
    used = {
        module.partition(".")[0]
        for path in sources(room)
        for module, _ in imports(path)
    }
    foreign = used - sys.stdlib_module_names - set(HOUSE)
    assert foreign <= OUTSIDE[room]


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("storagebus.drivers", "zmq msgpack click tqdm boto3 storagebus.broker"),
        ("storagebus.broker.messages", "zmq click asyncio boto3"),
        ("storagebus.broker.session", "zmq click asyncio"),
        ("storagebus.workers", "zmq msgpack click"),
        ("storagebus.workers.manager", "zmq msgpack click asyncio"),
        ("storagebus.client", "asyncio click tqdm boto3"),
        ("storagebus.conf.main", "zmq msgpack boto3 asyncio tqdm"),
    ],
)
def test_who_uses_a_part_does_not_pay_for_the_rest(module: str, unwanted: str) -> None:
    code = f"""
import sys, {module}
print(*[name for name in {unwanted.split()!r} if name in sys.modules])
"""
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert ran.stdout.split() == []
