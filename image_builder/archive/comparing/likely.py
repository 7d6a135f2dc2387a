"""Why a package most likely failed: from its state, the outcome of its last attempt, and what its log says."""

from __future__ import annotations

import re
from dataclasses import dataclass

from image_builder.archive import causes
from image_builder.archive.comparing.facts import Ended
from image_builder.archive.model import Outcome
from image_builder.archive.states import Cause, State


@dataclass(frozen=True, slots=True, order=True)
class Likely:
    """Failures with the same name and `what` are one group. words: for people. what: a header, a symbol, a package."""

    name: str
    words: str
    what: str = ""


# What ended an attempt, where that says enough: name, words.
_OUTCOMES = {
    Outcome.TIMEOUT: ("timeout", "it took longer than it may"),
    Outcome.CHROOT_PROBLEM: ("chroot", "its chroot could not be made or entered"),
    Outcome.GIVE_BACK: ("given-back", "it was given back too often, for no reason that can be named"),
    Outcome.CANCELLED: ("cancelled", "somebody stopped it"),
}
_CAUSES = {
    Cause.TIMEOUT: Outcome.TIMEOUT,
    Cause.CHROOT_PROBLEM: Outcome.CHROOT_PROBLEM,
    Cause.CANCELLED: Outcome.CANCELLED,
}
# What machines fail of: a pattern for what was said of it, name, words.
_MACHINE = (
    (re.compile(r"memory", re.IGNORECASE), "out-of-memory", "out of memory"),
    (
        re.compile(r"disk is full|room on the disk|No space left|disk full", re.IGNORECASE),
        "disk-full",
        "the disk was full",
    ),
    (re.compile(r"refused", re.IGNORECASE), "refused", "what was delivered was not what was asked for"),
)
# What the check of build dependencies says: the last thing that is needed is the one that is not there.
_NEEDS = re.compile(r"\bneeds (?:what )?(?P<what>[a-z0-9][a-z0-9+.-]+)")
_WAITS = re.compile(r"\bwaits for (?P<what>[a-z0-9][a-z0-9+.-]+)|^(?P<only>[a-z0-9][a-z0-9+.-]+)")
DEPENDENCY = ("dependency", "a build dependency cannot be installed")


def likely(ended: Ended) -> Likely:
    """The most likely reason for a package not to be built."""
    if ended.state is State.BD_UNINSTALLABLE:
        return Likely(*DEPENDENCY, _last(_NEEDS, ended.problem) or _last(_WAITS, ended.problem))
    if ended.state is State.DEP_WAIT or ended.outcome is Outcome.DEP_WAIT:
        return Likely(*DEPENDENCY, _last(_WAITS, ended.problem or ended.reason))
    outcome = _CAUSES.get(ended.cause, ended.outcome)
    if outcome in _OUTCOMES:
        return Likely(*_OUTCOMES[outcome])
    if outcome is Outcome.BUILDER_FAULT or ended.cause is Cause.BUILDER_FAULT:
        said = (one for one in _MACHINE if one[0].search(ended.reason))
        return next((Likely(name, words) for _, name, words in said), Likely("machine", "the machine failed"))
    if found := causes.find(ended.log):
        return Likely(found.rule.name, found.rule.words, found.what)
    # Without a log there are the words that were found in it when it was judged.
    by_words = (rule for rule in causes.RULES if rule.words in ended.reason)
    return next((Likely(rule.name, rule.words) for rule in by_words), Likely("unknown", "for no known reason"))


def line_of(ended: Ended) -> str:
    """The one line that says most of it: of the log, else what was written down."""
    if ended.state in (State.BD_UNINSTALLABLE, State.DEP_WAIT):
        return _first(ended.problem)
    found = causes.find(ended.log) if ended.outcome is Outcome.ATTEMPTED else None
    return found.line if found else _first(ended.problem or ended.reason)


def _first(text: str) -> str:
    return text.strip().partition("\n")[0]


def _last(pattern: re.Pattern[str], text: str) -> str:
    found = [next(filter(None, match.groups()), "") for match in pattern.finditer(text)]
    return found[-1] if found else ""
