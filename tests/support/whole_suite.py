"""The conformance suite against a store that may be slow, and a move of gibibytes."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Iterator, Mapping
from random import Random

from ways import MakeDriver

from storagebus.drivers import conformance

MIB = 1 << 20
GIB = 1 << 30
PIECE_BYTES = 4 * MIB

PATIENCE_S: Mapping[conformance.Tier, float] = {
    conformance.Tier.SHORT: 120.0,
    conformance.Tier.LONG: 3600.0,
}
"""Swift puts a thousand objects in half a minute on a machine that is busy."""

LONG_TIER = [
    requirement.name
    for requirement in conformance.REQUIREMENTS
    if requirement.tier is conformance.Tier.LONG
]
"""The requirements with the sizes of the registry's own suite."""

WHOLE_MIN = 200
"""Requirements that every cloud driver has to pass; the rest needs what it lacks."""


def check_suite(
    make: MakeDriver,
    *,
    long: bool = False,
    only: Iterable[str] | None = None,
) -> None:
    """Fail with every requirement that is not met.

    Args:
        make: makes instances of the driver over one store.
        long: the long tier too.
        only: topics or patterns; None for the whole suite.
    """
    session = conformance.Session(
        make, seed=secrets.token_hex(8), long=long, seconds_max=PATIENCE_S
    )
    results = list(session.run(conformance.choose(only)))
    failures = [
        f"{result.name}: {result.reason}"
        for result in (*results, session.close())
        if result is not None and result.outcome is conformance.Outcome.FAILED
    ]
    assert not failures, "\n".join(failures)
    passed = sum(result.outcome is conformance.Outcome.PASSED for result in results)
    assert passed > (WHOLE_MIN if only is None else 0)


def check_large_move(make: MakeDriver, size: int) -> None:
    """Write an object, move it over another, read it back and compare.

    Args:
        make: makes instances of the driver over one store.
        size: of the object, in bytes.
    """
    written, read = hashlib.sha256(), hashlib.sha256()
    with make() as driver:
        driver.put_content("/large/to", b"was here before")
        with driver.writer("/large/from") as upload:
            for piece in pieces(size):
                written.update(piece)
                upload.write(piece)
            upload.commit()
        driver.move("/large/from", "/large/to")
        assert driver.list("/large") == ["/large/to"]
        assert driver.stat("/large/to").size == size
        with driver.reader("/large/to") as stream:
            while piece := stream.read(PIECE_BYTES):
                read.update(piece)
        driver.delete("/large")
    assert read.digest() == written.digest()


def pieces(size: int) -> Iterator[bytes]:
    """Random content that differs from piece to piece, quick to make."""
    base = bytearray(Random(size).randbytes(PIECE_BYTES))
    for start in range(0, size, PIECE_BYTES):
        base[:8] = start.to_bytes(8, "big")
        yield bytes(base[: size - start])
