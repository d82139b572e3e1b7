"""Connections, retries and credentials that the SDK is given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import azure.identity
import pytest

from storagebus.drivers.azure.client import CALLERS_CONNECTIONS, make_service
from storagebus.drivers.azure.credentials import credential_of
from storagebus.drivers.azure.parameters import Options, parse_options

KEY = "c2VjcmV0LWtleQ=="


def options(kind: str = "shared_key", **more: Any) -> Options:
    given = {
        "accountname": "account",
        "container": "registry",
        "accountkey": KEY,
        "credentials": {
            "type": kind, "clientid": "client", "tenantid": "tenant", "secret": "s",
        },
    }  # fmt: skip
    return parse_options("azure", given | more)


def test_there_is_a_connection_for_every_thread() -> None:
    service = make_service(options(maxthreads=7))
    session = service._config.transport.session
    pool = session.get_adapter("https://host")._pool_maxsize
    assert pool == 7 + CALLERS_CONNECTIONS
    service.close()


def test_the_environment_is_heeded_though_asked_only_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.example.org:3128")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path))
    service = make_service(options())
    transport = service._config.transport
    assert transport.session.proxies["https"] == "http://proxy.example.org:3128"
    assert transport.connection_config.verify == str(tmp_path)
    assert transport.session.trust_env is False
    service.close()
    monkeypatch.setenv("no_proxy", "account.blob.core.windows.net")
    service = make_service(options(skipverify=True))
    transport = service._config.transport
    assert "https" not in transport.session.proxies
    assert transport.connection_config.verify is False
    service.close()


def test_pauses_are_short_and_grow() -> None:
    service = make_service(options(retry_delay="100ms", max_retries=3))
    policy = service._config.retry_policy
    for count in (1, 2, 3):
        pause_s = policy.get_backoff_time({"count": count})
        assert 0.08 * count <= pause_s <= 0.12 * count
    assert policy.get_backoff_time({"count": 10_000}) <= 10
    assert policy.total_retries == policy.connect_retries == 3
    service.close()


@pytest.mark.parametrize(
    ("kind", "cls"),
    [
        ("client_secret", azure.identity.ClientSecretCredential),
        ("managed_identity", azure.identity.ManagedIdentityCredential),
        ("default_credentials", azure.identity.DefaultAzureCredential),
    ],
)
def test_tokens_come_from_what_was_asked_for(kind: str, cls: type) -> None:
    credential = credential_of(options(kind))
    assert type(credential) is cls
    credential.close()


def test_tokens_come_from_the_clouds_own_host() -> None:
    made = credential_of(options("client_secret", realm="core.chinacloudapi.cn"))
    assert "login.chinacloudapi.cn" in made._authority
    made.close()
    made = credential_of(options("client_secret", authority="login.example.org"))
    assert "login.example.org" in made._authority
    made.close()
