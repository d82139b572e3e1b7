"""Tokens and shared access signatures, against a server that takes them."""

from __future__ import annotations

import base64
import json
import ssl
import time
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.core.credentials import AccessToken
from azure.storage.blob import (
    ContainerClient,
    ContainerSasPermissions,
    generate_container_sas,
)
from azure_container import CONTAINER
from servers.azurite import ACCOUNT, KEY, Azurite

from storagebus.drivers import create, errors
from storagebus.drivers.azure import client as client_module


@pytest.fixture
def secure(
    secure_azurite: Azurite, containers: Callable[[Azurite], ContainerClient]
) -> Azurite:
    """A server that takes tokens, with a container."""
    containers(secure_azurite)
    return secure_azurite


class Tokens:
    """Stands for Microsoft Entra, which no machine can run: makes unsigned tokens,
    whose claims are all that the emulator looks at."""

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        now = int(time.time())
        claims = {
            "aud": "https://storage.azure.com",
            "iss": "https://sts.windows.net/11111111-2222-3333-4444-555555555555/",
            "iat": now - 10,
            "nbf": now - 10,
            "exp": now + 3600,
            "oid": "66666666-7777-8888-9999-000000000000",
            "tid": "11111111-2222-3333-4444-555555555555",
            "ver": "1.0",
        }
        parts = [{"alg": "RS256", "typ": "JWT"}, claims]
        encoded = [
            base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
            for part in parts
        ]
        return AccessToken(".".join([*encoded, "c2lnbmF0dXJl"]), now + 3600)


def parameters(server: Azurite, kind: str, **more: Any) -> dict[str, Any]:
    return {
        "accountname": ACCOUNT,
        "container": CONTAINER,
        "serviceurl": server.service_url,
        "credentials": {"type": kind},
        "skipverify": True,
        **more,
    }


def test_tokens_and_urls_signed_with_a_delegation_key(
    secure: Azurite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "credential_of", lambda options: Tokens())
    with create("azure", parameters(secure, "managed_identity")) as driver:
        with driver.writer("/d/a") as upload:  # copies by a signed URL
            upload.write(b"by token")
            upload.commit()
        assert driver.get_content("/d/a") == b"by token"
        url = driver.redirect_url("/d/a")
        assert url is not None
        assert "skoid=" in url
        insecure = ssl._create_unverified_context()
        with urllib.request.urlopen(url, timeout=10, context=insecure) as reply:
            assert reply.read() == b"by token"
        driver.delete("/d")


def test_a_signature_of_the_operators_works_and_is_never_given_away(
    secure: Azurite,
) -> None:
    sas = generate_container_sas(
        ACCOUNT,
        CONTAINER,
        KEY,
        permission=ContainerSasPermissions(
            read=True, write=True, delete=True, list=True, create=True, add=True
        ),
        expiry=datetime.now(UTC) + timedelta(hours=1),
    )
    signature = sas.partition("sig=")[2]
    with create("azure", parameters(secure, "sas", sastoken=sas)) as driver:
        with driver.writer("/s/a") as upload:
            upload.write(b"by signature")
            upload.commit()
        assert driver.get_content("/s/a") == b"by signature"
        assert driver.capabilities.redirects is False
        assert driver.redirect_url("/s/a") is None
        driver.delete("/s")
    with create("azure", parameters(secure, "sas", sastoken=sas + "x")) as driver:
        with pytest.raises(errors.AccessDeniedError) as caught:
            driver.get_content("/s/a")
        assert signature not in str(caught.value)


def test_an_expired_signature_says_so(secure: Azurite) -> None:
    sas = generate_container_sas(
        ACCOUNT,
        CONTAINER,
        KEY,
        permission=ContainerSasPermissions(read=True, list=True),
        expiry=datetime.now(UTC) - timedelta(hours=1),
    )
    with (
        create("azure", parameters(secure, "sas", sastoken=sas)) as driver,
        pytest.raises(errors.AccessDeniedError, match="expired"),
    ):
        driver.get_content("/s/a")
