"""What the user asked for: who wins, and how everything that is wrong is said at once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from image_builder.config import BuildConfig, from_environment, from_live_build, load
from image_builder.errors import ConfigError


def loaded(folder: Path, yaml: str = "", environ: Mapping[str, str] = {}, **options: Any) -> BuildConfig:
    (folder / "image-builder.yaml").write_text(yaml)
    return load(folder, environ=environ, options=options)


@pytest.mark.parametrize(
    ("yaml", "environ", "options", "suite"),
    [
        pytest.param("", {}, {}, "trixie", id="default"),
        pytest.param("suite: bookworm", {}, {}, "bookworm", id="the file wins over the default"),
        pytest.param("suite: bookworm", {"SUITE": "sid"}, {}, "sid", id="the environment wins over the file"),
        pytest.param("suite: bookworm", {"SUITE": "sid"}, {"suite": "forky"}, "forky", id="an option wins over both"),
        pytest.param("suite: bookworm", {"SUITE": " "}, {"suite": None}, "bookworm", id="empty is not given"),
    ],
)
def test_precedence(tmp_path: Path, yaml: str, environ: dict[str, str], options: dict[str, Any], suite: str) -> None:
    assert loaded(tmp_path, yaml, environ, **options).suite == suite


def test_without_a_file_everything_has_a_default(tmp_path: Path) -> None:
    config = load(tmp_path, environ={}, options={"targets": ()})
    assert (config.suite, config.project, config.targets, config.keep_going) == ("trixie", "debian", (), True)


def test_a_file_that_was_named_has_to_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"other\.yaml: cannot be read: .*No such file"):
        load(tmp_path, file=tmp_path / "other.yaml", environ={})


def test_nothing_changes_a_configuration() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        BuildConfig().suite = "sid"  # type: ignore[misc, unused-ignore]


@pytest.mark.parametrize(
    ("name", "text", "key", "value"),
    [
        ("PROJECT", "ubuntu", "project", "ubuntu"),
        ("SUBPROJECT", "minimal", "subproject", "minimal"),
        ("ARCH", "arm64", "architecture", "arm64"),
        ("SUBARCH", "raspi", "subarch", "raspi"),
        ("IMAGE_TARGETS", "squashfs;qcow2, iso\tvmdk", "targets", ("squashfs", "qcow2", "iso", "vmdk")),
        ("IMAGEFORMAT", "none", "image_format", "none"),
        ("EXTRA_PPAS", "me/tools:1001 team/ppa\n me/tools:1001", "extra_ppas", ("me/tools:1001", "team/ppa")),
        ("PROPOSED", "1", "proposed", True),
        ("PROPOSED", "yes please", "proposed", True),
        ("PROPOSED", "0", "proposed", False),
        ("REPO_SNAPSHOT_STAMP", "1767225600", "snapshot", "1767225600"),
        ("SNAPSHOT_SERVICE_TIMESTAMP", "20260101T000000Z", "snapshot", "20260101T000000Z"),
        ("SOURCE_DATE_EPOCH", "1700000000", "source_date_epoch", 1700000000),
        ("IMAGE_BUILDER_STORE", "/srv/layers", "store", Path("/srv/layers")),
        ("IMAGE_BUILDER_OUTPUT", "out", "output", Path("out")),
        ("IMAGE_BUILDER_JOBS", "3", "jobs", 3),
    ],
)
def test_the_environment(tmp_path: Path, name: str, text: str, key: str, value: object) -> None:
    assert getattr(loaded(tmp_path, "", {name: text, "UNRELATED": "x"}), key) == value


def test_what_is_set_to_nothing_is_not_set() -> None:
    assert from_environment({"EXTRA_PPAS": "", "SUITE": " "}) == {}


def test_both_names_of_an_instant_are_kept_for_who_compares_them(tmp_path: Path) -> None:
    both = {"REPO_SNAPSHOT_STAMP": "1767225600", "SNAPSHOT_SERVICE_TIMESTAMP": "20260101T000000Z"}
    assert loaded(tmp_path, "", both).snapshot == "1767225600 20260101T000000Z"


def test_seconds_in_yaml_are_an_instant(tmp_path: Path) -> None:
    assert loaded(tmp_path, "snapshot: 1767225600\n").snapshot == "1767225600"


@pytest.mark.parametrize(("yaml", "size"), [("20G", 20 << 30), ("1000", 1000), ("''", None), ("0", 0)])
def test_a_size_is_a_number_or_a_number_with_its_unit(tmp_path: Path, yaml: str, size: int | None) -> None:
    (tmp_path / "image-builder.yaml").write_text(f"snapshot_store_size: {yaml}\n")
    assert load(tmp_path, environ={}).snapshot_store_bytes == size


@pytest.mark.parametrize("yaml", ["much", "-5", "5 apples"])
def test_a_size_that_is_none(tmp_path: Path, yaml: str) -> None:
    (tmp_path / "image-builder.yaml").write_text(f"snapshot_store_size: {yaml}\n")
    with pytest.raises(ConfigError, match=r"image-builder.yaml:1: snapshot_store_size: "):
        load(tmp_path, environ={})


def test_an_instant_and_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no snapshot is wanted, and one of now"):
        loaded(tmp_path, "snapshot: now\npinned: false\n")


def test_lists_may_be_written_as_words(tmp_path: Path) -> None:
    config = loaded(tmp_path, "packages: vim  curl\narchive_areas: [main, contrib]\nlive_build: --cache false\n")
    assert config.packages == ("vim", "curl")
    assert config.archive_areas == ("main", "contrib")
    assert config.live_build == ("--cache", "false")


def test_an_unknown_key_is_named_with_its_line_and_the_nearest_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, "# ours\nsuite: trixie\npakages: [vim]\n")
    assert str(caught.value) == f"{tmp_path}/image-builder.yaml:3: unknown key 'pakages'; did you mean 'packages'?"
    assert caught.value.exit_status == 2


def test_an_unknown_key_like_no_other_points_to_the_documentation(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown key 'zzz'; see docs/configuration\.md"):
        loaded(tmp_path, "zzz: 1\n")


def test_all_that_is_wrong_is_said_at_once_with_where_it_came_from(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(
            tmp_path,
            "jobs: many\nsutie: sid\nrecommends: perhaps\nenvironment: {BAD-NAME: x}\nproject: two words\n",
            {"IMAGE_BUILDER_JOBS": "0"},
            timeout_s=-1,
        )
    message = str(caught.value)
    file = f"{tmp_path}/image-builder.yaml"
    assert f"{file}:2: unknown key 'sutie'; did you mean 'suite'?" in message
    assert f"{file}:3: recommends: " in message
    assert f"{file}:4: environment: 'BAD-NAME' cannot be the name" in message
    assert f"{file}:5: project: 'two words' is not a name" in message
    assert "environment IMAGE_BUILDER_JOBS: jobs: " in message
    assert "option --timeout-s: timeout_s: " in message
    assert len(message.splitlines()) == 6


@pytest.mark.parametrize(
    ("yaml", "message"),
    [
        pytest.param("- suite\n", "holds no mapping", id="a list"),
        pytest.param("trixie\n", "holds no mapping", id="a word"),
        pytest.param("suite: [trixie\n", "is not YAML", id="no YAML"),
        pytest.param("suite: trixie\n\nsuite: sid\n", "image-builder.yaml:3: 'suite' stands twice", id="twice"),
        pytest.param("? [a, b]\n: c\n", "is not YAML", id="a list as key"),
        pytest.param("suite: !!python/object:os.system x\n", "is not YAML", id="python"),
        pytest.param("[" * 5000, "is nested too deeply|is not YAML", id="deep"),
        pytest.param("suite: 2026-02-31\n", "is not YAML", id="no such day"),
        pytest.param("jobs: 0x_\n", "is not YAML", id="no such number"),
        pytest.param("jobs: !!int ''\n", "is not YAML", id="an empty number"),
        pytest.param("keep_going: !!bool perhaps\n", "is not YAML", id="no such truth"),
        pytest.param("suite: !!timestamp soon\n", "is not YAML", id="no such time"),
        pytest.param("environment: &a {A: *a}\n", "environment", id="holds itself"),
        pytest.param('environment: {A: "two\\nlines"}\n', "the value of A holds a line break", id="line break"),
        pytest.param("suite: -rf\n", "'-rf' is not a name", id="an option as a name"),
        pytest.param("hostname: ../../etc\n", "is not a name", id="a path as a name"),
    ],
)
def test_a_bad_file_is_a_configuration_error(tmp_path: Path, yaml: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        loaded(tmp_path, yaml)


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "image-builder.yaml").write_bytes(b"suite: \xff\xfe\n")
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path, environ={})


# Words that are near to something, so that texts get past YAML's grammar now and then.
PIECES = st.sampled_from(
    [
        "suite",
        "packages",
        "jobs",
        "environment",
        "targets",
        "timeout_s",
        "store",
        "trixie",
        ":",
        "-",
        "[",
        "]",
        "{",
        "}",
        ",",
        "#",
        "'",
        '"',
        "\n",
        "\t",
        "&",
        "*",
        "!",
        "|",
        ">",
        "?",
        "%",
        "@",
        "~",
        "null",
        "true",
        "1",
        "-1",
        ".inf",
        "0x1f",
        "2026-01-01",
        "!!int",
        "!!str",
        "!!binary",
        "<<:",
        "ä",
        "\x00",
        "---",
    ]
)


@given(st.one_of(st.text(max_size=200), st.lists(PIECES, max_size=25).map(" ".join)))
def test_no_text_gives_anything_but_a_configuration_or_its_error(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    try:
        config = load(path.parent, file=path, environ={})
    except ConfigError as e:
        assert str(path) in str(e)
    else:
        assert isinstance(config, BuildConfig)


def test_what_lb_config_has_settled_is_the_lowest_wish(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config/bootstrap").write_text(
        '# a comment\nLB_DISTRIBUTION="bookworm"\nLB_MIRROR_CHROOT="http://mirror/debian/"\nLB_ARCHITECTURE=""\n'
        'LB_ARCHIVE_AREAS="main contrib"\nLB_UNKNOWN="x"\n'
    )
    (tmp_path / "config/common").write_text('LB_APT_RECOMMENDS="true"\n')
    assert from_live_build(tmp_path) == {
        "suite": "bookworm",
        "mirror": "http://mirror/debian",
        "archive_areas": "main contrib",
        "recommends": "true",
    }
    config = loaded(tmp_path, "suite: sid\n")
    assert (config.suite, config.mirror, config.archive_areas, config.recommends) == (
        "sid", "http://mirror/debian", ("main", "contrib"), True,
    )  # fmt: skip


def test_the_login_of_a_companys_proxy_is_on_no_record(tmp_path: Path) -> None:
    config = loaded(tmp_path, "http_proxy: http://me:secret@proxy.corp:3128\n")
    assert config.http_proxy == "http://me:secret@proxy.corp:3128"
    assert "secret" not in config.model_dump_json() + repr(config)
