"""What a parent tells a worker process: variables, parameters, secrets."""

import json
import os
from pathlib import Path

import pytest

from storagebus.workers import spawned
from storagebus.workers.exits import Exit
from storagebus.workers.spawned import (
    Surroundings,
    Unfit,
    read_parameters,
    surroundings,
)

PROTOCOL = (Path(__file__).parents[2] / "PROTOCOL.md").read_text()


@pytest.fixture
def pipe():
    fds = os.pipe()
    yield fds
    for fd in fds:
        try:
            os.close(fd)
        except OSError:
            pass


def told(line, pipe):
    """An environment whose parent has sent a line."""
    os.write(pipe[1], line)
    return {"STORAGEBUS_WORKER_FD": str(pipe[0])}


def test_nothing_said_is_nothing_known():
    assert surroundings({}) == Surroundings()
    assert (Surroundings().slots, Surroundings().streams) == (16, 1024)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        (spawned.SLOTS, Surroundings().slots),
        (spawned.STREAMS, Surroundings().streams),
        (spawned.GRACE_S, Surroundings().grace_s),
        (spawned.LANE_BYTES, Surroundings().lane_bytes_max),
    ],
)
def test_defaults_are_those_of_the_protocol(variable, value):
    (line,) = [
        row for row in PROTOCOL.splitlines() if row.startswith(f"| `{variable}`")
    ]
    assert f"optional, {value:,.0f} by default" in line


def test_all_that_can_be_said(pipe):
    said = surroundings(
        {
            "STORAGEBUS_WORKER_ENDPOINT": "ipc:///a,tcp://127.0.0.1:7401,ipc:///a",
            "STORAGEBUS_WORKER_SERVICE": "default",
            "STORAGEBUS_WORKER_COOKIE": "crumb",
            "STORAGEBUS_WORKER_NAME": "one",
            "STORAGEBUS_WORKER_SLOTS": "3",
            "STORAGEBUS_WORKER_STREAMS": "40",
            "STORAGEBUS_WORKER_GRACE_S": "0.5",
            "STORAGEBUS_WORKER_FD": str(pipe[0]),
            "STORAGEBUS_WORKER_LANE_BYTES": "1000000000",
        }
    )
    assert said == Surroundings(
        ("ipc:///a", "tcp://127.0.0.1:7401"),
        "default",
        "crumb",
        "one",
        3,
        40,
        0.5,
        pipe[0],
        lane_bytes_max=1_000_000_000,
    )
    assert not os.get_inheritable(pipe[0])


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("STORAGEBUS_WORKER_ENDPOINT", "nowhere"),
        ("STORAGEBUS_WORKER_SLOTS", "0"),
        ("STORAGEBUS_WORKER_SLOTS", "nan"),
        ("STORAGEBUS_WORKER_LANE_BYTES", "-1"),
        ("STORAGEBUS_WORKER_STREAMS", "1e9"),
        ("STORAGEBUS_WORKER_GRACE_S", "-1"),
        ("STORAGEBUS_WORKER_FD", "x"),
        ("STORAGEBUS_WORKER_FD", "987654"),
    ],
)
def test_a_variable_that_makes_no_sense_is_named(variable, value):
    with pytest.raises(Unfit, match=variable) as caught:
        surroundings({variable: value})
    assert caught.value.code is Exit.USAGE


@pytest.mark.parametrize("argv", [["x"], ["x", "-"], ["x", "{}"], ["x", "{}", "more"]])
def test_no_parameters(argv):
    assert read_parameters(argv, {}) == {}


def test_plain_parameters_need_no_descriptor():
    text = '{"rootdirectory": "/data", "n": [1, {"x": null}]}'
    assert read_parameters(["x", text], {}) == json.loads(text)


def test_secrets_are_put_in_place_at_any_depth(pipe):
    environment = told(b'{"secrets": {"a": "one", "b": "two"}, "else": 0}\n', pipe)
    given = {
        "accesskey": {"$secret": "a"},
        "plain": "$secret",
        "list": [{"$secret": "b"}, {"$secret": "b", "more": 1}],
        "map": {"deep": {"$secret": "a"}},
    }
    assert read_parameters(["x", json.dumps(given)], environment) == {
        "accesskey": "one",
        "plain": "$secret",
        "list": ["two", {"$secret": "b", "more": 1}],
        "map": {"deep": "one"},
    }


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', "1", "[" * 100_000])
def test_what_is_no_map_is_refused_without_being_shown(text):
    with pytest.raises(Unfit) as caught:
        read_parameters(["x", text], {})
    assert caught.value.code is Exit.PARAMETERS
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"{}\n", "no secret 'a'"),
        (b'{"secrets": {"b": "x"}}\n', "no secret 'a'"),
        (b'{"secrets": ["a"]}\n', "no map with secrets"),
        (b"[]\n", "no map with secrets"),
        (b"not json\n", "the parent's line"),
        (b"\xff\n", "the parent's line"),
    ],
)
def test_a_secret_that_is_missing_is_named(pipe, line, says):
    with pytest.raises(Unfit, match=says) as caught:
        read_parameters(["x", '{"k": {"$secret": "a"}}'], told(line, pipe))
    assert caught.value.code is Exit.PARAMETERS


def test_a_parent_that_goes_away_first_is_told(pipe):
    environment = told(b'{"secrets"', pipe)
    os.close(pipe[1])
    with pytest.raises(Unfit, match="closed"):
        read_parameters(["x", '{"k": {"$secret": "a"}}'], environment)


def test_without_a_descriptor_there_are_no_secrets():
    with pytest.raises(Unfit, match="no secret 'a'"):
        read_parameters(["x", '{"k": {"$secret": "a"}}'], {})


def test_nesting_is_bounded():
    text = '{"k":' * 40 + '{"$secret": "a"}' + "}" * 40
    with pytest.raises(Unfit, match="deep"):
        read_parameters(["x", text], {})
