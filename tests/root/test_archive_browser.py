"""The web view of a rebuild in a real Chromium without a window."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Load, chromium, complaints, load, serving
from large_rebuild import ARCHITECTURE, SUITE, installed, names
from seen_rebuild import EVIL, Seen
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.expected_conditions import staleness_of
from selenium.webdriver.support.wait import WebDriverWait

from image_builder.archive.database.open import open_database
from image_builder.archive.database.store import Database
from image_builder.archive.pages import addresses, search
from image_builder.archive.pages.answers import Live
from image_builder.archive.pages.plain import plain
from image_builder.archive.pages.survey import Survey
from image_builder.archive.pages.writing import write_pages
from image_builder.archive.states import State

pytestmark = [pytest.mark.root, pytest.mark.full]
PACKAGES = 35_000
QUESTIONS = ("hello", "lib", "libbar-dev", "trixie failed", "BUILD-attempted timed", "nothing at all", "")


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    return Seen(tmp_path_factory.mktemp("seen")).make()


@pytest.fixture(scope="module")
def view(seen: Seen) -> Iterator[Database]:
    with open_database(seen.address) as database:
        yield database


@pytest.fixture(scope="module")
def url(seen: Seen, view: Database) -> Iterator[str]:
    with serving(Live(view, seen.results, lambda: seen.now + 100)) as url:
        yield url


@pytest.fixture(scope="module")
def files(seen: Seen, view: Database, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("files") / "site"
    write_pages(view, seen.results, folder, seen.now + 100)
    return f"{folder.as_uri()}/"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    with chromium(tmp_path_factory.mktemp("browser")) as driver:
        yield driver


@pytest.fixture
def top(request: pytest.FixtureRequest) -> str:
    """Served, or as files."""
    top: str = request.getfixturevalue(request.param)
    return top


both = pytest.mark.parametrize("top", ["url", "files"], indirect=True)


@both
def test_pages_load_and_the_browser_has_nothing_to_complain_of(browser: Chrome, top: str, seen: Seen) -> None:
    complaints(browser)
    for path, words in {
        "index.html": "gcc-15 stage 1",
        addresses.run(2): "Newest moves",
        addresses.listing(2, "trixie", "amd64", State.BUILD_ATTEMPTED): "the compiler refused the source",
        addresses.package("libfoo"): "made by bar",
        addresses.package(EVIL): plain(EVIL),
        addresses.log(seen.logs["acl"]): "expected ';'",
        addresses.names("h"): "hello",
        "search.html?q=acl": "1 found",
    }.items():
        browser.get(top + path)
        assert words in browser.find_element(By.TAG_NAME, "body").text
        assert browser.execute_script("return getComputedStyle(document.body).maxWidth") != "none"  # the style is there
        assert complaints(browser) == []


@both
def test_search_finds_what_the_server_finds(browser: Chrome, top: str, view: Database) -> None:
    known = Survey(view).known
    browser.get(f"{top}search.html")
    for question in QUESTIONS:
        field = browser.find_element(By.ID, "question")
        field.clear()
        field.send_keys(question or f"x{Keys.BACKSPACE}")
        found = search.find(known, question)
        shown = browser.find_elements(By.CSS_SELECTOR, "#found a")
        assert [one.text for one in shown] == [plain(one.source) for one in found]
        said = browser.find_element(By.ID, "said").text
        assert said == (f"{len(found)} found" if question else "")
    (field := browser.find_element(By.ID, "question")).send_keys("hello" + Keys.ENTER)
    WebDriverWait(browser, 60).until(
        staleness_of(field)
    )  # the form asks for a page, which has the answer from the start
    browser.find_element(By.LINK_TEXT, "hello").click()
    assert browser.title == "hello"
    assert complaints(browser) == []


@both
def test_numbers_are_those_of_the_database(browser: Chrome, top: str, view: Database) -> None:
    for (run, suite, architecture), counts in view.counts().items():
        for state, number in counts.items():
            browser.get(f"{top}index.html")
            target = addresses.listing(run, suite, architecture, state)
            link = browser.find_element(By.CSS_SELECTOR, f'a[href="{target}"]')
            assert link.text == str(number)
            link.click()
            assert len(browser.find_elements(By.CSS_SELECTOR, "ul.rows li")) == number


def test_it_is_read_without_javascript(url: str, tmp_path: Path) -> None:
    with chromium(tmp_path, script=False) as driver:
        driver.get(url)
        assert driver.find_element(By.LINK_TEXT, "gcc-15 stage 1").is_displayed()
        assert driver.find_element(By.CSS_SELECTOR, "svg.graph").is_displayed()
        driver.find_element(By.NAME, "q").send_keys("libbar-dev needs-build" + Keys.ENTER)
        assert [one.text for one in driver.find_elements(By.CSS_SELECTOR, "#found a")] == ["bar"]
        driver.find_element(By.LINK_TEXT, "bar").click()
        assert "2 wait for it" in driver.find_element(By.TAG_NAME, "body").text
        field = driver.get(f"{url}search.html") or driver.find_element(By.ID, "question")
        field.send_keys("hello")  # nothing answers while one types
        assert driver.find_elements(By.CSS_SELECTOR, "#found a") == []
        assert complaints(driver) == []


def test_dark_and_narrow(browser: Chrome, url: str, seen: Seen) -> None:
    grounds = {}
    for scheme in ("light", "dark"):
        browser.execute_cdp_cmd(
            "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        )
        browser.get(url)
        grounds[scheme] = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert grounds == {"light": "rgb(255, 255, 255)", "dark": "rgb(22, 25, 28)"}
    size = {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        for path in ("", addresses.run(2), addresses.package("hello"), addresses.log(seen.logs["acl"]), "search.html"):
            browser.get(url + path)
            width = browser.execute_script("return document.documentElement.scrollWidth")
            assert width <= 360, path  # tables scroll in themselves
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_a_page_of_35000_packages(browser: Chrome, tmp_path: Path) -> None:
    """Its times are printed, and are no test: make bench holds them against their bound."""
    with open_database(tmp_path / "large.sqlite", durable=False) as database:
        run = installed(database, PACKAGES)
        with serving(Live(database, tmp_path / "results")) as url:
            page = url + addresses.listing(run.identity, SUITE, ARCHITECTURE, State.INSTALLED)
            times: list[Load] = [load(browser, page) for _ in range(3)]
            print(f"{PACKAGES} packages, first time: {times[0]}; then: {min(times, key=lambda one: one.end)}")
            assert browser.execute_script("return document.querySelectorAll('ul.rows li > a').length") == PACKAGES
            first, last = browser.execute_script(
                "const all = document.querySelectorAll('ul.rows li > a'); return [all[0], all[all.length - 1]]"
            )
            assert last.is_displayed()  # it was jumped to
            assert (first.text, last.text) == tuple(names(PACKAGES)[:: PACKAGES - 1])
            browser.get(f"{url}search.html")
            browser.find_element(By.ID, "question").send_keys("haskell- amd64")
            found = search.find(Survey(database).known, "haskell- amd64")
            shown = browser.find_elements(By.CSS_SELECTOR, "#found a")
            assert [one.text for one in shown] == [one.source for one in found[: search.FOUND]]
            assert found
    assert complaints(browser) == []
