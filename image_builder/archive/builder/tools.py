"""What the builder's root is made of: one state of Debian, pinned in the lock, and what apt chooses of it."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from image_builder.apt.fetch import prefetch
from image_builder.apt.handover import hand_over
from image_builder.apt.lists import lists_folder
from image_builder.apt.solution import Solution
from image_builder.apt.solve import Context, in_root, solve_base
from image_builder.architectures import native_architecture
from image_builder.archive.builder.assignment import AptSource, Tools
from image_builder.errors import PipelineError
from image_builder.layers import Store
from image_builder.lock import ArchivePin
from proxy.archive.freeze import blobs, thaw
from proxy.archive.resolve import Resolved, resolve
from proxy.archive.sources import Source
from proxy.archive.stamp import Stamp

log = logging.getLogger(__name__)


def pinned(
    source: Source, known: Sequence[ArchivePin], *, keyring: Path, cache: Path, now: datetime, stamp: Stamp | None
) -> Tools:
    """The tools at an instant; by a pin that is known, or one that is found now.

    Nothing but an InRelease is fetched. stamp: the instant of the rebuild; None: now. A rebuild of an instant at which
    there were no such tools gets those of now, with a warning. Raises PipelineError, SurroundingsError.
    """
    found = next((pin for pin in known if (pin.uri, pin.suite) == (source.uri, source.suite)), None)
    if found is None:
        found = _resolved(source, keyring=keyring, cache=cache, now=now, stamp=stamp)
    # A rebuild may have pinned the same suite for other architectures: its InRelease is the same.
    own = found.model_copy(update={"components": source.components, "architectures": source.architectures})
    signed_by = source.signed_by or (keyring,)
    return Tools(source=AptSource(uri=source.uri, suite=source.suite, components=source.components,
                                  signed_by=tuple(path.absolute() for path in signed_by)), pins=(own,))  # fmt: skip


def source_of(uri: str, suite: str, keyring: Path) -> Source:
    """Where a builder's root on this machine is from."""
    return Source(uri.rstrip("/"), suite, ("main",), (native_architecture(),), (keyring,))


def solution(store: Store, tools: Tools, packages: Sequence[str]) -> Solution:
    """All packages of a root that has these, as apt chooses them from the pinned state; remembered."""
    source, cache = _source(tools), store.downloads()
    question = _digest(["builder", source.line(), *_pins(tools), *packages])
    if (known := store.recall("solution", question)) is not None:
        return Solution.from_json(known)
    frozen = thaw(tools.pins, [source], keyring=source.signed_by[0], cache=cache)
    context = Context(
        run_in_root=in_root(Path("/")),  # the apt that mmdebstrap will call
        sources=(source,),
        lists=lists_folder(frozen, cache=cache),
        cache=cache,
        architecture=native_architecture(),
    )
    found = solve_base(context, source.suite, include=packages, merged_usr=False, required=False)
    store.remember("solution", question, found.to_json())
    return found


def fetched(store: Store, tools: Tools, chosen: Solution) -> Callable[[Path], object]:
    """Fetch the packages. Return what lays them out in an empty root, so that mmdebstrap there asks nobody."""
    source, cache = _source(tools), store.downloads()
    kept = blobs(cache)

    def addresses(uri: str) -> list[str]:
        path = uri.removeprefix(source.uri + "/")
        return list(dict.fromkeys([uri, *(pin.service + path for pin in tools.pins if pin.service and path != uri)]))

    prefetch(chosen.packages, kept, addresses=addresses)
    lists = lists_folder(thaw(tools.pins, [source], keyring=source.signed_by[0], cache=cache), cache=cache)
    return lambda root: hand_over(lists, chosen.packages, kept, root)


def question(tools: Tools, said: Sequence[str]) -> str:
    """By what is remembered which root these tools are, so that apt is asked once."""
    return _digest(["builder-root", tools.source.uri, tools.source.suite, *_pins(tools), *said])


def _resolved(source: Source, *, keyring: Path, cache: Path, now: datetime, stamp: Stamp | None) -> ArchivePin:
    at_present = Stamp(now, is_now=True)
    found = _asked(source, stamp or at_present, keyring, cache, now)
    if found.pin is None and stamp is not None and not stamp.is_now:
        log.warning("the builder's root is of now, not of the instant of the rebuild: %s", found.refusal())
        found = _asked(source, at_present, keyring, cache, now)
    if found.pin is None:
        raise found.refusal()
    return found.pin


def _asked(source: Source, stamp: Stamp, keyring: Path, cache: Path, now: datetime) -> Resolved:
    (found,) = resolve([source], stamp, keyring=keyring, cache=cache, now=now)
    return found


def _source(tools: Tools) -> Source:
    one = tools.source
    if not tools.pins:
        raise PipelineError("what it is made of is not pinned", where="the builder's root")
    return Source(one.uri, one.suite, one.components, (native_architecture(),), one.signed_by)


def _pins(tools: Tools) -> list[str]:
    return [pin.inrelease_sha256 for pin in tools.pins]


def _digest(said: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps(list(said)).encode()).hexdigest()
