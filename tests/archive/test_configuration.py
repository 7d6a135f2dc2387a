"""The YAML file of a rebuild: what it may say, and what is said of it when it may not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from image_builder.archive.configuration import ArchiveConfig, apt_sources, load_archive_config
from image_builder.archive.model import Base, Outcome
from image_builder.archive.priority import Order
from image_builder.errors import ConfigError

SOURCES = "sources: [deb http://deb.debian.org/debian trixie main]\n"
WHOLE = """\
name: gcc-15
sources:
  - deb [arch=amd64] http://deb.debian.org/debian trixie main
  - |
    Types: deb-src
    URIs: http://deb.debian.org/debian
    Suites: trixie
    Components: main contrib
  - more.list
keyring: keys.gpg
snapshot: 20260901T000000Z
suite: trixie
architectures: [amd64, armhf]
packages:
  include: hello lib*
  exclude: [libreoffice]
  build_dependencies: true
local: [../hello, ../acl_1.dsc, b.deb]
blacklist:
  - {package: chromium, reason: too large for this machine, architectures: armhf}
toolchain:
  sources: [deb http://example.org/gcc trixie main]
  packages: gcc-15 g++-15
  environment: {DEB_BUILD_MAINT_OPTIONS: "hardening=+all"}
  flags:
    CFLAGS: {append: -O3 -march=x86-64-v3, strip: -O2}
  build_profiles: [nocheck]
  build_options: nodoc
  version_suffix: +gcc15
passes:
  - {stage: 0, base: old, packages: base-system}
  - {stage: 1, base: both}
  - {stage: 2, base: built, packages: [hello, "lib*"]}
cycles:
  drop: ["glib2.0:libgirepository"]
schedule:
  order: wanna-build
  weights: {days_max: 3, section: {libs: 9}}
  slots: 4
  memory: 12G
  disk: 1.5TiB
  tries: {give-back: 3, dep-wait: 2}
  delay_seconds: {give-back: 30}
publish:
  to: s3://bucket/gcc-15
  endpoint_url: https://s3.example.org
  origin: Example
database: postgresql://db/rebuild
results: /srv/results
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with what WHOLE names; its file goes to a folder in it."""
    (tmp_path / "hello" / "debian").mkdir(parents=True)
    (tmp_path / "hello" / "debian" / "control").touch()
    (tmp_path / "acl_1.dsc").touch()
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "b.deb").touch()
    (tmp_path / "project" / "more.list").write_text("deb http://example.org/more ./\n")
    return tmp_path / "project"


def load(folder: Path, text: str, **environ: str) -> ArchiveConfig:
    path = folder / "archive.yaml"
    path.write_text(text)
    return load_archive_config(path, environ=environ)


def test_everything_at_once(folder: Path) -> None:
    config = load(folder, WHOLE)
    assert (config.name, config.architectures, config.snapshot) == ("gcc-15", ("amd64", "armhf"), "20260901T000000Z")
    assert config.packages.include == ("hello", "lib*")
    assert config.local == (folder.parent / "hello", folder.parent / "acl_1.dsc", folder / "b.deb")
    assert config.blacklist[0].architectures == ("armhf",)
    assert config.toolchain.packages == ("gcc-15", "g++-15")
    assert config.toolchain.variables() == {
        "DEB_CFLAGS_APPEND": "-O3 -march=x86-64-v3",
        "DEB_CFLAGS_STRIP": "-O2",
        "DEB_BUILD_MAINT_OPTIONS": "hardening=+all",
    }
    assert [(one.stage, one.base, one.packages) for one in config.passes] == [
        (0, Base.OLD, "base-system"),
        (1, Base.BOTH, "all"),
        (2, Base.BUILT, ("hello", "lib*")),
    ]
    schedule = config.schedule
    assert (schedule.order, schedule.memory, schedule.disk) == (Order.WANNA_BUILD, 12 << 30, 3 << 39)
    assert (schedule.weights.days_max, schedule.weights.section, schedule.weights.days_scale) == (3, {"libs": 9}, 2)
    assert schedule.tries == {Outcome.GIVE_BACK: 3, Outcome.DEP_WAIT: 2}
    assert (config.database, config.results) == ("postgresql://db/rebuild", Path("/srv/results"))
    assert (config.keyring, config.lock) == (folder / "keys.gpg", folder / "image-builder.lock")


def test_only_sources_have_to_be_said(folder: Path) -> None:
    config = load(folder, SOURCES)
    assert [(one.stage, one.base) for one in config.passes] == [(0, Base.OLD), (1, Base.BOTH)]
    assert config.database == str(folder / "archive.sqlite")
    assert (config.results, config.repository, config.work) == (
        folder / "results",
        folder / "repository",
        folder / "work",
    )


def test_the_environment_and_options_are_heard(folder: Path) -> None:
    config = load(
        folder, SOURCES + "database: x\n", IMAGE_BUILDER_ARCHIVE_DATABASE="y", REPO_SNAPSHOT_STAMP="1700000000"
    )
    assert (config.database, config.snapshot) == (str(folder / "y"), "1700000000")
    again = load_archive_config(folder / "archive.yaml", environ={}, options={"database": "z", "suite": None})
    assert (again.database, again.suite) == (str(folder / "z"), "trixie")


def test_another_toolchain_has_another_digest(folder: Path) -> None:
    digests = [
        load(folder, SOURCES + text).toolchain.digest()
        for text in (
            "",
            "toolchain: {}",
            "toolchain: {packages: a}",
            "toolchain: {packages: [a]}",
            "toolchain: {packages: b}",
        )
    ]
    assert digests[0] == digests[1]
    assert digests[2] == digests[3]
    assert len(set(digests)) == 3
    assert len(digests[0]) == 64


def test_source_packages_come_from_where_deb_src_says(folder: Path) -> None:
    config = load(folder, WHOLE)
    found = {(s.uri, s.suite): s.source_packages for s in apt_sources(config.sources, "amd64")}
    assert found == {("http://deb.debian.org/debian", "trixie"): True, ("http://example.org/more", "./"): False}
    plain = apt_sources(load(folder, SOURCES).sources, "amd64")
    assert [s.source_packages for s in plain] == [True]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("suite: trixie\n", "archive.yaml:1: sources is missing"),
        ("sources: []\n", "archive.yaml:1: sources: names no APT source"),
        ("sources:\n  - deb nowhere\n", "archive.yaml:1: sources: line 1: not a source: 'deb nowhere'"),
        ("sources: [gone.list]\n", "gone.list cannot be read"),
        ("sources: [deb http://a:b@c/d trixie main]\n", "an address with a login in it"),
        (SOURCES + "suit: sid\n", "archive.yaml:2: unknown key 'suit'; did you mean 'suite'?"),
        (SOURCES + "suite: a b\n", "archive.yaml:2: suite: "),
        (
            SOURCES + "publish:\n  keep: 3\n  orign: x\n",
            "archive.yaml:4: unknown key 'publish.orign'; did you mean 'origin'?",
        ),
        (SOURCES + "schedule:\n\n  slots: 0\n", "archive.yaml:4: schedule.slots: "),
        (SOURCES + "schedule: {memory: lots}\n", "archive.yaml:2: schedule.memory: "),
        (SOURCES + "schedule: {weights: {dayz: 3}}\n", "archive.yaml:2: schedule.weights.dayz: "),
        (SOURCES + "schedule: {tries: {bad-luck: 3}}\n", "archive.yaml:2: schedule.tries.bad-luck"),
        (SOURCES + "passes:\n- {stage: 0, base: old}\n- {stage: 1, base: new}\n", "archive.yaml:4: passes.1.base: "),
        (SOURCES + "passes: [{stage: 1, base: old}, {stage: 0, base: old}]\n", "in ascending order"),
        (SOURCES + "passes: [{stage: 0, base: built}]\n", "there is nothing built it could build against"),
        (SOURCES + "passes: []\n", "at least one"),
        (SOURCES + "blacklist:\n- package: x\n", "archive.yaml:3: blacklist.0.reason is missing"),
        (SOURCES + "local: [gone.dsc]\n", "archive.yaml:2: local.0: is not there"),
        (SOURCES + "local: [archive.yaml]\n", "neither a .dsc, nor a .deb, nor a source tree"),
        (SOURCES + "toolchain: {environment: {PATH: /tmp}}\n", "'PATH' does not steer a build"),
        (SOURCES + 'toolchain: {environment: {DEB_X: "a\\nb"}}\n', "holds a line break"),
        (SOURCES + "toolchain: {flags: {CFLAGS: {add: -O3}}}\n", "archive.yaml:2: toolchain.flags.CFLAGS.add"),
        (SOURCES + "toolchain: {flags: {cflags: {set: -O3}}}\n", "'cflags' is no build flag"),
        (SOURCES + "toolchain: {version_suffix: rebuild}\n", "toolchain.version_suffix: "),
        (SOURCES + "cycles: {drop: [a-b]}\n", "'a-b' is not SOURCE:DEPENDENCY"),
        (SOURCES + "suite: x\nsuite: y\n", "archive.yaml:3: 'suite' stands twice"),
        (SOURCES + "publish:\n  keep: 1\n  keep: 2\n", "archive.yaml:4: 'keep' stands twice"),
        (SOURCES + "publish: &p {to: *p}\n", "archive.yaml:2: an entry contains itself"),
        ("- a\n", "holds no mapping"),
        ("", "holds no mapping"),
        ("a: [\n", "is not YAML"),
        ("a: 2026-02-31\n", "is not YAML"),
        ("[" * 3000, "is nested too deeply"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(folder: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(folder, text)
    assert said in str(caught.value)


def test_all_that_is_wrong_is_said_at_once(folder: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(folder, SOURCES + "suit: x\nname: a b\npublish: {keep: 0}\n")
    assert [number for number in (1, 2, 3, 4) if f"archive.yaml:{number}: " in str(caught.value)] == [2, 3, 4]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"(?s)cannot be read.*--config names another file"):
        load_archive_config(tmp_path / "archive.yaml", environ={})


@pytest.mark.parametrize(
    ("text", "place"),
    [("", "FOLDER/published"), ("publish: {to: ../www}\n", "FOLDER/../www"), ("publish: {to: /srv/www}\n", "/srv/www")],
)
def test_where_it_is_published_is_meant_from_the_folder_of_the_file(folder: Path, text: str, place: str) -> None:
    config = load(folder, SOURCES + text)
    assert config.publish.to == os.path.normpath(place.replace("FOLDER", str(folder)))
    assert load(folder, SOURCES + "publish: {to: s3://a/b}\n").publish.to == "s3://a/b"
