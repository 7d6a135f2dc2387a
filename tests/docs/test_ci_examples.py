"""The workflows in docs/ci: against the published schemas, and with the commands there are."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from image_builder.cli import COMMANDS, cli

CI = Path(__file__).parents[2] / "docs/ci"
SCHEMAS = {"github.yml": "github-workflows", "gitlab.yml": "gitlab-ci", "gitlab-image.yml": "gitlab-ci"}


def checked(text: str, schema: str, folder: Path) -> subprocess.CompletedProcess[str]:
    # GitLab's schema lets hidden jobs (.name) be anything: they are judged as if they were shown.
    path = folder / "shown.yml"
    path.write_text(re.sub(r"^\.(\w+):", r"shown-\1:", text, flags=re.MULTILINE))
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_every_example_is_checked() -> None:
    assert {path.name for path in CI.iterdir()} == set(SCHEMAS)


@pytest.mark.parametrize(("name", "schema"), SCHEMAS.items())
def test_it_is_what_the_published_schema_asks_for(name: str, schema: str, tmp_path: Path) -> None:
    said = checked((CI / name).read_text(), schema, tmp_path)
    assert said.returncode == 0, said.stdout


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("github.yml", "steps:", "stpes:"),
        ("gitlab.yml", "matrix.yml", "matrix"),
        ("gitlab-image.yml", "when: always", "when: ever"),
    ],
)
def test_the_check_sees_a_mistake(name: str, right: str, wrong: str, tmp_path: Path) -> None:
    text = (CI / name).read_text()
    assert right in text
    assert checked(text.replace(right, wrong), SCHEMAS[name], tmp_path).returncode == 1


def commands(value: Any) -> list[list[str]]:
    """Every call of image-builder in the strings of a YAML document, as words."""
    match value:
        case dict():
            return [c for inner in value.values() for c in commands(inner)]
        case list():
            return [c for inner in value for c in commands(inner)]
        case str():
            return [m.split() for m in re.findall(r"\bimage-builder ([a-z].*)", value) if m.split()[0] in COMMANDS]
    return []


@pytest.mark.parametrize("names", [("github.yml",), ("gitlab.yml", "gitlab-image.yml")])
def test_it_uses_the_commands_of_the_manual_with_options_they_have(names: tuple[str, ...]) -> None:
    found = [c for name in names for c in commands(yaml.safe_load((CI / name).read_text()))]
    assert {words[0] for words in found} == {"lock", "ci-matrix", "build", "collect"}
    for words in found:
        command = cli.get_command(None, words[0])  # type: ignore[arg-type]
        assert command is not None
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words[1:] if word.startswith("-")} <= known
