"""What may stand on a command line, and what goes by reference."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storagebus.drivers.errors import InvalidParameterError
from storagebus.workers.references import (
    ARGUMENT_BYTES_MAX,
    PUBLIC_NAMES,
    split_secrets,
)

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


def test_plainly_public_names_are_shown_and_all_else_is_withheld() -> None:
    argument, secrets = split_secrets(
        {"rootdirectory": "/data", "chunksize": 5, "secretkey": "s3cr3t", "odd": 7}
    )
    assert json.loads(argument) == {
        "rootdirectory": "/data",
        "chunksize": 5,
        "secretkey": {"$secret": "secretkey"},
        "odd": {"$secret": "odd"},
    }
    assert secrets == {"secretkey": "s3cr3t", "odd": 7}


def test_a_driver_can_declare_more_names_public() -> None:
    argument, secrets = split_secrets({"flavour": "sweet"}, public={"flavour"})
    assert json.loads(argument) == {"flavour": "sweet"}
    assert secrets == {}


@pytest.mark.parametrize(
    "value", [{"$secret": "x"}, ["a"], None, "https://user:word@store.example"]
)
def test_a_public_name_does_not_make_every_value_public(value: object) -> None:
    argument, secrets = split_secrets({"regionendpoint": value})
    assert json.loads(argument) == {"regionendpoint": {"$secret": "regionendpoint"}}
    assert secrets == {"regionendpoint": value}


@pytest.mark.parametrize("value", [b"raw", float("nan"), {1, 2}])
def test_values_that_json_cannot_hold_are_refused_without_being_shown(
    value: object,
) -> None:
    with pytest.raises(InvalidParameterError, match="'word' cannot be sent") as caught:
        split_secrets({"word": value})
    assert "raw" not in str(caught.value)


def test_an_argument_beyond_the_limit_is_refused() -> None:
    with pytest.raises(InvalidParameterError, match=str(ARGUMENT_BYTES_MAX)):
        split_secrets({"rootdirectory": "/" + "x" * ARGUMENT_BYTES_MAX})


@given(st.dictionaries(st.text(max_size=8) | st.just("bucket"), VALUES, max_size=6))
def test_putting_the_secrets_back_gives_the_parameters(
    parameters: dict[str, object],
) -> None:
    argument, secrets = split_secrets(parameters)
    shown = json.loads(argument)
    whole = {
        name: secrets[value["$secret"]] if isinstance(value, dict) else value
        for name, value in shown.items()
    }
    assert whole == parameters
    # Hypothesis takes some names from the source itself.
    assert set(shown) - PUBLIC_NAMES <= set(secrets)
