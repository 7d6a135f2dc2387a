"""The whole view as files: what is written when something changes, which logs, and the same from either database."""

from __future__ import annotations

import io
import json
import lzma
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from postgresql_server import Server
from seen_rebuild import LOG, NOW, Seen

from image_builder.archive.database.exchange import export, import_state
from image_builder.archive.database.open import open_database
from image_builder.archive.database.store import Database
from image_builder.archive.model import Key
from image_builder.archive.pages import addresses
from image_builder.archive.pages.writing import Logs, write_pages
from image_builder.archive.requests import Action, Request
from image_builder.archive.states import State
from image_builder.cli import cli

WHEN = NOW + 1e6  # so long after that no rate changes from one moment to the next


def there(folder: Path) -> dict[str, bytes]:
    paths = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def changed(before: dict[str, bytes], after: dict[str, bytes]) -> set[str]:
    return {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}


def test_a_move_changes_the_pages_that_speak_of_it(tmp_path: Path) -> None:
    seen = Seen(tmp_path).make()
    site = tmp_path / "site"
    with open_database(seen.address) as database:
        write_pages(database, seen.results, site, WHEN)
        before = there(site)
        assert write_pages(database, seen.results, site, WHEN).written == 0
        request = Request(Action.DEP_WAIT, user="me", message="libhello-dev (>= 3)")
        database.move(2, Key("trixie", "amd64", "bar"), request, seen.tick())
        write_pages(database, seen.results, site, WHEN)
    place = (2, "trixie", "amd64")
    assert changed(before, there(site)) == {
        addresses.package("bar"),  # it waits
        addresses.package("hello"),  # and this is what for
        addresses.package("baz"),  # these wait for bar, and say how it stands
        addresses.package("libfoo"),
        addresses.listing(*place, State.NEEDS_BUILD),
        addresses.listing(*place, State.DEP_WAIT),
        addresses.INDEX,
        addresses.run(2),
        addresses.names("b"),
        addresses.SEARCH_INDEX,
    }


@pytest.mark.parametrize("which", Logs)
def test_which_logs_are_written(which: Logs, tmp_path: Path) -> None:
    seen = Seen(tmp_path).make()
    with open_database(seen.address) as database:
        good = next(one for one in database.attempts(2, Key("trixie", "amd64", "hello")) if one.finished)
        assert good.outcome is not None
        seen.keep(database.run(2), good.attempt, good.outcome, LOG)
        write_pages(database, seen.results, tmp_path / "site", WHEN, which=which)
    logged = {path for path in there(tmp_path / "site") if path.startswith("log/")}
    failed = {seen.logs[name] for name in seen.logs if name != "hello"}
    wanted = {Logs.NONE: set(), Logs.FAILED: failed, Logs.ALL: failed | {seen.logs["hello"]}}[which]
    assert logged == {f"log/{number}.{kind}" for number in wanted for kind in ("html", "log.xz")}
    for number in wanted:
        assert lzma.decompress((tmp_path / f"site/log/{number}.log.xz").read_bytes()).decode() == LOG
    page = (tmp_path / "site" / addresses.package("acl")).read_text()
    assert ("../../log/" in page) == bool(wanted)


def test_a_log_that_is_damaged_is_said_to_be_on_its_page(tmp_path: Path) -> None:
    seen = Seen(tmp_path).make()
    number = seen.logs["acl"]
    (log,) = (seen.results / "stage-1/history" / str(number)).glob("*.log.xz")
    log.write_bytes(b"no log")
    with open_database(seen.address) as database:
        write_pages(database, seen.results, tmp_path / "site", WHEN)
    assert "the log cannot be read" in (tmp_path / f"site/log/{number}.html").read_text()


def test_postgresql_gives_the_same_pages(seen: Seen, view: Database, tmp_path: Path) -> None:
    write_pages(view, seen.results, tmp_path / "one", WHEN)
    text = io.StringIO()
    export(view, text)
    text.seek(0)
    with Server.running() as server, open_database(server.new_database()) as other:
        import_state(other, text)
        write_pages(other, seen.results, tmp_path / "other", WHEN)
    assert changed(there(tmp_path / "one"), there(tmp_path / "other")) == set()


def test_an_empty_database_has_pages_too(tmp_path: Path) -> None:
    with open_database(":memory:") as database:
        write_pages(database, tmp_path, tmp_path / "site", WHEN)
    assert "No run was begun" in (tmp_path / "site/index.html").read_text()


def archive(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(cli, ["archive", words[0], "--config", str(folder / "archive.yaml"), *words[1:]])


def test_the_command_says_what_it_did(seen: Seen, tmp_path: Path) -> None:
    site = str(tmp_path / "site")
    said = archive(seen.folder, "pages", site)
    assert said.exit_code == 0, said.output
    assert "pages written, 0 as they were, 0 removed" in said.output
    value = json.loads(archive(seen.folder, "pages", site, "--logs", "none", "--json").output)
    assert value["removed"] == 2 * len(seen.logs)
    assert archive(seen.folder, "pages", str(seen.folder)).exception is not None


def test_the_page_of_a_state_has_the_number_status_says(seen: Seen, tmp_path: Path) -> None:
    archive(seen.folder, "pages", str(tmp_path / "site"))
    (status,) = json.loads(archive(seen.folder, "status", "--json").output)
    for place in status["packages"]:
        for state, number in place["states"].items():
            path = addresses.listing(2, place["suite"], place["architecture"], state)
            assert f"{state}</span>: {number} in" in (tmp_path / "site" / path).read_text()


def test_serve_refuses_a_folder_without_pages(seen: Seen, tmp_path: Path) -> None:
    said = archive(seen.folder, "serve", "--pages", str(tmp_path))
    assert "there are no pages" in str(said.exception)
