"""Plans of faults: what they say, and what they decide."""

import json
import re
from pathlib import Path

import pytest

from storagebus.broker.messages import Operation
from storagebus.drivers.errors import (
    CODES,
    InvalidParameterError,
    StorageError,
    ThrottledError,
)
from storagebus.workers.faults import (
    STEPS,
    FaultPlan,
    Faults,
    Kind,
    Moment,
    Rule,
    parse_plan,
)

PROTOCOL = Path(__file__).parents[2] / "PROTOCOL.md"


def plan(*rules, **more):
    return parse_plan(json.dumps({"rules": rules, **more}))


def struck(faults, times, when=Moment.CALL, step="put"):
    """At which of so many steps a rule applies."""
    return [n for n in range(times) if faults.strike(when, step) is not None]


def test_a_plan_and_all_that_it_may_say():
    rule = {
        **{"kind": "error", "when": "answer", "operations": ["put", "commit"]},
        **{"probability": 0.5, "skip": 3, "count": 7, "seconds": 2},
        **{"error": "THROTTLED", "detail": "slowly"},
    }
    assert plan(rule, {"kind": "exit"}, seed=9) == FaultPlan(
        (
            Rule(
                Kind.ERROR,
                Moment.ANSWER,
                frozenset({"put", "commit"}),
                *(0.5, 3, 7, 2.0, ThrottledError, "slowly"),
            ),
            Rule(Kind.EXIT, detail="a fault on purpose"),
        ),
        9,
    )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[]", "must be a map"),
        ('{"rules": []}', "rules: must be an array of 1 to 100"),
        ('{"seed": 1}', "rules: must be an array"),
        ('{"rules": [{"kind": "exit"}], "sede": 1}', "unknown key 'sede'"),
        ('{"rules": [{"kind": "exit"}], "seed": true}', "seed: must be a whole"),
        ('{"rules": [1]}', r"rules\[0\]: must be a map"),
        ('{"rules": [{}]}', r"rules\[0\].kind: must be one of exit, segv"),
    ],
)
def test_what_is_no_plan(text, complaint):
    with pytest.raises(InvalidParameterError, match=complaint):
        parse_plan(text)


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        ({"kind": "explode"}, "kind: must be one of exit"),
        ({"wen": "call"}, "unknown key 'wen'; known: kind, when"),
        ({"when": "later"}, "when: must be one of call, running"),
        ({"kind": "hang", "when": "replied"}, "hang is for call and answer only"),
        ({"kind": "delay"}, "seconds: says how long"),
        ({"kind": "delay", "seconds": -1}, "seconds: must be a number from 0"),
        ({"kind": "delay", "seconds": True}, "seconds: must be a number from 0"),
        ({"error": "BUSY"}, 'error: is for the kind "error"'),
        ({"kind": "error", "error": "SAD"}, "error: must be one of STORAGE, PATH_NOT"),
        ({"kind": "error", "error": []}, "error: must be one of STORAGE, PATH_NOT"),
        ({"kind": "error", "detail": 5}, "detail: must be a string"),
        ({"operations": []}, "operations: must be an array of cancel, close"),
        ({"operations": ["putt"]}, "operations: unknown 'putt'; known: cancel"),
        ({"operations": [[]]}, r"operations: unknown \[\]; known: cancel"),
        ({"probability": 0}, "probability: must be above 0"),
        ({"probability": 1.1}, "probability: must be a number from 0 to 1"),
        ({"count": -1}, "count: must be a whole number, 0 or more"),
        ({"skip": 0.5}, "skip: must be a whole number, 0 or more"),
    ],
)
def test_what_is_no_rule(keys, complaint):
    with pytest.raises(InvalidParameterError, match=complaint) as caught:
        plan({"kind": "exit"}, {"kind": "exit", **keys})
    assert "rules[1]" in str(caught.value)


def test_skip_and_count():
    faults = Faults(plan({"kind": "exit", "skip": 3, "count": 2}), 1)
    assert struck(faults, 10) == [3, 4]
    assert faults.struck == [2]


def test_a_rule_is_for_its_moment_and_its_operations():
    faults = Faults(plan({"kind": "exit", "when": "answer", "operations": ["put"]}), 1)
    assert struck(faults, 5, Moment.CALL, "put") == []
    assert struck(faults, 5, Moment.ANSWER, "stat") == []
    assert struck(faults, 5, Moment.ANSWER, "put") == [0, 1, 2, 3, 4]


def test_the_first_rule_that_applies_counts():
    faults = Faults(plan({"kind": "exit", "count": 1}, {"kind": "abort"}), 1)
    found = [faults.strike(Moment.CALL, "put").kind for _ in range(3)]
    assert found == [Kind.EXIT, Kind.ABORT, Kind.ABORT]


def test_the_seed_decides_and_nothing_else():
    rule = {"kind": "exit", "probability": 0.1}
    first = struck(Faults(plan(rule), 5), 2_000)
    assert struck(Faults(plan(rule), 5), 2_000) == first
    assert struck(Faults(plan(rule), 6), 2_000) != first
    assert 120 < len(first) < 280
    # A rule of its own chance: what stands before it changes nothing.
    other = {"kind": "abort", "operations": ["stat"], "probability": 0.5}
    faults = Faults(plan(rule, other), 5)
    mixed = [
        n
        for n in range(2_000)
        if (faults.strike(Moment.CALL, "stat"), faults.strike(Moment.CALL, "put"))[1]
    ]
    assert len(mixed) > 0


def test_steps_are_the_operations_and_the_ends_of_uploads():
    operations = {
        operation.name.lower()
        for operation in Operation
        if operation < Operation.STATUS  # from there on they are the broker's own
    }
    assert operations | {"commit", "close", "cancel"} == STEPS


def test_errors_are_named_as_in_the_protocol():
    section = PROTOCOL.read_text().partition("## 7. Errors")[2].partition("## 8.")[0]
    for code, name in re.findall(r"\| (\d+) \| ([A-Z_]+) ", section):
        (rule,) = plan({"kind": "error", "error": name}).rules
        assert rule.error is CODES.get(int(code), StorageError), name
