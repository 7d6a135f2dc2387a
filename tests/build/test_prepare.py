"""Which targets are built, from which hooks.d."""

from __future__ import annotations

from pathlib import Path

import pytest

from image_builder.build.prepare import chosen, hooks_folder
from image_builder.config import BuildConfig
from image_builder.errors import ConfigError


@pytest.fixture
def hooks_d(tmp_path: Path) -> Path:
    root = tmp_path / "hooks.d"
    for name, text in {
        "base/series/base": "# what all have\nbase/x.chroot\n",
        "base/series/disk": "depends base\nbase/disk.binary\nprovides livecd.$PROJECT.img\n",
        "base/series/alias": "depends base\nprovides livecd.$PROJECT.img\n",
        "base/series/iso": "#% binary: iso-hybrid\ndepends base\n",
        "base/series/group": "# two of them\ndepends disk\ndepends iso\n",
        "base/series/groups": "depends group\ndepends base\n",
        "base/series/again": "depends disk\nbase/disk.binary\n",
        "base/x.chroot": "",
        "base/disk.binary": "",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def names(hooks_d: Path, *targets: str) -> list[str]:
    return [target.name for target in chosen(hooks_d, BuildConfig(targets=targets))]


@pytest.mark.parametrize(
    ("asked", "built"),
    [
        pytest.param("disk", "disk", id="one"),
        pytest.param("iso disk", "iso disk", id="in the order asked for"),
        pytest.param("disk;iso,disk", "disk iso", id="each once, however they are parted"),
        pytest.param("group", "disk iso", id="a group is what it names"),
        pytest.param("iso group", "iso disk", id="a group beside one of its own"),
        pytest.param("groups", "disk iso base", id="a group of groups"),
        pytest.param("alias", "alias", id="what provides something is a target"),
        pytest.param("iso", "iso", id="what says what live-build makes is a target"),
        pytest.param("again", "again", id="what lists a hook is a target, also one of its dependency's"),
        pytest.param("base", "base", id="a base without an image"),
    ],
)
def test_what_is_built(hooks_d: Path, asked: str, built: str) -> None:
    assert names(hooks_d, asked) == built.split()


def test_nothing_asked_for_is_all_there_is(hooks_d: Path) -> None:
    assert sorted(names(hooks_d)) == ["again", "alias", "base", "disk", "iso"]
    (hooks_d / "base/series/all").write_text("depends iso\ndepends disk\n")
    assert names(hooks_d) == ["iso", "disk"], "a series `all` says what all means"


def test_an_unknown_target_is_named_with_its_neighbours(hooks_d: Path) -> None:
    with pytest.raises(ConfigError, match="dsk") as caught:
        names(hooks_d, "dsk", "iso", "isso")
    assert "disk" in str(caught.value)
    assert "isso" in str(caught.value), "all of them at once"


def test_the_configured_folder_wins_then_the_projects_then_the_shipped(tmp_path: Path, hooks_d: Path) -> None:
    assert hooks_folder(BuildConfig(), tmp_path) == hooks_d
    (tmp_path / "other").mkdir()
    assert hooks_folder(BuildConfig(hooks=Path("other")), tmp_path) == tmp_path / "other"
    elsewhere = hooks_folder(BuildConfig(), tmp_path / "other")
    assert (elsewhere / "make-hooks").exists()
    with pytest.raises(ConfigError, match="none: is no folder"):
        hooks_folder(BuildConfig(hooks=Path("none")), tmp_path)


def test_which_hooks_are_used(tmp_path: Path) -> None:
    config = BuildConfig(project="my")
    for folder in ("hooks.d", "live-build/my/hooks.d", "elsewhere"):
        (tmp_path / folder).mkdir(parents=True)
    assert hooks_folder(BuildConfig(project="other"), tmp_path) == tmp_path / "hooks.d"
    assert hooks_folder(config, tmp_path) == tmp_path / "live-build/my/hooks.d", "the tree's of that project"
    named = config.model_copy(update={"hooks": Path("elsewhere")})
    assert hooks_folder(named, tmp_path) == tmp_path / "elsewhere", "what is named comes first"
