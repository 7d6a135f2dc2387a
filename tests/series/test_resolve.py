"""The table of trees and the hook lists they give; everything wrong is found at once."""

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_builder.series.resolve import (
    Entry,
    SeriesErrors,
    compose_list,
    list_targets,
    resolve,
    target_order_warnings,
    whole_targets,
)
from image_builder.series.tree import FOLDER, OTHER, OUTSIDE, Tree


def tree(series: Mapping[str, str], hooks: str = "", kinds: Mapping[str, str] | None = None) -> Tree:
    """series: name, or folder/name below hooks.d -> text with " / " between lines."""
    texts = {name if "/" in name else f"base/series/{name}": text.replace(" / ", "\n") for name, text in series.items()}
    return Tree({**texts, **dict.fromkeys(hooks.split(), "")}, kinds)


TREES = [
    pytest.param({"a": "x / y / z"}, "a", "x y z", "", id="as listed"),
    pytest.param({"a": "x / x / y"}, "a", "x y", "", id="the first place wins"),
    pytest.param({"a": "x / ./x / d//y"}, "a", "x x d/y", "", id="another spelling is another hook"),
    pytest.param({"a": "x / depends b / y", "b": "z"}, "a", "x z y", "", id="depends at its place"),
    pytest.param({"a": "depends b / y", "b": "depends c / z", "c": "x"}, "a", "x z y", "", id="depth first"),
    pytest.param({"a": "depends b / depends c", "b": "depends d / x", "c": "depends d / y", "d": "z"}, "a", "z x y", "",
                 id="a diamond"),
    pytest.param({"a": "x", "b": "depends a / y"}, "b a", "x y", "", id="dependent named first"),
    pytest.param({"a": "x", "b": "depends a / y"}, "a b a", "x y", "", id="named twice"),
    pytest.param({"a": "x", "b": "y / x"}, "b a", "y x", "", id="order of arguments"),
    pytest.param({"a": "x", "b": "y / x"}, "a b", "x y", "", id="other order of arguments"),
    pytest.param({"a": "provides f / x", "b": "depends a / provides g"}, "b", "x", "g", id="provides of named ones"),
    pytest.param({"a": "provides f", "b": "depends a / provides g"}, "b a", "", "g f", id="named and depended on"),
    pytest.param({"a": "provides f / provides f"}, "a a", "", "f f f f", id="provides is repeated as it stands"),
    pytest.param({"a": "depends"}, "a", "depends", "", id="a hook called depends"),
    pytest.param({"a": "# c / #% nonsense / x"}, "a", "x", "", id="directives are comments here"),
    pytest.param({"base/series/a": "x", "extra/series/a": "y"}, "a", "y", "", id="extra replaces base"),
    pytest.param({"base/series/a": "x", "extra/series/b": "depends a"}, "b", "x", "", id="extra depends on base"),
    pytest.param({"base/series/b": "depends a", "base/series/a": "x", "extra/series/a": "y"}, "b", "y", "",
                 id="extra wins for depends too"),
    pytest.param({"a": "x"}, "../series/a", "x", "", id="a way within hooks.d"),
    pytest.param({"a": "depends ./b / depends b", "b": "x"}, "a", "x", "", id="a series spelled twice"),
    pytest.param({"a": ""}, "a", "", "", id="an empty file"),
    pytest.param({}, "", "", "", id="no target"),
]  # fmt: skip


@pytest.mark.parametrize(("series", "targets", "hooks", "provides"), TREES)
def test_lists(series: Mapping[str, str], targets: str, hooks: str, provides: str) -> None:
    planted = tree(series, "x y z d/y depends chroot/README chroot/m.chroot chroot/b.chroot_early chroot/n.binary")
    result = compose_list(planted, targets.split())
    assert [hook.path for hook in result.hooks] == ["chroot/b.chroot_early", "chroot/m.chroot", *hooks.split()]
    assert result.provides == tuple(provides.split())


def test_series_of_2019() -> None:
    planted = tree({"a": "# x / provides f / depends b", "b": "y"}, "y")
    kinds = Tree({**planted._texts, "# x": "", "provides f": ""})
    assert [hook.path for hook in compose_list(kinds, ["a"], format="2019").hooks] == ["# x", "provides f", "y"]


def test_an_entry_knows_where_it_comes_from() -> None:
    planted = tree({"a": "# / depends b / x.binary", "b": "y.chroot"}, "x.binary y.chroot chroot/z.chroot_early")
    assert resolve(planted, ["a"]).hooks == (
        Entry("chroot/z.chroot_early", "chroot_early", "", 0),
        Entry("y.chroot", "chroot", "base/series/b", 1),
        Entry("x.binary", "binary", "base/series/a", 3),
    )


def test_each_target_has_its_own_list() -> None:
    planted = tree({"a": "x", "b": "# B / depends a / y / provides f"}, "x y")
    result = resolve(planted, ["a", "b", "a"])
    assert [target.name for target in result.targets] == ["a", "b", "a"]
    assert [[hook.path for hook in target.hooks] for target in result.targets] == [["x"], ["x", "y"], ["x"]]
    b = result.targets[1]
    assert (b.series, b.description, b.depends, b.provides) == ("base/series/b", "B", ("a",), ("f",))


A, A2 = "base/series/a line 1: ", "base/series/a line 2: "
TRAILING = "(a comment stands on a line of its own)"
ONE_NAME = "one name per `depends` line"
BY_DOTS = "leaves the hooks.d folder by '..'"
BY_LINK = "leaves the hooks.d folder by a symlink"
ABSOLUTE = "is an absolute path: paths are relative to the hooks.d folder"
EXTRA = "a file in extra/series replaces the one in base/series, it cannot depend on it"
PROBLEMS = [
    pytest.param(
        {"a": "# / x.binry"},
        "a",
        [f"{A2}hook script 'x.binry' does not exist; nearest: x.binary"],
        id="missing script",
    ),
    pytest.param(
        {"a": "x.binary # why"},
        "a",
        [f"{A}hook script 'x.binary # why' does not exist {TRAILING}"],
        id="trailing comment",
    ),
    pytest.param(
        {"squashfs": ""}, "squashsf", ["no series file for target 'squashsf'; nearest: squashfs"], id="target"
    ),
    pytest.param(
        {"a": "depends bb", "bbb": ""},
        "a",
        [f"{A}no series file for target 'bb'; nearest: bbb"],
        id="depends on nothing",
    ),
    pytest.param(
        {"a": "depends b c", "b": ""},
        "a",
        [f"{A}no series file for target 'b c': one name per `depends` line"],
        id="two names",
    ),
    pytest.param({"a": "/bin/sh"}, "a", [f"{A}hook '/bin/sh' {ABSOLUTE}"], id="absolute"),
    pytest.param({"a": "base/../../x"}, "a", [f"{A}hook 'base/../../x' {BY_DOTS}"], id="dots"),
    pytest.param(
        {"a": "../hooks.d/x.binary"}, "a", [f"{A}hook '../hooks.d/x.binary' {BY_DOTS}"], id="out and in again"
    ),
    pytest.param({"a": "link.binary"}, "a", [f"{A}hook 'link.binary' {BY_LINK}"], id="symlink"),
    pytest.param({"a": "folder"}, "a", [f"{A}hook 'folder' is a folder, not a script"], id="folder"),
    pytest.param({"a": "x.binary/"}, "a", [f"{A}hook 'x.binary/' names a folder"], id="slash"),
    pytest.param({"a": "fifo"}, "a", [f"{A}hook 'fifo' is no regular file"], id="fifo"),
    pytest.param({"a": "x\0y"}, "a", [f"{A}hook 'x\\x00y' holds a NUL character"], id="NUL"),
    pytest.param({"a": "\x1b[2Jx"}, "a", [f"{A}hook script '\\x1b[2Jx' does not exist"], id="escape codes"),
    pytest.param({}, "../../../etc/passwd", [f"target '../../../etc/passwd' {BY_DOTS}"], id="series dots"),
    pytest.param({}, "/etc/passwd", [f"target '/etc/passwd' {ABSOLUTE}"], id="series absolute"),
    pytest.param({}, "away", [f"series file extra/series/away {BY_LINK}"], id="series symlink"),
    pytest.param({"a": "depends a"}, "a", [f"{A}`depends a` closes a cycle: a -> a"], id="of itself"),
    pytest.param(
        {"a": "depends b", "b": "# / depends c", "c": "depends a"},
        "b",
        [f"{A}`depends b` closes a cycle: b -> c -> a -> b"],
        id="cycle",
    ),
    pytest.param(
        {"t": "depends a", "a": "depends b", "b": "depends a"},
        "t",
        ["base/series/b line 1: `depends a` closes a cycle: a -> b -> a"],
        id="cycle below",
    ),
    pytest.param(
        {"base/series/a": "", "extra/series/a": "depends a"},
        "a",
        [f"extra/series/a line 1: `depends a` closes a cycle: a -> a; {EXTRA}"],
        id="extra on base",
    ),
    pytest.param(
        {"a": "gone / depends b / /x", "b": "depends a"},
        "a nope",
        [
            f"{A}hook script 'gone' does not exist",
            f"base/series/a line 3: hook '/x' {ABSOLUTE}",
            "base/series/b line 1: `depends a` closes a cycle: a -> b -> a",
            "no series file for target 'nope'",
        ],
        id="all at once",
    ),
]


@pytest.mark.parametrize(("series", "targets", "problems"), PROBLEMS)
def test_problems(series: Mapping[str, str], targets: str, problems: Sequence[str]) -> None:
    kinds = {"link.binary": OUTSIDE, "folder": FOLDER, "fifo": OTHER, "extra/series/away": OUTSIDE}
    with pytest.raises(SeriesErrors) as raised:
        compose_list(tree(series, "x.binary", kinds), targets.split())
    assert list(raised.value.problems) == problems
    assert raised.value.exit_status == 2
    assert all(problem in str(raised.value) for problem in problems)


def test_a_script_missing_in_chroot_is_named() -> None:
    with pytest.raises(SeriesErrors, match=r"hook script 'chroot/a\.chroot' does not exist"):
        compose_list(Tree({}, {"chroot/a.chroot": "missing"}), [])


@pytest.mark.parametrize(
    ("own", "below", "effective"),
    [("", "", {}), ("", "netboot", {"binary": "netboot"}), ("none", "netboot", {"binary": "none"})],
)
def test_directives_are_the_targets_own_else_a_dependencys(own: str, below: str, effective: dict[str, str]) -> None:
    def line(value: str) -> str:
        return f"#% binary: {value}" if value else ""

    series = {"a": f"depends e / depends b / depends d / {line(own)}", "b": "depends c", "c": line(below), "e": ""}
    result = resolve(tree({**series, "d": line("iso-hybrid") if below else ""}), ["c", "a"])
    assert result.targets[1].directives == effective


def test_a_wrong_directive_is_an_error_for_the_build_only() -> None:
    planted = tree({"a": "x / #% binary: usb"}, "x")
    assert len(compose_list(planted, ["a"]).hooks) == 1
    with pytest.raises(SeriesErrors, match=r"base/series/a line 2: unknown value 'usb' of 'binary'"):
        resolve(planted, ["a"])


def test_list_targets() -> None:
    planted = tree({"b": "# Bee", "extra/series/a": "# A", "base/series/a": "# no", ".x": "", "b~": ""},
                   kinds={"base/series/folder": FOLDER})  # fmt: skip
    assert [(target.name, target.series, target.description) for target in list_targets(planted)] == [
        ("a", "extra/series/a", "A"),
        ("b", "base/series/b", "Bee"),
    ]


def test_a_broken_target_does_not_hide_the_others() -> None:
    found, errors = whole_targets(tree({"a": "", "b": "gone", "c": "depends b"}))
    assert [target.name for target in found] == ["a"]
    assert errors is not None
    assert errors.problems == ("base/series/b line 1: hook script 'gone' does not exist",)


@pytest.mark.parametrize(
    ("lines", "warnings"),
    [
        ("a.chroot_early / a.chroot / a.binary", []),
        ("a.binary / a.chroot", [
            "series base/series/t line 2: chroot hook a.chroot stands after binary hook a.binary, "
            "but live-build runs all chroot hooks first"]),
        ("a.chroot / a.chroot_early", [
            "series base/series/t line 2: early chroot hook a.chroot_early stands after chroot hook a.chroot, "
            "but live-build runs all early chroot hooks first"]),
        ("a.sh", [
            "series base/series/t line 1: a.sh is never run, "
            "its name ends in none of .chroot_early, .chroot, .binary"]),
    ],
)  # fmt: skip
def test_order_warnings(lines: str, warnings: list[str]) -> None:
    planted = tree({"t": lines}, "a.chroot_early a.chroot a.binary a.sh chroot/a.chroot chroot/b.chroot_early")
    assert target_order_warnings(resolve(planted, ["t"]).targets[0]) == warnings


def test_a_chain_longer_than_pythons_stack() -> None:
    deep = 5000
    series = {f"s{n}": f"depends s{n + 1} / h{n % 7}" for n in range(deep)} | {f"s{deep}": "h0"}
    planted = tree(series, "h0 h1 h2 h3 h4 h5 h6")
    assert len(compose_list(planted, ["s0"]).hooks) == 7
    with pytest.raises(SeriesErrors, match=r"s0 -> s1 -> .* -> \.\.\. -> .* -> s0"):
        compose_list(Tree({**planted._texts, f"base/series/s{deep}": "depends s0"}), ["s0"])


# Series files that depend on later ones only: no cycles.
NAMES = "abcdef"


@st.composite
def acyclic(draw: st.DrawFn) -> dict[str, str]:
    series = {}
    for place, name in enumerate(NAMES):
        lines = [st.sampled_from(["h1", "h2", "h3", "./h1", "provides p", "provides q", "#", ""])]
        if place < len(NAMES) - 1:
            lines.append(st.sampled_from(NAMES[place + 1 :]).map(lambda later: f"depends {later}"))
        series[name] = "\n".join(draw(st.lists(st.one_of(lines), max_size=5)))
    return series


def by_the_book(series: Mapping[str, str], targets: Sequence[str]) -> tuple[list[str], list[str]]:
    """The rules of livecd-rootfs as told: recursive, one pass, hooks and provides as it goes."""
    hooks: list[str] = []
    provides: list[str] = []
    pulled: set[str] = set()

    def read(name: str, named: bool) -> None:
        for line in series[name].splitlines():
            if line.startswith("depends "):
                if line[8:] not in pulled:
                    pulled.add(line[8:])
                    read(line[8:], named=False)
            elif line.startswith("provides "):
                provides.extend([line[9:]] if named else [])
            elif line and not line.startswith("#") and line not in hooks:
                hooks.append(line)

    for target in targets:
        read(target, named=True)
    return hooks, provides


@given(acyclic(), st.lists(st.sampled_from(NAMES), max_size=4))
def test_same_lists_as_livecd_rootfs(series: dict[str, str], targets: list[str]) -> None:
    result = resolve(tree(series, "h1 h2 h3"), targets)
    hooks, provides = by_the_book(series, targets)
    assert [hook.path for hook in result.hooks] == [hook.removeprefix("./") for hook in hooks]
    assert list(result.provides) == provides
    for name, target in zip(targets, result.targets, strict=True):
        assert [hook.path for hook in target.hooks] == [h.removeprefix("./") for h in by_the_book(series, [name])[0]]


HOSTILE = st.text(alphabet="ab./\0\n #%:~-\u00e9\udc80", max_size=30)


@given(st.dictionaries(st.sampled_from(NAMES), HOSTILE | st.just("depends a") | st.just("depends ../b")), HOSTILE)
def test_hostile_files_give_lists_or_errors(series: dict[str, str], target: str) -> None:
    planted = tree(series, "a b a/b")
    for names in ([*NAMES], [target]):
        try:
            result = resolve(planted, names)
        except SeriesErrors as errors:
            assert errors.problems
        else:
            assert not any(hook.path.startswith(("/", "../")) for hook in result.hooks)
