"""dose's report, as its version 7.0 writes it."""

from __future__ import annotations

import pytest

from image_builder.archive.installability.reasons import Conflict, Missing, Step
from image_builder.archive.installability.report import Entry, read_report
from image_builder.errors import PipelineError

REPORT = """output-version: 1.2
native-architecture: amd64
host-architecture: amd64
report:
 -
  package: source---x
  version: 1
  architecture: any
  type: src
  status: broken
  reasons:
   -
    missing:
     pkg:
      package: d
      version: 5
      architecture: all
      unsat-dependency: nothere:amd64 | nothere:amd64
     depchains:
      -
       depchain:
        -
         package: source---x
         version: 1
         architecture: any
         type: src
         depends: a:amd64
        -
         package: a
         version: 1:2
         architecture: amd64
         depends: b:amd64 (>= 2:1) | c
 -
  package: source---y
  version: 1-1
  architecture: any
  type: src
  status: broken
  reasons:
   -
    conflict:
     pkg1:
      package: e
      version: 1
      architecture: amd64
      unsat-conflict: f:amd64 (<< 3)
     pkg2:
      package: f
      version: 2+b1
      architecture: amd64
      essential: true
     depchain1:
      -
       depchain:
        -
         package: source---y
         version: 1-1
         architecture: any
         type: src
         depends: e:amd64
     depchain2:
      -
       depchain:
        -
         package: source---y
         version: 1-1
         architecture: any
         type: src
         depends: f:amd64
   -
    missing:
     pkg:
      package: source---y
      version: 1-1
      architecture: any
      type: src
      unsat-dependency: g:amd64 (>= 1:2)
 -
  package: source---ok
  version: 1-1
  architecture: any
  type: src
  status: ok
  installationset:
   -
    package: source---ok
    version: 1-1
    architecture: any
    type: src
   -
    package: libc6
    version: 2.3
    architecture: amd64
 ~
binary-packages: 17
source-packages: 6
broken-packages: 5
""".replace("~", "")
ENTRIES = [
    Entry(
        "source---x",
        "1",
        False,
        reasons=(
            Missing((Step("source---x", "1", "a"), Step("a", "1:2", "b (>= 2:1) | c"), Step("d", "5", "nothere"))),
        ),
    ),
    Entry(
        "source---y",
        "1-1",
        False,
        reasons=(
            Conflict(
                Step("e", "1", "f (<< 3)"),
                Step("f", "2+b1", ""),
                (Step("source---y", "1-1", "e"),),
                (Step("source---y", "1-1", "f"),),
            ),
            Missing((Step("source---y", "1-1", "g (>= 1:2)"),)),
        ),
    ),
    Entry("source---ok", "1-1", True, together=(("source---ok", "1-1"), ("libc6", "2.3"))),
]


def test_entries() -> None:
    assert list(read_report(REPORT.splitlines(keepends=True), "report")) == ENTRIES


def test_nothing_reported() -> None:
    text = "output-version: 1.2\nreport:\n \nbinary-packages: 11\n"
    assert list(read_report(text.splitlines(), "report")) == []


def test_each_entry_comes_when_it_is_read() -> None:
    lines = iter(REPORT.splitlines())
    assert next(read_report(lines, "report")) == ENTRIES[0]
    assert next(lines) == "  package: source---y"


def test_a_report_that_ends_in_the_middle() -> None:
    with pytest.raises(PipelineError, match="ends in the middle"):
        list(read_report(REPORT.partition("status: ok")[0].splitlines(), "report"))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("  version: 1\n", ""),
        ("  status: broken\n", "  status broken\n"),
        ("    missing:\n", "    lacking:\n"),
        ("      unsat-dependency: nothere:amd64 | nothere:amd64\n", ""),
        ("  reasons:\n", "  reasons: many\n"),
    ],
)
def test_what_nobody_understands(old: str, new: str) -> None:
    with pytest.raises(PipelineError, match="nobody understands"):
        list(read_report(REPORT.replace(old, new, 1).splitlines(), "report"))
