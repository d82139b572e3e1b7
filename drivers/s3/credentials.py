"""Credentials: static ones, the SDK's own chain, or a role assumed on top of these."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

from ..errors import AccessDeniedError
from .parameters import Options

ROLE_SECONDS = 3600
TOKEN_BYTES_MAX = 64 << 10


def session_of(options: Options) -> Any:
    """An SDK session with the credentials that the parameters ask for.

    Without `rolearn` these are the static keys, else what the SDK's chain finds:
    environment, web identity, profile with its roles, container, instance.
    """
    import boto3
    import botocore.session

    core = botocore.session.Session()
    base = boto3.session.Session(
        aws_access_key_id=options.accesskey or None,
        aws_secret_access_key=options.secretkey or None,
        aws_session_token=options.sessiontoken or None,
        region_name=options.region,
        botocore_session=core,
    )
    if not options.rolearn:
        return base
    from botocore.credentials import DeferredRefreshableCredentials

    assumed = botocore.session.Session()
    # The SDK has no public way to set credentials that renew themselves.
    assumed._credentials = DeferredRefreshableCredentials(
        refresh_using=Role(base, options).credentials, method="assume-role"
    )
    return boto3.session.Session(
        region_name=options.region, botocore_session=assumed
    )  # fmt: skip


class Role:
    """Assumes a role, anew whenever its credentials run out.

    Args:
        session: whose credentials may assume the role.
        options: says which role, and whether a token stands for credentials.
    """

    def __init__(self, session: Any, options: Options) -> None:
        self._session = session
        self._options = options

    def credentials(self) -> dict[str, Any]:
        """Fresh credentials, in the form that the SDK renews them in."""
        given = self._assume()["Credentials"]
        return {
            "access_key": given["AccessKeyId"],
            "secret_key": given["SecretAccessKey"],
            "token": given["SessionToken"],
            "expiry_time": given["Expiration"].isoformat(),
        }

    def _assume(self) -> Any:
        options = self._options
        arguments: dict[str, Any] = {
            "RoleArn": options.rolearn,
            "RoleSessionName": options.rolesessionname,
            "DurationSeconds": ROLE_SECONDS,
        }
        if options.webidentitytokenfile:
            with closing(self._client(unsigned=True)) as sts:
                return sts.assume_role_with_web_identity(
                    **arguments, WebIdentityToken=self._token()
                )
        if options.externalid:
            arguments["ExternalId"] = options.externalid
        with closing(self._client()) as sts:
            return sts.assume_role(**arguments)

    def _client(self, unsigned: bool = False) -> Any:
        """A client of the token service, no more patient than that of the store."""
        from botocore import UNSIGNED
        from botocore.config import Config

        options = self._options
        config = Config(
            connect_timeout=options.connecttimeout,
            read_timeout=options.readtimeout,
            retries={
                "mode": options.retrymode,
                "total_max_attempts": options.maxattempts,
            },
            signature_version=UNSIGNED if unsigned else None,
        )
        return self._session.client("sts", config=config)

    def _token(self) -> str:
        """The token, read anew each time: whoever issues it replaces the file."""
        try:
            with Path(self._options.webidentitytokenfile).open() as file:
                return file.read(TOKEN_BYTES_MAX).strip()
        except (OSError, ValueError) as error:
            raise AccessDeniedError(
                f"'webidentitytokenfile' cannot be read ({type(error).__name__})"
            ) from None
