"""Tables of parameters: every problem is named, and no value shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storagebus.drivers.errors import InvalidParameterError
from storagebus.drivers.parameters import (
    REQUIRED,
    Parameter,
    boolean,
    parse_parameters,
    text,
    whole,
)

TABLE = (
    Parameter("bucket", text, REQUIRED, public=True),
    Parameter("secretkey", text, ""),
    Parameter("secure", boolean, True),
    Parameter("chunksize", whole(5, 10), 7),
)


def test_defaults_fill_what_is_not_given() -> None:
    assert parse_parameters("acme", TABLE, {"bucket": "b", "chunksize": "9"}) == {
        "bucket": "b",
        "secretkey": "",
        "secure": True,
        "chunksize": 9,
    }


def test_all_problems_are_named_at_once_and_no_value_is_shown() -> None:
    given = {"buckets": "xyzzy", "secretkey": 12345, "secure": "xyzzy", "chunksize": 4}
    with pytest.raises(InvalidParameterError) as caught:
        parse_parameters("acme", TABLE, given)
    said = str(caught.value)
    assert caught.value.driver == "acme"
    for name in ("'buckets'", "'bucket' is required", "'secretkey'", "'secure'"):
        assert name in said
    assert "'chunksize': must be a whole number from 5 to 10" in said
    assert "known: bucket, chunksize, secretkey, secure" in said
    assert "xyzzy" not in said
    assert "12345" not in said


@pytest.mark.parametrize("given", [True, "true", "1", "T", "True"])
def test_true(given: object) -> None:
    assert boolean(given) is True


@pytest.mark.parametrize("given", [False, "false", "0", "F", "FALSE"])
def test_false(given: object) -> None:
    assert boolean(given) is False


@pytest.mark.parametrize("given", ["yes", "", 1, 0, None, [], {}])
def test_no_boolean(given: object) -> None:
    with pytest.raises(ValueError, match="must be true or false"):
        boolean(given)


@given(st.integers(-20, 20), st.booleans())
def test_whole_numbers_within_their_bounds(number: int, as_text: bool) -> None:
    parse = whole(-3, 5)
    value: object = str(number) if as_text else number
    if -3 <= number <= 5:
        assert parse(value) == number
    else:
        with pytest.raises(ValueError, match="from -3 to 5"):
            parse(value)


@pytest.mark.parametrize("given", [True, 1.0, None, "", "1.5", "ten", "9" * 5000, b"1"])
def test_no_whole_number(given: object) -> None:
    with pytest.raises(ValueError, match="must be a whole number"):
        whole(0)(given)


def test_a_bound_above_may_lack() -> None:
    assert whole(0)(10**30) == 10**30
    with pytest.raises(ValueError, match="from 0 up"):
        whole(0)(-1)


@pytest.mark.parametrize("given", [None, 1, b"x"])
def test_no_text(given: object) -> None:
    with pytest.raises(ValueError, match="must be a string"):
        text(given)
