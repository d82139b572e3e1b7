"""OpenStack Swift with its s3api: no conditional overwrite, no encryption."""

from __future__ import annotations

import subprocess
from pathlib import Path

from .install import debian_packages, python_package
from .server import Server, answers

COMMON = """
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = {user}
swift_dir = {data}
devices = {data}/srv
mount_check = false
disable_fallocate = true
log_level = WARNING
# On a busy machine the default of 1 s leaves objects out of listings until an updater
# runs, and none does here; a part of Swift that is slow is not one that has failed.
container_update_timeout = 60
conn_timeout = 20
node_timeout = 60
error_suppression_limit = 1000000
"""
STORAGE = """
[pipeline:main]
pipeline = {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
"""
FILTERS = {
    "catch_errors": "",
    "gatekeeper": "",
    "healthcheck": "",
    "cache": "memcache_servers = 127.0.0.1:{memcached}",
    "listing_formats": "",
    "bulk": "",
    "s3api": "location = us-east-1\ns3_acl = false\nmin_segment_size = 5242880\n"
    "max_multi_delete_objects = 1000\ncheck_bucket_owner = false",
    "tempauth": "user_test_tester = testing123 .admin",
    "slo": "",
    "dlo": "",
    "versioned_writes": "allow_object_versioning = true",
    "symlink": "",
}
ENTRY_POINTS = {"cache": "memcache"}
KINDS = ("account", "container", "object")


class Swift(Server):
    """Proxy, account, container and object server with one replica."""

    name = "swift"
    ports = 5
    access_key = "test:tester"
    secret_key = "testing123"

    def install(self) -> None:
        debian_packages("memcached")
        self.programs = python_package("swift==2.38.3", "swift-proxy-server")

    def launch(self) -> None:
        if not (self.data / "proxy.conf").exists():
            self._configure()
        memcached = str(self.port + 4)
        self.spawn("memcached", "-l", "127.0.0.1", "-p", memcached, "-U", "0",
                   "-m", "32", "-u", "nobody")  # fmt: skip
        for kind in KINDS:
            program = self.programs / f"swift-{kind}-server"
            self.spawn(program, self.data / f"{kind}.conf")
        self.spawn(self.programs / "swift-proxy-server", self.data / "proxy.conf")
        for offset in range(4):
            url = f"http://127.0.0.1:{self.port + offset}/healthcheck"
            self.wait_for(lambda url=url: answers(url), "door")

    def _configure(self) -> None:
        for name in ("srv/d1", "run", "cache"):
            (self.data / name).mkdir(parents=True)
        self._write(
            "swift.conf",
            "[swift-hash]\nswift_hash_path_suffix = tests\n"
            "swift_hash_path_prefix = tests\n"
            "[storage-policy:0]\nname = Policy-0\ndefault = yes\n",
        )
        for number, kind in enumerate(KINDS, 1):
            self._ring(kind, self.port + number)
            text = self._common(self.port + number) + STORAGE.format(kind=kind)
            self._write(f"{kind}.conf", text)
        text = self._common(self.port)
        text += f"[pipeline:main]\npipeline = {' '.join(FILTERS)} proxy-server\n"
        text += "[app:proxy-server]\nuse = egg:swift#proxy\naccount_autocreate = true\n"
        for name, settings in FILTERS.items():
            entry = ENTRY_POINTS.get(name, name)
            settings = settings.format(memcached=self.port + 4)
            text += f"[filter:{name}]\nuse = egg:swift#{entry}\n{settings}\n"
        self._write("proxy.conf", text)

    def _common(self, port: int) -> str:
        return COMMON.format(port=port, data=self.data, user=Path.home().owner())

    def _ring(self, kind: str, port: int) -> None:
        builder = f"{kind}.builder"
        for arguments in (
            (builder, "create", "8", "1", "1"),
            (builder, "add", f"r1z1-127.0.0.1:{port}/d1", "1"),
            (builder, "rebalance"),
        ):
            program = self.programs / "swift-ring-builder"
            subprocess.run(
                [program, *arguments],
                cwd=self.data,
                check=True,
                capture_output=True,
                timeout=60,
            )

    def _write(self, name: str, text: str) -> None:
        (self.data / name).write_text(text)


class OldSwift(Swift):
    """Debian's, of 2022: DeleteObjects only with Content-MD5, no If-None-Match."""

    name = "swift-debian"

    def install(self) -> None:
        services = ("proxy", "account", "container", "object")
        debian_packages(*(f"swift-{service}" for service in services), "memcached")
        self.programs = Path("/usr/bin")
