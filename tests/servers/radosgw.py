"""Ceph RGW from Debian: one monitor, one OSD, the gateway. The reference."""

from __future__ import annotations

import subprocess

from .install import debian_packages
from .server import Server, answers

FSID = "11111111-2222-3333-4444-555555555555"
OSD = "66666666-7777-8888-9999-000000000000"

CONFIG = """
[global]
fsid = {fsid}
mon host = [v2:127.0.0.1:{v2},v1:127.0.0.1:{v1}]
mon initial members = a
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind port min = {first}
ms bind port max = {last}
auth cluster required = none
auth service required = none
auth client required = none
run dir = {data}/run
admin socket = {data}/run/$name.asok
log file = {data}/$name.ceph.log
crash dir = {data}/run
pid file =
keyring = /dev/null
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 2
osd pool default pgp num = 2
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon data avail crit = 1
# Pools are made one after the other, each with a round of the monitor.
paxos propose interval = 0.05
paxos min wait = 0.01
mon osd full ratio = .99
mon osd nearfull ratio = .98
mon osd backfillfull ratio = .985
mon max pg per osd = 1000
[mon]
mon data = {data}/mon
[osd]
osd data = {data}/osd
osd objectstore = bluestore
osd journal =
bluestore block size = 17179869184
osd memory target = 1073741824
osd op num shards = 2
osd mclock skip benchmark = true
[client]
ms mon client mode = crc
auth client required = none
rgw data = {data}/rgw
# Or every answer with a body waits 40 ms for an acknowledgement.
rgw frontends = beast endpoint=127.0.0.1:{port} tcp_nodelay=1
rgw thread pool size = 64
rgw override bucket index max shards = 1
rgw dynamic resharding = false
rgw enable usage log = false
rgw enable quota threads = false
rgw run sync thread = false
rgw enable ops log = false
"""


class RadosGW(Server):
    """A Ceph cluster of one, without authentication inside."""

    name = "radosgw"
    ports = 45

    def install(self) -> None:
        debian_packages("radosgw", "ceph-mon", "ceph-osd", "ceph-common")

    def launch(self) -> None:
        self.config = self.data / "ceph.conf"
        first_time = not self.config.exists()
        if first_time:
            self._format()
        daemon = ("-f", "--setuser", "root", "--setgroup", "root")
        self.spawn("ceph-mon", "-c", self.config, "-i", "a", *daemon)
        self._ceph("ceph", "--connect-timeout", "30", "mon", "stat")
        if first_time:
            self._ceph("ceph", "osd", "new", OSD)
            self._ceph(
                "ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", OSD, *daemon[1:]
            )  # fmt: skip
        else:
            # Or the gateway asks for the one that was killed, again and again.
            self._ceph("ceph", "osd", "down", "0")
        self.spawn("ceph-osd", "-c", self.config, "-i", "0", *daemon)
        self.wait_for(lambda: "1 up" in self._ceph("ceph", "osd", "stat"), "OSD")
        if first_time:
            user = ("--uid=test", "--display-name=test")
            keys = (f"--access-key={self.access_key}", f"--secret={self.secret_key}")
            self._ceph("radosgw-admin", "user", "create", *user, *keys)
        self.spawn("radosgw", "-c", self.config, "-n", "client.rgw", *daemon)
        self.wait_for(lambda: answers(self.endpoint, "ListAllMyBuckets"), "S3 door")

    def _format(self) -> None:
        for name in ("run", "mon", "osd", "rgw"):
            (self.data / name).mkdir()
        v2, v1 = self.port + 1, self.port + 2
        self.config.write_text(
            CONFIG.format(
                fsid=FSID,
                data=self.data,
                port=self.port,
                v2=v2,
                v1=v1,
                first=self.port + 10,
                last=self.port + 44,
            )
        )
        monmap = self.data / "monmap"
        address = f"[v2:127.0.0.1:{v2},v1:127.0.0.1:{v1}]"
        create = ("--create", "--clobber", "--fsid", FSID, "--addv", "a", address)
        subprocess.run(
            ["monmaptool", *create, monmap], check=True, capture_output=True, timeout=60
        )
        self._ceph(
            "ceph-mon", "--mkfs", "-i", "a", "--monmap", str(monmap),
            "--setuser", "root", "--setgroup", "root",
        )  # fmt: skip

    def _ceph(self, program: str, *arguments: str) -> str:
        done = subprocess.run(
            [program, "-c", str(self.config), *arguments],
            capture_output=True,
            text=True,
            timeout=60,
        )
        if done.returncode:
            raise RuntimeError(f"{program} {' '.join(arguments)}: {done.stderr[-800:]}")
        return done.stdout
