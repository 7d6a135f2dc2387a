"""How an attempt ended: sbuild's exit status and the last lines of its log, judged.

sbuild says in a summary at the end of its log at which stage it failed and with what status. Who is at fault follows
from the stage: what fails before the package's own build is the chroot's, the archive's or the machine's fault, unless
apt names a build dependency that is not there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from image_builder.archive import causes
from image_builder.archive.model import Outcome

TAIL_BYTES = 64 * 1024  # of a log that are read: apt's complaint and sbuild's summary stand at its end

# The stages of sbuild that are over before anything of the package has run.
CHROOT_STAGES = frozenset(
    {"create-session", "create-build-dir", "lock-session", "run-chroot-setup-commands", "resolver setup", "chroot-arch"}
)
ARCHIVE_STAGES = frozenset(
    {"apt-get-clean", "apt-get-update", "apt-get-upgrade", "apt-get-dist-upgrade", "fetch-src", "init"}
)
SPACE_STAGES = frozenset({"check-space"})
ARCHITECTURE_STAGES = frozenset({"arch-check", "check-architecture"})
DEPENDENCY_STAGES = frozenset({"install-deps", "explain-bd-uninstallable"})

MACHINE = (
    (re.compile(r"No space left on device"), "the disk is full"),
    (
        re.compile(r"[Cc]annot allocate memory|[Oo]ut of memory|virtual memory exhausted|std::bad_alloc"),
        "out of memory",
    ),
    (re.compile(r"Read-only file system"), "the file system became read-only"),
    (re.compile(r"Input/output error"), "the disk has errors"),
)
KILLED_BY_KERNEL = re.compile(r"Killed signal terminated program|internal compiler error: Killed|\(core dumped\) .*oom")

# apt: " sbuild-build-depends-main-dummy : Depends: libfoo-dev (>= 2) but 1.0-1 is to be installed"
UNMET = re.compile(
    r"^\s*(?P<who>\S+?)(?::\S+)?\s*:\s+(?:Pre)?Depends:\s+(?P<package>[a-z0-9][a-z0-9+.\-]+)(?::\w+)?"
    r"(?:\s+\((?P<relation><<|<=|=|>=|>>|<|>)\s*(?P<version>[^)\s]+)\))?\s+but\s+"
    r"(?:(?P<missing>it is not installable)|(?P<doubtful>it is not going to be installed)|"
    r"(?P<other>\S+) is to be installed)"
)
CONTINUED = re.compile(r"^\s+(?P<kind>(?:Pre)?Depends):\s")
DUMMY = re.compile(r"^(?:sbuild-build-depends-|builddeps:)")
SUMMARY = re.compile(r"^(?P<name>[A-Z][A-Za-z-]+): (?P<value>.*)$")
WAITABLE = (">=", ">>", ">")


@dataclass(frozen=True, slots=True)
class Judgement:
    """outcome: what the scheduler does next. cause: in words, for people. dependency: of DEP_WAIT, "foo-dev (>= 2)"."""

    outcome: Outcome
    cause: str
    dependency: str = ""


@dataclass(frozen=True, slots=True)
class Ended:
    """What is known of an attempt besides its log. exit_status: sbuild's; a signal n is 128 + n."""

    exit_status: int
    timed_out: bool = False
    cancelled: bool = False
    out_of_memory: bool = False  # the kernel killed something for memory meanwhile


def judge(
    ended: Ended,
    tail: str,
    *,
    direct: Iterable[str] = (),
    available: Mapping[str, str] | None = None,
) -> Judgement:
    """Say whose fault it was.

    tail: the last TAIL_BYTES of the log. direct: names of the packages the source itself asks for. available: binary
    package -> version that can be had; None: not known, then a doubtful complaint of apt's is taken for a failure.
    """
    if ended.cancelled:
        return Judgement(Outcome.CANCELLED, "stopped on request")
    if ended.timed_out:
        return Judgement(Outcome.TIMEOUT, "the time limit was reached")
    if ended.exit_status == 0:
        return Judgement(Outcome.SUCCEEDED, "built")
    summary = summary_of(tail)
    stage = summary.get("Fail-Stage", "")
    if machine := _machine(ended, tail):
        return Judgement(Outcome.BUILDER_FAULT, machine)
    if stage in DEPENDENCY_STAGES and (waited := _missing(tail, frozenset(direct), available)):
        return waited
    if stage in CHROOT_STAGES or "Chroot-Problem" in tail or (not summary and ended.exit_status < 128):
        return Judgement(Outcome.CHROOT_PROBLEM, f"the chroot could not be set up{_at(stage)}")
    if stage in SPACE_STAGES:
        return Judgement(Outcome.BUILDER_FAULT, "not enough room on the disk for this package")
    if stage in ARCHITECTURE_STAGES:
        return Judgement(Outcome.ATTEMPTED, "it says that it cannot be built for this architecture")
    if stage in ARCHIVE_STAGES:
        return Judgement(Outcome.GIVE_BACK, f"the archive could not be read{_at(stage)}")
    if stage in DEPENDENCY_STAGES:
        return Judgement(Outcome.ATTEMPTED, "apt finds no way to install the build dependencies")
    if summary.get("Status") == "attempted" or ended.exit_status == 2:
        return Judgement(Outcome.ATTEMPTED, cause_of(tail))
    if ended.exit_status > 128:
        return Judgement(Outcome.GIVE_BACK, f"sbuild was ended by signal {ended.exit_status - 128}")
    return Judgement(Outcome.GIVE_BACK, f"sbuild ended with status {ended.exit_status}{_at(stage)}")


def summary_of(tail: str) -> dict[str, str]:
    """The fields of sbuild's summary: "Status", "Fail-Stage", "Build-Time", "Space" …; none if the log is cut short."""
    _, found, rest = tail.rpartition("| Summary ")
    if not found:
        return {}
    matches = (SUMMARY.match(line) for line in rest.splitlines())
    return {match["name"]: match["value"].strip() for match in matches if match}


def cause_of(tail: str) -> str:
    """What most likely went wrong, in words that are the same for all failures of one kind."""
    found = causes.find(tail)
    return found.rule.words if found else "the build failed"


def failing_lines(log: Iterable[str]) -> list[int]:
    """The numbers (from 1) of lines that say what failed, for those who read the log."""
    return [number for number, line in enumerate(log, 1) if causes.says_failure(line)]


def _at(stage: str) -> str:
    return f" (stage {stage})" if stage else ""


def _machine(ended: Ended, tail: str) -> str | None:
    for pattern, words in MACHINE:
        if pattern.search(tail):
            return words
    if ended.out_of_memory or KILLED_BY_KERNEL.search(tail):
        return "out of memory"
    return None


def _missing(tail: str, direct: frozenset[str], available: Mapping[str, str] | None) -> Judgement | None:
    """The build dependency apt did not find. One that is only doubtful is taken if the source asks for it itself and
    it cannot be had."""
    doubtful: str | None = None
    for who, match in _unmet(tail):
        wanted = match["package"] + (f" ({match['relation']} {match['version']})" if match["relation"] else "")
        if match["missing"]:
            return Judgement(Outcome.DEP_WAIT, f"waits for {wanted}", _waitable(match))
        if match["other"] and match["relation"] in WAITABLE:
            return Judgement(Outcome.DEP_WAIT, f"waits for {wanted}; there is {match['other']}", _waitable(match))
        if match["doubtful"] and DUMMY.match(who) and match["package"] in direct and available is not None:
            doubtful = doubtful or (_waitable(match) if match["package"] not in available else None)
    return Judgement(Outcome.DEP_WAIT, f"waits for {doubtful}", doubtful) if doubtful else None


def _unmet(tail: str) -> Iterable[tuple[str, re.Match[str]]]:
    """apt names the package once and indents what else it lacks."""
    who = ""
    for line in tail.splitlines():
        whole = f"{who} : {line.strip()}" if who and CONTINUED.match(line) else line
        if match := UNMET.match(whole):
            who = match["who"]
            yield who, match


def _waitable(match: re.Match[str]) -> str:
    """In the grammar of dep-wait: a lower bound or none; "=" and upper bounds cannot be waited for as such."""
    relation = match["relation"]
    return f"{match['package']} ({relation} {match['version']})" if relation in WAITABLE else str(match["package"])
