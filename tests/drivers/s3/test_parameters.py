"""Parameters: the registry's names, kinds and defaults; wrong ones are named."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest

from storagebus.drivers import create
from storagebus.drivers.errors import InvalidParameterError
from storagebus.drivers.s3.parameters import MIB, PARAMETERS, parse_options

LEAST = {"region": "us-east-1", "bucket": "registry"}

REGISTRYS = {
    "accesskey": "", "secretkey": "", "regionendpoint": "", "forcepathstyle": False,
    "redirectendpoint": "", "encrypt": False, "keyid": "", "secure": True,
    "skipverify": False, "v4auth": True, "chunksize": 10 * MIB,
    "multipartcopychunksize": 32 * MIB, "multipartcopymaxconcurrency": 100,
    "multipartcopythresholdsize": 32 * MIB, "rootdirectory": "",
    "storageclass": "STANDARD", "useragent": "", "objectacl": "private",
    "usedualstack": False, "accelerate": False, "usefipsendpoint": False,
    "loglevel": "off",
}  # fmt: skip


def options(**given: Any) -> Any:
    return parse_options("s3", LEAST | given)


def test_the_registrys_defaults() -> None:
    found = options()
    assert {name: getattr(found, name) for name in REGISTRYS} == REGISTRYS


@pytest.mark.parametrize("missing", ["region", "bucket"])
def test_what_is_required(missing: str) -> None:
    given = {name: value for name, value in LEAST.items() if name != missing}
    with pytest.raises(InvalidParameterError, match=missing):
        create("s3", given)


@pytest.mark.parametrize(
    ("name", "given", "parsed"),
    [
        ("chunksize", "5242880", 5 * MIB),
        ("secure", "false", False),
        ("encrypt", "t", True),
        ("storageclass", "standard_ia", "STANDARD_IA"),
        ("rootdirectory", "/a/b/", "a/b"),
        ("rootdirectory", "/", ""),
        ("loglevel", "DEBUG", "debug"),
        ("loglevel", "no such level", "off"),
        ("loglevel", False, "off"),
        ("redirectendpoint", "https://cdn.example.org/", "https://cdn.example.org"),
        ("multipartcopymaxconcurrency", "1", 1),
    ],
)
def test_what_is_taken(name: str, given: object, parsed: object) -> None:
    assert getattr(options(**{name: given}), name) == parsed


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("chunksize", 5 * MIB - 1),
        ("chunksize", "10M"),
        ("multipartcopychunksize", 6 << 30),
        ("multipartcopymaxconcurrency", 0),
        ("multipartcopythresholdsize", (5 << 30) + 1),
        ("secure", "maybe"),
        ("storageclass", "GLACIER"),
        ("objectacl", "all"),
        ("bucket", ""),
        ("bucket", "a b"),
        ("region", ""),
        ("rootdirectory", "a/../b"),
        ("rootdirectory", "~uploads"),
        ("redirectendpoint", "cdn.example.org"),
        ("redirectendpoint", "https://cdn.example.org/path"),
        ("redirectendpoint", "https://cdn.example.org?x"),
        ("regionendpoint", "https://user@host"),
        ("ssecustomerkey", "c2hvcnQ="),
        ("presignlifetime", 0),
        ("retrymode", "never"),
        ("no such parameter", 1),
    ],
)
def test_what_is_refused_names_the_parameter(name: str, given: object) -> None:
    with pytest.raises(InvalidParameterError) as caught:
        options(**{name: given})
    assert name in str(caught.value)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"accesskey": "only-one"}, "secretkey"),
        ({"sessiontoken": "alone"}, "sessiontoken"),
        ({"webidentitytokenfile": "/token"}, "rolearn"),
        ({"v4auth": False}, "regionendpoint"),
        ({"accelerate": True, "regionendpoint": "host"}, "accelerate"),
    ],
)
def test_what_does_not_go_together(given: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidParameterError, match=named):
        options(**given)


def test_all_problems_at_once() -> None:
    with pytest.raises(InvalidParameterError) as caught:
        parse_options("s3", {"bucket": "", "chunksize": 1, "colour": "red"})
    for name in ("region", "bucket", "chunksize", "colour"):
        assert name in str(caught.value)


def test_a_region_of_amazons_must_exist() -> None:
    with pytest.raises(InvalidParameterError, match="mars-north-1"):
        create("s3", LEAST | {"region": "mars-north-1"})
    elsewhere = {"region": "mars-north-1", "regionendpoint": "https://s3.example.org"}
    create("s3", LEAST | elsewhere).close()
    create("s3", LEAST).close()


def test_secrets_are_not_shown() -> None:
    key = base64.b64encode(b"k" * 32).decode()
    found = options(
        accesskey="AKSECRET", secretkey="SKSECRET", sessiontoken="STSECRET",
        externalid="XSECRET", ssecustomerkey=key,
    )  # fmt: skip
    assert "SECRET" not in repr(found) and "kkkk" not in repr(found)
    given = {"AKSECRET", "SKSECRET", "STSECRET", "XSECRET"}
    # The customer's key as it is sent, and its digest, which goes with it.
    digest = hashlib.md5(b"k" * 32, usedforsecurity=False).digest()
    assert set(found.secrets) == given | {key, base64.b64encode(digest).decode()}
    public = {parameter.name for parameter in PARAMETERS if parameter.public}
    assert not public & {"accesskey", "secretkey", "sessiontoken", "ssecustomerkey"}


def test_every_parameter_has_a_help() -> None:
    assert all(parameter.help for parameter in PARAMETERS)


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ({}, None),
        ({"regionendpoint": "host:9000"}, "https://host:9000"),
        ({"regionendpoint": "host", "secure": "false"}, "http://host"),
        ({"regionendpoint": "http://host/"}, "http://host"),
    ],
)
def test_endpoint(given: dict[str, Any], url: str | None) -> None:
    assert options(**given).endpoint_url == url
