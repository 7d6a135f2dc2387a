"""A real Chromium without a window, driven through Selenium; its profile goes with the test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from company_proxy import listening
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

from image_builder.archive.pages.answers import Site
from image_builder.archive.pages.server import Server

_QUIET = (
    "--headless=new",
    "--no-sandbox",  # Chromium refuses to run as root with it
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-crash-reporter",
    "--disable-breakpad",
    "--disable-extensions",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # it shall ask nobody
)


@contextmanager
def chromium(folder: Path, *, script: bool = True) -> Iterator[Chrome]:
    """A browser; script: whether it runs JavaScript."""
    programs = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
    missing = [name for name, path in programs.items() if path is None]
    assert not missing, f"{', '.join(missing)}: apt-get install chromium chromium-driver"
    home = folder / ("browser" if script else "browser-without")
    home.mkdir()
    options = ChromeOptions()
    options.binary_location = str(programs["chromium"])
    for word in (*_QUIET, f"--user-data-dir={home}/profile", "--window-size=1280,900"):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    if not script:
        options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
    environment = {**os.environ, "HOME": str(home), "XDG_CONFIG_HOME": str(home), "XDG_CACHE_HOME": str(home)}
    driver = Chrome(options=options, service=Service(str(programs["chromedriver"]), env=environment))
    try:
        driver.set_page_load_timeout(60)
        yield driver
    finally:
        driver.quit()


@contextmanager
def serving(site: Site) -> Iterator[str]:
    """The view on a port of this machine; its address."""
    with listening(Server(site, "127.0.0.1", 0)) as server:
        yield server.url


def complaints(driver: Chrome) -> list[Any]:
    """What the browser has said in its console since it was last asked."""
    entries: list[Any] = driver.get_log("browser")  # type: ignore[no-untyped-call]
    return entries


@dataclass(frozen=True)
class Load:
    """Milliseconds from the beginning of the navigation."""

    answered: float  # the last byte has come
    painted: float  # the first words can be read
    interactive: float  # the whole page is there, and answers
    end: float  # a jump to its end has been painted

    def __str__(self) -> str:
        words = ("last byte", "first paint", "interactive", "end of the page shown")
        times = (self.answered, self.painted, self.interactive, self.end)
        return ", ".join(f"{word} {time:.0f} ms" for word, time in zip(words, times, strict=True))


_TIMES = """
const done = arguments[0];
const twice = (then) => requestAnimationFrame(() => requestAnimationFrame(then));
const [page] = performance.getEntriesByType("navigation");
const begin = performance.now();
scrollTo(0, document.documentElement.scrollHeight);
twice(() => {
  const jump = performance.now() - begin;
  const [paint] = performance.getEntriesByName("first-contentful-paint");
  done([page.responseEnd, paint ? paint.startTime : 0, page.domContentLoadedEventEnd, page.loadEventEnd + jump]);
});
"""


def load(driver: Chrome, url: str) -> Load:
    """Open a page, and say how long that took."""
    driver.get(url)
    return Load(*driver.execute_async_script(_TIMES))
