"""Two writers of one upload: whoever has claimed it last may go on, and nobody else.

One task writes an upload, others know its name and claim it, as the next process of an
application does that takes the first one for dead. What each of them may commit is what
the upload held when it claimed it, and its own bytes behind that: never a mixture.
A client that has got no answer to a claim of its own cannot tell it from another's, so
that such a one is excused if it goes on. Whether a commit of which it has got no answer
was its own it knows by the size; so sizes differ here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from storagebus.client.uploads import Upload
from storagebus.drivers.errors import StorageError

from .ledger import Kind, Write
from .violation import require

if TYPE_CHECKING:
    from .clientnode import ClientNode
    from .workload import Script

COMMIT_CHANCE = 0.7


@dataclass(eq=False)
class Contest:
    """An upload that is contested.

    Attributes:
        path, upload_id: which.
        claims: the generations of those who have claimed it, and what they want to
            commit, in the order in which they heard that they had.
    """

    path: str
    upload_id: str
    claims: list[tuple[int, Write]] = field(default_factory=list)

    def fit(self, content: bytes) -> bytes:
        """A content for a further writer, of another size than all others'."""
        while len(content) in {len(write.content or b"") for _, write in self.claims}:
            content += b"."
        return content

    def enter(self, write: Write, generation: int, client: ClientNode) -> None:
        """Somebody has heard of his claim: of two the earlier may not commit any more
        from now on."""
        now = client.world.loop.now
        for claimed, other in self.claims:
            earlier = other if claimed < generation else write
            earlier.fenced_at = min(earlier.fenced_at, now)
        self.claims.append((generation, write))
        write.is_excused = lambda: self.path in client.lost_claims


async def begin(script: Script) -> None:
    """Write an upload whose name others know."""
    world = script.world
    path = script.contested_path()
    content = script.content()
    upload = Upload(script.operations, path)
    script.set_out(path)
    try:
        await script.timed(upload.open())
    except StorageError:
        upload.abandon()
        return
    contest = Contest(path, upload.upload_id)
    world.contests.append(contest)
    await _go_on(script, upload, contest, content)


async def seize(script: Script) -> None:
    """Claim an upload that another client has begun, and go on with it."""
    world = script.world
    known = script.client.courses  # what this client writes itself
    contests = [
        c for c in world.contests if script.may_use(c.path) and c.path not in known
    ]
    if not contests:
        return
    contest = script.chance.choice(contests)
    path = contest.path
    upload = Upload(script.operations, path, upload_id=contest.upload_id)
    script.set_out(path)
    try:
        await script.timed(upload.open())
    except StorageError:
        upload.abandon()
        return
    before = script.claimed(contest.upload_id, upload.generation)
    require(len(before) == upload.size, "a claimant was told another size")
    await _go_on(script, upload, contest, before + script.content())


async def _go_on(
    script: Script, upload: Upload, contest: Contest, content: bytes
) -> None:
    path, content = contest.path, contest.fit(content)
    write = Write(Kind.COMMIT, path, content)
    contest.enter(write, upload.generation, script.client)
    at = upload.size
    try:
        while at < len(content):
            count = script.chance.choice((1, 500, 1_500, len(content)))
            await script.timed(upload.write(content[at : at + count]), path)
            at += count
            if script.chance.random() < 0.3:
                await script.client.sleep(script.chance.uniform(0.0, 3.0))
        if script.chance.random() < COMMIT_CHANCE:
            await script.write(write, upload.commit())
        else:
            await script.timed(upload.close(), path)
    except StorageError:
        pass
    upload.abandon()
