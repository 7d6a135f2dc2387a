"""What stands on the pages: agrees with the database, and nothing in it becomes markup."""

from __future__ import annotations

from xml.etree.ElementTree import Element

import pytest
from seen_rebuild import EVIL, SOURCES, Seen
from web_pages import crawl, elements, harmless, ids, parse, words

from image_builder.archive.database.store import Database
from image_builder.archive.pages import addresses
from image_builder.archive.pages.plain import plain
from image_builder.archive.pages.writing import Logs, files
from image_builder.archive.states import State
from image_builder.archive.summary import progress


@pytest.fixture
def pages(seen: Seen, view: Database) -> dict[str, Element]:
    """All pages; every link led somewhere. What nothing leads to are lists of states that no package is in."""
    there = {file.path: file for file in files(view, seen.results, seen.now + 100, Logs.FAILED)}

    def fetch(path: str) -> bytes | None:
        return there[path].make() if path in there else None

    found = crawl(fetch)
    for path in {path for path in there if path.endswith(".html")} - set(found):
        found[path] = parse(there[path].make().decode())
        assert "No package is in this state." in words(found[path])
    return found


def table(page: Element) -> dict[str, list[str]]:
    """Rows of the table of counts: first cell → the others."""
    body = next(elements(page, "tbody"))
    rows = [["".join(cell.itertext()) for cell in row] for row in elements(body, "tr")]
    return {first: rest for first, *rest in rows}


def test_nothing_becomes_markup(pages: dict[str, Element]) -> None:
    assert [path for path, page in pages.items() if not harmless(page)] == []
    for path, page in pages.items():
        assert len(ids(page)) == len(set(ids(page))), path
        assert "\u202e" not in words(page)


def test_counts_are_those_of_status(pages: dict[str, Element], seen: Seen, view: Database) -> None:
    for run in view.runs():
        said = progress(view, run, seen.now + 100)
        found = table(pages[addresses.run(run.identity)])
        places = sorted(said.states)
        for state in State:
            numbers = [said.states[place].get(state, 0) for place in places]
            expected = [str(number or "") for number in numbers] + ([str(sum(numbers))] if len(places) > 1 else [])
            assert found.get(state) == (expected if sum(numbers) else None)
        for suite, architecture in places:
            for state in State:
                page = pages[addresses.listing(run.identity, suite, architecture, state)]
                listed = [link for link in elements(page, "li") if "".join(link.itertext()).strip()]
                entries = [one for one in listed if one.find(".//*[@href]") is not None and not _is_anchor(one)]
                assert len(entries) == said.states[(suite, architecture)].get(state, 0)
                assert f"{state}: {len(entries)} in {suite} {architecture}" in words(page)


def _is_anchor(entry: Element) -> bool:
    link = entry.find(".//*[@href]")
    return link is not None and str(link.get("href")).startswith("#")


def test_the_page_of_a_package_has_all_that_show_and_why_say(pages: dict[str, Element]) -> None:
    said = words(pages[addresses.package("libfoo")])
    for part in (
        "gcc-15 stage 1, trixie amd64",
        "2.10-3 is BD-Uninstallable since 2027-01-15",
        "needs libbar-dev (>= 2), but there is only libbar-dev 1",
        "libbar-dev: made by bar 2.10-3, which is Needs-Build",
        "installability: Needs-Build → BD-Uninstallable, by installability",
    ):
        assert part in said
    said = words(pages[addresses.package("bar")])
    assert "2 wait for it baz, libfoo" in said
    assert "build priority 7" in said
    said = words(pages[addresses.package("hello")])
    assert "gcc-15 stage 1, trixie all: BD-Uninstallable" in said
    assert "gcc-15 stage 0, trixie amd64: Installed" in said
    assert "succeeded 42 s 1.0 MB w1" in said
    assert "made by" not in words(pages[addresses.package("nothere")])


def test_what_did_not_build_is_grouped_by_why(pages: dict[str, Element]) -> None:
    def titles(state: State) -> list[str]:
        return [" ".join("".join(h.itertext()).split()) for h in elements(pages[_listing(state)], "h2")]

    assert titles(State.BUILD_ATTEMPTED) == [
        f"{' '.join(plain(EVIL).split())} (1)",
        "the compiler refused the source (1)",
        "timeout: the time limit was reached (1)",
    ]
    assert titles(State.BD_UNINSTALLABLE) == ["lack libbar-dev (1)"]
    assert titles(State.DEP_WAIT) == ["wait for libbar-dev (>= 2) (1)"]
    assert titles(State.FAILED) == ["see <b>bug</b> (1)"]
    assert "too large" in words(pages[_listing(State.NOT_FOR_US)])


def _listing(state: State) -> str:
    return addresses.listing(2, "trixie", "amd64", state)


def test_the_log_has_the_failing_lines_marked_and_listed(pages: dict[str, Element], seen: Seen) -> None:
    page = pages[addresses.log(seen.logs["acl"])]
    bad = [(one.get("id"), one.get("title")) for one in elements(page, "li") if one.get("class") == "bad"]
    assert bad == [("L3", "the compiler refused the source"), ("L4", "its build failed")]
    listed = [one.get("href") for one in elements(page, "a") if str(one.get("href")).startswith("#")]
    assert listed == ["#L3", "#L4"]
    said = words(page)
    assert "5 lines" in said
    assert "done \ufffd and \ufffdturned" in said
    assert "expected ';' before '<script>alert(2)</script>'" in said
    assert "the whole log" in said


def test_every_source_is_in_the_lists_by_name(pages: dict[str, Element]) -> None:
    listed = " ".join(words(page) for path, page in pages.items() if path.startswith("names/"))
    assert [name for name in SOURCES if " ".join(plain(name).split()) not in listed] == []


def test_the_graph_ends_with_the_counts(pages: dict[str, Element], view: Database) -> None:
    picture = next(one for one in pages[addresses.run(2)].iter() if one.tag.endswith("svg"))
    ends = dict(one.text.rsplit(": ", 1) for one in picture.iter() if one.tag.endswith("title") and one.text)
    counts: dict[str, int] = {}
    for there in view.counts(2).values():
        for state, number in there.items():
            counts[state] = counts.get(state, 0) + number
    assert {state: int(said.split()[0]) for state, said in ends.items() if not said.startswith("0 ")} == counts


def test_a_strict_reader_would_have_complained() -> None:
    with pytest.raises(Exception, match=r"unexpected|expected"):
        parse("<!DOCTYPE html><title>x</title><p><b>x</p>")
