"""A snap file against the assertions: is it that snap, at that revision, under that name? Pure."""

from __future__ import annotations

from dataclasses import dataclass

from snaps.assertions import types
from snaps.assertions.database import Database
from snaps.assertions.parse import Assertion
from snaps.assertions.refused import RefusedError


@dataclass(frozen=True)
class Identity:
    """What the assertions say of a file."""

    name: str
    snap_id: str
    revision: int
    publisher: str


def identify(database: Database, *, sha3_384: str, size_bytes: int, where: str) -> Identity:
    """Which snap the file with this hash (96 hex digits) is. Raises RefusedError if none says so."""
    ref = types.snap_revision_ref(sha3_384)
    revision = database.get(ref)
    if revision is None:
        raise RefusedError(
            f"no assertion {ref} says which snap the file is",
            where=where,
            hint="it is another file than was published, or one with a provenance of its own, which no seed can prove",
        )
    if (size := revision.number("snap-size")) != size_bytes:
        raise RefusedError(f"the file {where} has {size_bytes} bytes, not {size}", where=revision.where)
    declaration = _declaration(database, revision)
    name = declaration.optional("snap-name")
    if not name:
        raise RefusedError("this snap was revoked: it has no name any more", where=declaration.where)
    return Identity(
        name, revision.header("snap-id"), revision.number("snap-revision"), declaration.header("publisher-id")
    )


def check_file(database: Database, *, name: str, snap_id: str, revision: int, sha3_384: str, size_bytes: int) -> str:
    """Check that a file is what was asked for; returns the publisher's account id. Raises RefusedError."""
    found = identify(database, sha3_384=sha3_384, size_bytes=size_bytes, where=name)
    address = str(types.snap_revision_ref(sha3_384))
    if found.snap_id != snap_id:
        raise RefusedError(f"is of the snap-id {found.snap_id}, but {name} is {snap_id}", where=address)
    if found.revision != revision:
        raise RefusedError(f"is revision {found.revision} of {name}, not {revision}", where=address)
    if found.name != name:
        raise RefusedError(
            f"this snap is called {found.name}, not {name}", where=str(types.snap_declaration_ref(snap_id))
        )
    return found.publisher


def _declaration(database: Database, revision: Assertion) -> Assertion:
    ref = types.snap_declaration_ref(revision.header("snap-id"))
    declaration = database.get(ref)
    if declaration is None:
        raise RefusedError(f"there is no {ref}", where=revision.where)
    return declaration
