"""The figures of the s3 and azure drivers, beside those of the plain SDKs.

python tests/benchmarks/clouds.py                     both, 1 GiB objects
python tests/benchmarks/clouds.py --quick             smaller data, for a look
python tests/benchmarks/clouds.py --only s3 --server radosgw --rows near far
python tests/benchmarks/clouds.py --markdown          as it stands on a page

It installs and starts the servers. Every ratio of speeds is the median of several
rounds, in which both sides follow one another in an order that alternates.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import azure_blobs
import s3
from cloud_scene import QUICK, SMOKE, Sizes
from figures import Figure, line, markdown

SIZES = {"full": Sizes(), "quick": QUICK, "smoke": SMOKE}
ROWS = ("near", "far", "memory")


def main() -> None:
    """Run, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=("s3", "azure"))
    parser.add_argument("--server", choices=s3.SERVERS, default="seaweedfs")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    for name in ("quick", "smoke"):
        parser.add_argument(
            f"--{name}", dest="size", action="store_const", const=name, default="full"
        )
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.add_argument("--markdown", action="store_true", help="for a page")
    options = parser.parse_args()
    found = []
    for figure in measured(options):
        found.append(figure)
        plain = not options.json and not options.markdown
        print(line(figure), file=sys.stdout if plain else sys.stderr, flush=True)
    if options.json:
        print(json.dumps({"rows": [figure.fields() for figure in found]}))
    elif options.markdown:
        print(f"{markdown(found)}\n\n{time.strftime('%Y-%m-%d')}, {options.server}.")


def measured(options: argparse.Namespace) -> Iterator[Figure]:
    """The figures of one driver or both."""
    sizes = SIZES[options.size]
    if options.only != "azure":
        yield from s3.measured(sizes, options.server, options.rows)
    if options.only != "s3":
        yield from azure_blobs.measured(sizes, options.rows)


if __name__ == "__main__":
    main()
