"""PROTOCOL.md and the code say the same: header, types, operations, codes, limits."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from storagebus.broker import messages, wire
from storagebus.broker.messages import Operation, Reason
from storagebus.broker.settings import BrokerSettings
from storagebus.broker.wire import Message, Type, encode
from storagebus.drivers.errors import CODES

TEXT = (Path(__file__).parents[2] / "PROTOCOL.md").read_text()
SETTINGS = BrokerSettings((), ())


def section(number: str) -> str:
    """The text under the heading with this number."""
    found = re.search(
        rf"^#+ {re.escape(number)}\.? .*?(?=^#+ \d|\Z)", TEXT, re.MULTILINE | re.DOTALL
    )
    assert found, f"PROTOCOL.md has no section {number}"
    return found.group()


def rows(number: str) -> list[list[str]]:
    """The cells of the tables in a section, without their headings."""
    lines = [line for line in section(number).splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    rules = [at for at, row in enumerate(cells) if set(row[0]) == {"-"}]
    headings = {at - 1 for at in rules} | set(rules)
    return [row for at, row in enumerate(cells) if at not in headings]


def snake(class_name: str) -> str:
    """PathNotFoundError as PATH_NOT_FOUND."""
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", class_name.removesuffix("Error"))
    return name.upper()


def test_header() -> None:
    """Each field is found where the table says, in a message that has them all."""
    values = {
        "magic": int.from_bytes(wire.MAGIC, "big"),
        "version": wire.VERSION,
        "type": int(Type.OPEN),
        "flags": 0x0003,
        "code": 0x1122,
        "map_length": 3,
        "payload_length": 5,
        "budget_ms": 0x33445566,
        "spare": 0,
        "stream": 0x0001_0203_0405_0607,
        "offset": 0x0002_0304_0506_0708,
        "limit": 0x0003_0405_0607_0809,
        "epoch": 0x0004_0506_0708_090A,
    }
    message = Message(
        Type.OPEN,
        values["stream"],
        values["code"],
        values["flags"],
        values["offset"],
        values["limit"],
        values["budget_ms"],
        values["epoch"],
        b"\x81\xa0\xc0",
        b"",
        b"12345",
    )
    head = encode(message)[0]
    documented = {}
    end = 0
    for at, size, field, _ in rows("3"):
        assert int(at) == end
        end += int(size)
        documented[field] = int.from_bytes(head[int(at) : end], "big")
    assert end == wire.HEADER_BYTES
    assert documented == values
    assert f"a header of {wire.HEADER_BYTES} bytes" in section("3")


def test_types() -> None:
    assert {row[1]: int(row[0]) for row in rows("4")} == {
        member.name: member.value for member in Type
    }


def test_reasons() -> None:
    assert {row[1]: int(row[0]) for row in rows("5.1")} == {
        member.name: member.value for member in Reason
    }


def test_operations() -> None:
    assert {row[1].upper(): int(row[0]) for row in rows("6")} == {
        member.name: member.value for member in Operation
    }
    for code, _, kind, *_ in rows("6"):
        number = int(code)
        assert (number in messages.DOWNLOADS) == (kind == "download")
        assert (number in messages.UPLOADS) == (kind == "upload")


def test_error_codes() -> None:
    documented = {}
    for left_code, left, _, right_code, right in rows("7"):
        documented |= {int(left_code): left}
        if right_code:
            documented |= {int(right_code): right}
    assert documented == {code: snake(cls.__name__) for code, cls in CODES.items()}


def figure(number: int) -> str:
    return f"{number:,}"


@pytest.mark.parametrize(
    ("what", "numbers"),
    [
        ("head", [wire.HEAD_BYTES_MAX]),
        ("map", [wire.MAP_BYTES_MAX, wire.MAP_DEPTH_MAX, wire.MAP_ITEMS_MAX]),
        ("payload", [wire.CHUNK_BYTES_MAX]),
        ("page of list or walk", [messages.PAGE_BYTES_MAX]),
        ("content of a put", [messages.INLINE_BYTES_MAX]),
        (
            "open streams of a broker",
            [SETTINGS.streams_max, SETTINGS.client_streams_max],
        ),
        (
            "bytes in flight in a broker",
            [SETTINGS.streams_max, SETTINGS.floor_bytes, SETTINGS.pool_bytes],
        ),
        (
            "OPENs waiting in a broker",
            [SETTINGS.queue_calls_max, SETTINGS.queue_bytes_max],
        ),
    ],
)
def test_limits(what: str, numbers: list[int]) -> None:
    bounds = {row[0]: row[1] for row in rows("8")}
    said = re.findall(r"\d[\d,]*", bounds[what])
    assert said[: len(numbers)] == [figure(number) for number in numbers]


def test_numbers_in_the_text() -> None:
    assert f"at most {figure(wire.MAP_BYTES_MAX)}" in section("3")
    assert f"at most {figure(wire.CHUNK_BYTES_MAX)}" in section("3")
    assert f"default of {figure(wire.BUDGET_MS_DEFAULT)}" in section("3")
