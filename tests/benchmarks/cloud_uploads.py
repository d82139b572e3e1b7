"""A process that makes uploads at once, and says how much memory that took at most.

python cloud_uploads.py DRIVER PARAMETERS       then, a line each: [COUNT, MEBIBYTES]
"""

from __future__ import annotations

import json
import os
import sys

from children import serve
from measure import at_once, peak_growth_bytes, pss_bytes

from storagebus.drivers import create

MIB = 1 << 20
PIECE = os.urandom(MIB)


def main() -> None:
    with create(sys.argv[1], json.loads(sys.argv[2])) as driver:
        driver.put_content("/warm", b"")

        def uploads(asked: list[int]) -> int:
            count, mib = asked

            def upload(number: int) -> None:
                with driver.writer(f"/at-once/{number}") as writer:
                    for _ in range(mib):
                        writer.write(PIECE)
                    writer.commit()

            pids = [os.getpid()]
            before = pss_bytes(pids)
            return before + peak_growth_bytes(pids, lambda: at_once(upload, count))

        serve(uploads)


if __name__ == "__main__":
    main()
