"""What a failing build says, and what people call it: rules over the text of a log."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Rule:
    """name: for programs. words: for people, the same for all failures of one kind. pattern: of a line that says so;
    its group `what` is the header, symbol or package it is about."""

    name: str
    words: str
    pattern: re.Pattern[str]


@dataclass(frozen=True, slots=True)
class Found:
    """A rule that fits. what: the header, symbol or package; "" where the rule has none. line: the one that said it."""

    rule: Rule
    what: str
    line: str


def _rule(name: str, words: str, pattern: str) -> Rule:
    return Rule(name, words, re.compile(pattern, re.MULTILINE))


# The first that is found wins, so the sure ones come first; what stands last is only how make passes a failure on.
RULES = (
    _rule(
        "files-missing",
        "files missing from what was installed",
        r"dh_install: error: missing files|dh_missing: error|cannot stat 'debian/tmp"
        r'|dh_install: warning: Cannot find \(any matches for\) "(?P<what>[^"]+)"',
    ),
    _rule(
        "symbols", "symbols of a library have changed", r"dpkg-gensymbols: error|some symbols or patterns disappeared"
    ),
    _rule(
        "shlibs",
        "a library nobody has packaged is used",
        r"dpkg-shlibdeps: error: (?:no dependency information found"
        r" for|cannot find library) (?P<what>\S+)",
    ),
    _rule("compiler-crash", "the compiler crashed", r"internal compiler error"),
    _rule("undefined-reference", "the linker failed", r"undefined reference to [`'](?P<what>[^`']+)'"),
    _rule("multiple-definition", "the linker found a symbol twice", r"multiple definition of [`'](?P<what>[^`']+)'"),
    _rule("library-missing", "a library is missing", r"ld(?:\.\w+)?: cannot find -l(?P<what>[^\s:]+)"),
    _rule("linker", "the linker failed", r"ld: .*undefined reference|ld returned 1 exit status"),
    _rule("header-missing", "a header is missing", r"fatal error: (?P<what>[^\n:]+): No such file or directory"),
    _rule("warning", "a warning that is an error", r"error: .*\[-Werror=?(?P<what>[\w+=-]*)\]|error: .*-Werror"),
    _rule(
        "not-declared",
        "a function is not declared",
        r"error: implicit declaration of function (?:[^\w\s](?P<what>\w+))?",
    ),
    _rule(
        "compiler",
        "the compiler refused the source",
        r"^[^\s:]+:\d+:(?:\d+:)? (?:fatal )?error:|^error\[E\d+\]: |^error: could not compile ",
    ),
    _rule("python-module", "a Python module is missing", r"ModuleNotFoundError: No module named '(?P<what>[^']+)'"),
    _rule(
        "tests",
        "its tests failed",
        r"dh_auto_test: error|make\[\d+\]: \*\*\* .*check.* Error|FAILED \(|= FAILURES =|\b[1-9]\d* tests? failed",
    ),
    _rule("configure", "it could not be configured", r"dh_auto_configure: error|configure: error|CMake Error"),
    _rule("python-module", "a Python module is missing", r"ImportError: "),
    _rule(
        "network",
        "it wants the network",
        r"Could not resolve|Temporary failure in name resolution|Network is unreachable",
    ),
    _rule("source", "the source could not be unpacked", r"dpkg-source: error"),
    _rule("build-dependencies", "build dependencies are not complete", r"dpkg-checkbuilddeps: error"),
    _rule(
        "command-missing",
        "a command is missing",
        r"^(?:/bin/sh|bash|sh): (?:line )?\d+: (?P<what>[^\s:]+): (?:command )?not found",
    ),
    _rule("build", "its build failed", r"dh_auto_build: error|make: \*\*\*|make\[\d+\]: \*\*\*"),
)


def find(text: str) -> Found | None:
    """The first rule that fits a log or a part of one, with its first line; None where none does."""
    for rule in RULES:
        if match := rule.pattern.search(text):
            begin, end = text.rfind("\n", 0, match.start()) + 1, text.find("\n", match.start())
            line = text[begin : end if end >= 0 else len(text)].strip()
            return Found(rule, match.groupdict().get("what") or "", line)
    return None


def says_failure(line: str) -> bool:
    """Whether a line of a log is one of those that say what failed."""
    return any(rule.pattern.search(line) for rule in RULES)
