"""Run one of the servers of the tests by hand: python tests/servers/run.py NAME"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from servers.azurite import Azurite
from servers.radosgw import RadosGW
from servers.seaweedfs import SeaweedFS
from servers.swift import OldSwift, Swift

KINDS = {kind.name: kind for kind in (Azurite, SeaweedFS, RadosGW, Swift, OldSwift)}


def main() -> None:
    if len(sys.argv) != 2 or sys.argv[1] not in KINDS:
        sys.exit(f"usage: {sys.argv[0]} {'|'.join(KINDS)}")
    server = KINDS[sys.argv[1]]().start()
    print(f"{server.endpoint} {server.access_key} {server.secret_key}", flush=True)
    try:
        signal.sigwait({signal.SIGINT, signal.SIGTERM})
    finally:
        server.remove()


if __name__ == "__main__":
    # Blocked, so that `sigwait` takes them.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    main()
