"""URLs at which a blob can be read: for clients, and for the service as a source."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

from ..errors import AccessDeniedError
from .client import AzureClients
from .credentials import TOKEN_TYPES
from .errors import typed
from .parameters import Options
from .sas import (
    DelegationKey,
    Grant,
    blob_url,
    with_account_key,
    with_delegation_key,
)

KEY_SECONDS = 7 * 24 * 3600 - 300
"""The service gives keys for 7 days at most; less, since clocks differ."""
KEY_REUSED_SECONDS = 3_600.0
"""A key is kept at least that long, though a URL is to outlive it."""
CLOCKS_DIFFER_SECONDS = 300


class Signer:
    """Signs with the account's key, or a user delegation key, or passes a SAS on.

    Args:
        options: the driver's parameters.
        clients: ask the service for a user delegation key, which is cached.
    """

    def __init__(self, options: Options, clients: AzureClients) -> None:
        self._options = options
        self._clients = clients
        self._lock = threading.Lock()
        self._key: DelegationKey | None = None
        self._key_made_at: datetime | None = None

    def url(self, name: str, lifetime_s: int) -> str:
        """A URL that reads a blob for a time.

        Args:
            name: the blob.
            lifetime_s: seconds for which it shall work. A SAS of the operator's works
                as long as it says itself.

        Raises:
            AccessDeniedError: the caller's role may not have a user delegation key.
        """
        options = self._options
        if options.credentials.type == "sas":
            query = options.sastoken
        else:
            query = self._signed(name, datetime.now(UTC), lifetime_s)
        return blob_url(options.serviceurl, options.container, name, query)

    def _signed(self, name: str, now: datetime, lifetime_s: int) -> str:
        options = self._options
        secure = options.serviceurl.startswith("https:")
        key = None
        expires_at = now + timedelta(seconds=lifetime_s)
        if options.credentials.type in TOKEN_TYPES:
            key = self._delegation_key(now, expires_at)
            expires_at = min(expires_at, key.expires_at)
        grant = Grant(
            self._account,
            options.container,
            name,
            expires_at,
            "https" if secure else "https,http",
        )
        if key is not None:
            return with_delegation_key(grant, key)
        return with_account_key(grant, options.accountkey)

    @property
    def _account(self) -> str:
        """The account's name; without a parameter it is the first part of the host."""
        host = self._options.serviceurl.partition("://")[2]
        return self._options.accountname or host.partition(".")[0]

    def _delegation_key(self, now: datetime, expires_at: datetime) -> DelegationKey:
        """The cached key, or a new one where that ends before the URL."""
        with self._lock:
            key, made_at = self._key, self._key_made_at
            if key is not None and made_at is not None:
                age_s = (now - made_at).total_seconds()
                fresh = age_s < KEY_REUSED_SECONDS and now < key.expires_at
                if expires_at <= key.expires_at or fresh:
                    return key
            key = self._ask(now)
            self._key, self._key_made_at = key, now
            return key

    def _ask(self, now: datetime) -> DelegationKey:
        try:
            given: Any = self._clients.service().get_user_delegation_key(
                now - timedelta(seconds=CLOCKS_DIFFER_SECONDS),
                now + timedelta(seconds=KEY_SECONDS),
            )
        except Exception as error:
            mapped = typed(error)
            if isinstance(mapped, AccessDeniedError):
                mapped.detail += (
                    "; signing needs the role's generateUserDelegationKey action"
                )
            raise mapped from None
        return DelegationKey(
            oid=given.signed_oid,
            tid=given.signed_tid,
            start=given.signed_start,
            expiry=given.signed_expiry,
            service=given.signed_service,
            version=given.signed_version,
            value=given.value,
            expires_at=datetime.fromisoformat(given.signed_expiry),
        )
