"""Credentials in the form that the SDK takes them: a key, a token source, a SAS."""

from __future__ import annotations

from typing import Any

from .parameters import Options

AUTHORITIES = {
    "core.windows.net": "login.microsoftonline.com",
    "core.chinacloudapi.cn": "login.chinacloudapi.cn",
    "core.usgovcloudapi.net": "login.microsoftonline.us",
}
"""Which host gives tokens for the clouds of Azure."""
TOKEN_TYPES = ("client_secret", "default_credentials", "managed_identity")


def credential_of(options: Options) -> Any:
    """The SDK's credential for what the parameters ask for."""
    kind = options.credentials.type
    if kind == "shared_key":
        return {
            "account_name": options.accountname,
            "account_key": options.accountkey,
        }
    if kind == "sas":
        from azure.core.credentials import AzureSasCredential

        return AzureSasCredential(options.sastoken)
    return token_source(options)


def token_source(options: Options) -> Any:
    """What gets and renews tokens of Microsoft Entra, lazily."""
    import azure.identity

    given = options.credentials
    authority = options.authority or AUTHORITIES.get(options.realm)
    if given.type == "client_secret":
        return azure.identity.ClientSecretCredential(
            given.tenantid, given.clientid, given.secret, authority=authority
        )
    if given.type == "managed_identity":
        return azure.identity.ManagedIdentityCredential(
            client_id=given.clientid or None
        )
    chosen = {"managed_identity_client_id": given.clientid} if given.clientid else {}
    return azure.identity.DefaultAzureCredential(authority=authority, **chosen)
