"""An object store behind a proxy that does harm: it stalls, answers errors, resets."""

from __future__ import annotations

from typing import Any

from s3_bucket import parameters_of, plain_client
from servers.faultproxy import FaultProxy
from servers.install import CannotInstall
from servers.seaweedfs import SeaweedFS

BUCKET = "chaos"


class ObjectStore:
    """A server with a bucket, reached through a proxy; to be closed.

    Raises:
        CannotInstall: it cannot be had here.
    """

    def __init__(self) -> None:
        self._server = SeaweedFS()
        try:
            self._server.start()
        except CannotInstall:
            self._server.remove()
            raise
        self.proxy = FaultProxy(self._server.port)
        plain_client(self._server).create_bucket(Bucket=BUCKET)

    @property
    def parameters(self) -> dict[str, Any]:
        """Of the s3 driver."""
        return parameters_of(
            self._server, regionendpoint=self.proxy.endpoint, bucket=BUCKET
        )

    def harm(self, how: str) -> None:
        """Do harm from now on: "stall", "errors"; or "reset" what is open now."""
        if how == "stall":
            self.proxy.set(stalled=True)
        elif how == "errors":
            self.proxy.set(status=503)
        else:
            self.proxy.kill_connections()

    def heal(self) -> None:
        """Do no more harm."""
        self.proxy.set()

    def close(self) -> None:
        """End the server and remove its data."""
        self.proxy.close()
        self._server.remove()
