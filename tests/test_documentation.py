"""The pages say what is there: every key and variable, and no link leads nowhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from image_builder import config
from image_builder.cli import COMMANDS

TOP = Path(__file__).parents[1]
PAGES = [TOP / "README.md", TOP / "NEWS.md", *sorted((TOP / "docs").glob("*.md"))]


def words_in_code(page: str) -> set[str]:
    """What stands between backquotes on a page, word by word."""
    return {word for code in re.findall(r"`([^`\n]+)`", (TOP / page).read_text()) for word in re.split(r"[ ,]+", code)}


def test_every_key_and_variable_has_its_line() -> None:
    wanted = {*config.BuildConfig.model_fields, *config.ENVIRONMENT}
    assert wanted - words_in_code("docs/configuration.md") == set()


def test_defaults_are_the_real_ones() -> None:
    text = (TOP / "docs/configuration.md").read_text()
    for key, field in config.BuildConfig.model_fields.items():
        # In words: what is empty, depends on the machine or the project, or stands in one line with another key.
        if isinstance(field.default, str | Path | int) and field.default != "":
            row = next(line for line in text.splitlines() if line.startswith("|") and f"`{key}`" in line)
            said = str(field.default).lower() if isinstance(field.default, bool) else str(field.default)
            assert f"| `{said}` |" in row


def test_every_command_is_on_some_page() -> None:
    text = "".join(page.read_text() for page in PAGES)
    assert [name for name in COMMANDS if name != "live-build" and f"image-builder {name}" not in text] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        name, _, anchor = target.partition("#")
        if "://" in name:
            continue
        found = page.parent / name if name else page
        assert found.exists(), target
        headings = {
            re.sub(r"[^\w -]", "", h).lower().replace(" ", "-")
            for h in re.findall(r"^#+ (.*)$", found.read_text(), re.M)
        }
        assert not anchor or anchor in headings, target
