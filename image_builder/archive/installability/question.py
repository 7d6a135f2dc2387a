"""What is asked about installability, and what is answered."""

from __future__ import annotations

from dataclasses import dataclass

from image_builder.archive.installability.reasons import Reason

# wanna-build's names for what dose is asked: a source, one built for "all", and what a package in Dep-Wait waits for.
SOURCE, INDEP, DEP_WAIT, DEP_WAIT_INDEP = "source---", "indep---", "depwait---", "depwait-indep---"


@dataclass(frozen=True, slots=True)
class Question:
    """Can this be installed together with build-essential? Relations are those that apply, without restrictions."""

    name: str  # "source---bash"; unique in a run
    version: str
    needs: str  # of each group only the first package counts, as sbuild does it
    avoids: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """Installable, or the reasons why not."""

    installable: bool
    reasons: tuple[Reason, ...] = ()


YES = Answer(True)


def asked_about(name: str) -> tuple[str, str]:
    """The kind of a question, and the source it is about."""
    kind, dashes, source = name.partition("---")
    return kind + dashes, source
