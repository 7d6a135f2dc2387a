from __future__ import annotations

from small_world import binary, source

from image_builder.archive.model import Base
from image_builder.archive.schedule.passes import base_system, plan_pass


def test_the_base_system_is_what_is_essential_with_all_it_depends_on_as_sources() -> None:
    sources = [source(n) for n in ("coreutils", "glibc", "gcc", "make-dfsg", "hello", "tzdata")]
    binaries = [
        binary("coreutils", "coreutils", "libc6", essential=True),
        binary("libc6", "glibc"),
        binary("libgcc-s1", "gcc", "libc6"),
        binary("build-essential", "not-rebuilt-here", "make, gcc"),
        binary("make", "make-dfsg"),
        binary("gcc", "gcc", "libgcc-s1"),
        binary("tzdata", "tzdata", priority="required"),
        binary("hello", "hello"),
    ]
    assert base_system(sources, binaries, "amd64") == {"coreutils", "glibc", "gcc", "make-dfsg", "tzdata"}


def test_what_is_in_a_cycle_is_borrowed_from_an_older_build_once() -> None:
    sources = [source("a", "b"), source("b", "a"), source("c", "a")]
    binaries = [binary("a", "a"), binary("b", "b")]
    words = {"architecture": "amd64", "seconds": {"a": 1.0, "b": 2.0, "c": 4.0}}
    plan = plan_pass(sources, binaries, base=Base.BOTH, **words)  # type: ignore[arg-type]
    assert plan.borrowed == {"a"}
    assert plan.remaining == {"a": 1.0, "b": 3.0, "c": 4.0}  # nobody waits for a, a waits for b
    assert plan_pass(sources, binaries, base=Base.OLD, **words).borrowed == frozenset()  # type: ignore[arg-type]
    given = plan_pass(sources, binaries, base=Base.BOTH, dropped={("b", "a")}, **words)  # type: ignore[arg-type]
    assert given.borrowed == frozenset()
    earlier = plan_pass(sources, binaries, base=Base.BUILT, earlier={"b"}, **words)  # type: ignore[arg-type]
    assert earlier.borrowed == frozenset()
