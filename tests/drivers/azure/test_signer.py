"""Which key signs, and how long a user delegation key is kept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from storagebus.drivers.azure.parameters import parse_options
from storagebus.drivers.azure.sas import Grant, has_expired, timestamp, with_account_key
from storagebus.drivers.azure.signer import KEY_REUSED_SECONDS, Signer

KEY = "c2VjcmV0LWtleQ=="
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


class Service:
    """Gives a key for as long as it is asked for, and counts."""

    def __init__(self) -> None:
        self.asked = 0

    def service(self) -> Service:
        return self

    def get_user_delegation_key(self, start: datetime, expiry: datetime) -> Any:
        self.asked += 1
        return SimpleNamespace(
            signed_oid="oid", signed_tid="tid", signed_start=timestamp(start),
            signed_expiry=timestamp(expiry), signed_service="b",
            signed_version="2023-11-03", value=KEY,
        )  # fmt: skip


def signer(service: Service, kind: str = "managed_identity") -> Signer:
    options = parse_options(
        "azure",
        {
            "accountname": "account",
            "container": "registry",
            "accountkey": KEY,
            "credentials": {"type": kind},
        },
    )
    return Signer(options, service)  # type: ignore[arg-type]


def query(url: str) -> dict[str, list[str]]:
    return parse_qs(urlsplit(url).query)


def test_the_account_key_signs_without_asking() -> None:
    service = Service()
    found = query(signer(service, "shared_key").url("a/b", 60))
    assert service.asked == 0
    assert found["sp"] == ["r"]
    assert found["spr"] == ["https"]


def test_a_delegation_key_is_kept_and_renewed_before_urls_outlive_it() -> None:
    service = Service()
    signs = signer(service)
    signs._signed("a", NOW, 1200)
    signs._signed("b", NOW + timedelta(days=6), 1200)
    assert service.asked == 1
    signs._signed("c", NOW + timedelta(days=7), 1200)
    assert service.asked == 2


def test_long_urls_do_not_ask_for_a_key_each() -> None:
    service = Service()
    signs = signer(service)
    week = 7 * 24 * 3600
    first = signs._signed("a", NOW, week)
    signs._signed("a", NOW + timedelta(seconds=KEY_REUSED_SECONDS - 1), week)
    assert service.asked == 1
    # A URL cannot outlive the key that signs it.
    key_ends = parse_qs(first)["ske"]
    assert parse_qs(first)["se"] == key_ends


@pytest.mark.parametrize(
    "change",
    [
        {"account": "x"},
        {"container": "x"},
        {"name": "x"},
        {"protocol": "https,http"},
        {"expires_at": NOW + timedelta(seconds=1)},
    ],
)
def test_whatever_is_granted_is_signed(change: dict[str, Any]) -> None:
    given: dict[str, Any] = {
        "account": "a", "container": "c", "name": "n", "expires_at": NOW,
    }  # fmt: skip
    one = parse_qs(with_account_key(Grant(**given), KEY))["sig"]
    other = parse_qs(with_account_key(Grant(**given | change), KEY))["sig"]
    assert one != other


@pytest.mark.parametrize(
    ("token", "expired"),
    [
        ("sv=1&se=2026-11-23T11%3A59%3A59Z&sig=x", True),
        ("se=2026-11-23T12:00:01Z", False),
        ("se=2026-11-23", True),
        ("se=2026-11-24", False),
        ("se=soon", False),
        ("si=policy&sig=x", False),
        ("", False),
    ],
)
def test_a_signatures_own_time(token: str, expired: bool) -> None:
    assert has_expired(token, NOW) is expired
