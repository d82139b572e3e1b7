"""Parameters of the azure driver: the registry's names, kinds and defaults."""

from __future__ import annotations

from typing import Any

import pytest

from storagebus.drivers.azure.connection import parse_connection
from storagebus.drivers.azure.parameters import (
    PARAMETERS,
    PUBLIC,
    duration,
    parse_options,
)
from storagebus.drivers.errors import InvalidParameterError

KEY = "c2VjcmV0LWtleQ=="
BASE: dict[str, object] = {
    "accountname": "account",
    "container": "registry",
    "accountkey": KEY,
    "credentials": {"type": "shared_key"},
}
CONNECTION = (
    "DefaultEndpointsProtocol=https;AccountName=account;"
    f"AccountKey={KEY};EndpointSuffix=core.chinacloudapi.cn"
)


def options(**more: Any) -> Any:
    return parse_options("azure", BASE | more)


def test_the_registrys_settings_work_as_they_are() -> None:
    found = options(max_retries="0", retry_delay="100ms", skipverify="true")
    assert found.serviceurl == "https://account.blob.core.windows.net"
    assert (found.max_retries, found.retry_delay) == (5, 0.1)
    assert found.skipverify is True
    assert options(max_retries=-1).max_retries == 0


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"container": "UPPER"}, "'container'"),
        ({"accountname": "no-dashes"}, "'accountname'"),
        ({"accountkey": "not base64!"}, "'accountkey'"),
        ({"accountkey": ""}, "need 'accountkey'"),
        ({"credentials": {"type": "default"}}, "'credentials'"),
        ({"credentials": {"kind": "shared_key"}}, "unknown keys kind"),
        ({"credentials": {"type": "client_secret"}}, "'credentials.clientid'"),
        ({"credentials": {"type": "sas"}}, "need 'sastoken'"),
        ({"credentials.type": "shared_key"}, "given twice"),
        ({"sastoken": "se=2030"}, "'sastoken'"),
        ({"serviceurl": "host"}, "'serviceurl'"),
        ({"serviceurl": "https://host?sig=x"}, "'sastoken'"),
        ({"connectionstring": "nonsense"}, "'connectionstring'"),
        ({"retry_delay": "fast"}, "'retry_delay'"),
        ({"chunksize": 5}, "'chunksize'"),
        ({"rootdirectory": "a/../b"}, "'rootdirectory'"),
        ({"unknown": 1}, "unknown parameter 'unknown'"),
    ],
)
def test_what_is_wrong_is_named(given: dict[str, object], complaint: str) -> None:
    with pytest.raises(InvalidParameterError, match=complaint) as caught:
        options(**given)
    assert KEY not in str(caught.value)


def test_required_ones_are_named_together() -> None:
    with pytest.raises(InvalidParameterError) as caught:
        parse_options("azure", {"container": "registry"})
    assert "accountname" in str(caught.value)
    assert "credentials.type" in str(caught.value)


def test_dotted_names_say_the_same_as_a_map() -> None:
    names = {"type": "client_secret", "clientid": "c", "tenantid": "t", "secret": "s"}
    rest = {"accountname": "account", "container": "registry"}
    as_map = parse_options("azure", rest | {"credentials": names})
    dotted = {f"credentials.{name}": value for name, value in names.items()}
    assert parse_options("azure", rest | dotted) == as_map
    assert "s" in as_map.secrets


def test_a_connection_string_is_enough() -> None:
    given = {"container": "registry", "connectionstring": CONNECTION}
    found = parse_options("azure", given)
    assert found.accountname == "account"
    assert found.accountkey == KEY
    assert found.serviceurl == "https://account.blob.core.chinacloudapi.cn"
    assert found.credentials.type == "shared_key"


def test_a_connection_string_may_hold_a_signature() -> None:
    text = "BlobEndpoint=https://host/account/;SharedAccessSignature=?sv=1&sig=abc"
    found = parse_options("azure", {"container": "registry", "connectionstring": text})
    assert found.sastoken == "sv=1&sig=abc"
    assert found.serviceurl == "https://host/account"
    assert found.credentials.type == "sas"
    assert "abc" in found.secrets


def test_a_connection_string_must_not_contradict() -> None:
    with pytest.raises(InvalidParameterError, match="'accountname' differs"):
        options(accountname="another", connectionstring=CONNECTION)
    with pytest.raises(InvalidParameterError, match="exclude each other"):
        kind = {"type": "default_credentials"}
        options(credentials=kind, connectionstring=CONNECTION)


def test_development_storage_is_the_emulator() -> None:
    found = parse_connection("UseDevelopmentStorage=true")
    assert found.accountname == "devstoreaccount1"
    assert found.serviceurl == "http://127.0.0.1:10000/devstoreaccount1"


@pytest.mark.parametrize(
    "text",
    ["", "AccountName=a", "AccountKey=eA==", "BlobEndpoint=http://h;AccountKey=x"],
)
def test_half_a_connection_string_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="must"):
        parse_connection(text)


def test_nothing_secret_is_shown() -> None:
    found = options(sastoken="sv=1&sig=hidden", connectionstring=CONNECTION,
                    credentials={"type": "shared_key", "secret": "hush"})  # fmt: skip
    shown = repr(found) + repr(found.credentials) + repr(found.connectionstring)
    for secret in (KEY, "hidden", "hush"):
        assert secret not in shown
    hidden = {parameter.name for parameter in PARAMETERS} - PUBLIC
    assert hidden == {
        "accountkey", "credentials", "credentials.secret", "connectionstring",
        "sastoken",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "seconds"), [("100ms", 0.1), ("2s", 2.0), ("1m30s", 90.0), (3, 3.0)]
)
def test_durations(text: object, seconds: float) -> None:
    assert duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "1 s", "-1s", None, True, -1])
def test_no_durations(text: object) -> None:
    with pytest.raises(ValueError, match="duration"):
        duration(text)
