"""What apt, mmdebstrap and sbuild are told for one attempt."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
from assignments import BUILT, DEBIAN, assignment
from debian.changelog import Changelog

from image_builder.archive.builder import recipe
from image_builder.archive.builder.assignment import Assignment, BuildRepository, Means
from image_builder.archive.model import Base
from image_builder.errors import ConfigError

KEY = f"/build/apt/keys/{recipe.key_name(Path('/k.gpg'))}"
OLD = f"deb [signed-by={KEY}] http://deb.debian.org/debian trixie main"
NEW = "deb [trusted=yes] file:/build/repository ./"
MINE = "deb [trusted=yes] file:/build/local ./"
LOCAL = BuildRepository(folder=Path("/srv/local"), origin="mine")


@pytest.mark.parametrize(
    ("base", "repository", "lines"),
    [
        (Base.OLD, BUILT, [OLD]),
        (Base.BOTH, BUILT, [OLD, NEW]),
        (Base.BOTH, None, [OLD]),  # nothing has been built yet
        (Base.BUILT, BUILT, [NEW]),
    ],
)
def test_what_a_pass_builds_against(base: Base, repository: BuildRepository | None, lines: list[str]) -> None:
    assert recipe.source_lines(assignment(base=base, repository=repository)) == lines


@pytest.mark.parametrize("base", list(Base))
def test_what_the_user_brought_is_offered_to_all_passes_and_hides_the_rest(base: Base) -> None:
    made = assignment(base=base, local=LOCAL)
    assert recipe.source_lines(made)[-1] == MINE
    assert recipe.preferences(made).endswith("Package: *\nPin: release o=mine\nPin-Priority: 1002\n")
    assert "directory => '/build/local'" in recipe.configuration(made)
    both = recipe.preferences(assignment(base=Base.BOTH, local=LOCAL)).split("\n\n")
    assert [paragraph.splitlines()[1] for paragraph in both] == ["Pin: release o=image-builder", "Pin: release o=mine"]


def test_what_makes_the_toolchain_is_offered_also_where_only_results_are() -> None:
    tools = DEBIAN.model_copy(update={"uri": "http://example.org/gcc", "of_toolchain": True, "signed_by": ()})
    made = assignment(base=Base.BUILT, sources=(DEBIAN, tools))
    assert recipe.source_lines(made) == ["deb http://example.org/gcc trixie main", NEW]


def test_a_chroot_may_take_older_packages_than_it_has() -> None:
    assert "--aptopt=APT::Get::allow-downgrades true" in shlex.split(
        recipe.bootstrap(assignment(), "/c.tar", changed=True)
    )


def test_keys_keep_their_suffix_and_have_names_of_their_own() -> None:
    names = {recipe.key_name(Path(path)) for path in ("/a/k.gpg", "/b/k.gpg", "/a/k.asc")}
    assert len(names) == 3
    assert {name.partition(".")[2] for name in names} == {"gpg", "asc"}


def test_what_was_built_here_hides_the_archives() -> None:
    said = recipe.preferences(assignment())
    assert said == "Package: *\nPin: release o=image-builder\nPin-Priority: 1001\n"
    # mmdebstrap hands the hook to a shell with the root as its argument
    hook = next(
        w for w in shlex.split(recipe.bootstrap(assignment(), "/c.tar", changed=True)) if w.startswith("--setup-hook=")
    )
    assert "o=image-builder" in hook
    for other in (assignment(base=Base.OLD), assignment(base=Base.BUILT), assignment(repository=None)):
        assert recipe.preferences(other) == ""
        assert "--setup-hook" not in recipe.bootstrap(other, "/c.tar", changed=True)


def test_the_hook_of_the_preferences_writes_them(tmp_path: Path) -> None:
    (tmp_path / "etc/apt/preferences.d").mkdir(parents=True)
    words = shlex.split(recipe.bootstrap(assignment(), "/c.tar", changed=True))
    hook = next(w for w in words if w.startswith("--setup-hook=")).partition("=")[2]
    subprocess.run(["sh", "-c", hook, "sh", tmp_path], check=True)
    assert (tmp_path / "etc/apt/preferences.d/rebuild").read_text() == recipe.preferences(assignment())


@pytest.mark.parametrize(
    ("changes", "there", "not_there"),
    [
        ({}, ["--arch-any", "--no-arch-all", "--host=amd64", "--build=amd64"], ["--arch-all"]),
        ({"build_all": True}, ["--arch-any", "--arch-all"], []),
        ({"architecture": "all", "build_all": True}, ["--no-arch-any", "--arch-all", "--host=amd64"], []),
        ({"architecture": "armhf"}, ["--host=armhf", "--build=amd64"], []),
        ({"means": Means(build_profiles=("nocheck", "stage1"))}, ["--profiles=nocheck,stage1"], []),
        ({"extra_depends": "a (>= 1), b"}, ["--add-depends=a (>= 1)", "--add-depends=b"], []),
        ({"extra_conflicts": "c"}, ["--add-conflicts=c"], []),
    ],
)
def test_what_sbuild_is_asked_for(changes: dict[str, Any], there: list[str], not_there: list[str]) -> None:
    command = recipe.command(assignment(**changes))
    assert set(there) <= set(command)
    assert not set(not_there) & set(command)
    assert command[-1] == "/build/source/lzop_1.04-2.dsc"


@pytest.mark.parametrize(
    ("changes", "version"),
    [
        ({"binary_nmu": 2}, "1.04-2+b2"),
        ({"means": Means(version_suffix="+x1")}, "1.04-2+x1"),
        ({"binary_nmu": 2, "means": Means(version_suffix="+x1")}, "1.04-2+b2+x1"),
    ],
)
def test_another_version_is_one_of_the_binaries_only(changes: dict[str, Any], version: str) -> None:
    entry = Changelog(recipe.changelog_entry(assignment(**changes)), strict=True)
    assert (entry.package, str(entry.version), entry.distributions) == ("lzop", version, "trixie")
    assert entry.date == "Tue, 14 Nov 2023 22:13:20 +0000", "the archive's date, not the clock's"
    assert "binary-only=yes" in str(entry), "else dpkg would take it for another source"
    assert "$bin_nmu_changelog" in recipe.configuration(assignment(**changes))


def test_the_version_of_the_source_needs_no_entry() -> None:
    assert recipe.changelog_entry(assignment()) == ""
    assert "bin_nmu_changelog" not in recipe.configuration(assignment())


def test_a_tree_is_built_as_it_is() -> None:
    assert recipe.command(assignment(files=(), tree=Path("/src/lzop")))[-1] == "/build/source/tree"


def test_the_configuration_is_perl_that_says_what_was_meant(tmp_path: Path) -> None:
    """Read by Perl itself, since sbuild does nothing else with it."""
    means = Means(
        environment={"DEB_CFLAGS_APPEND": "-O3 -DX='it\\'s'", "DEB_LDFLAGS_SET": "$x @y"}, build_options=("nocheck",)
    )
    made = assignment(means=means)
    (tmp_path / "sbuild.pl").write_text(recipe.configuration(made))
    script = """
        our ($build_environment, $unshare_bind_mounts, $chroot_mode, $run_lintian);
        no strict; package main;
        my $text = do { local (@ARGV, $/) = ("sbuild.pl"); <> }; eval "no strict; $text" or die $@;
        print "$_=$build_environment->{$_}\\n" for sort keys %$build_environment;
        print "$_->{directory}>$_->{mountpoint}\\n" for @$unshare_bind_mounts; print "$chroot_mode $run_lintian\\n";
    """
    said = subprocess.run(["perl", "-e", script], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert said.splitlines() == [
        "DEB_BUILD_OPTIONS=nocheck parallel=3",
        "DEB_CFLAGS_APPEND=-O3 -DX='it\\'s'",
        "DEB_LDFLAGS_SET=$x @y",
        "/build/apt>/build/apt",
        "/build/repository>/build/repository",
        "unshare 0",
    ]


def test_an_assignment_survives_its_file(tmp_path: Path) -> None:
    made = assignment(means=Means(environment={"DEB_CFLAGS_APPEND": "-O3"}))
    made.write(tmp_path / "a.json")
    assert Assignment.read(tmp_path / "a.json") == made
    (tmp_path / "a.json").write_text('{"reference": 1}')
    with pytest.raises(ConfigError, match="not an assignment"):
        Assignment.read(tmp_path / "a.json")
