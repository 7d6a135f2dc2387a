"""A hook as a step's input: only what it declares, and every value of its environment."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_builder.errors import ConfigError
from image_builder.live_build import staging
from image_builder.live_build.hooks import Hook, environment_file, read, wrapper
from image_builder.series.resolve import Entry

FILES = {"lib/common.sh": "lib", "ovf/a.tmpl": "A", "ovf/b.tmpl": "B", "ovf/deep/c.tmpl": "C", "secret": "S"}


@pytest.fixture
def hooks_d(tmp_path: Path) -> Path:
    root = tmp_path / "hooks.d"
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def hook(hooks_d: Path, text: str, name: str = "base/x.binary", *, whole_tree: bool = False) -> Hook:
    (hooks_d / name).parent.mkdir(exist_ok=True)
    (hooks_d / name).write_text(text)
    return read(hooks_d, Entry(name, "binary", "base/series/x", 1), whole_tree=whole_tree)


@pytest.mark.parametrize(
    ("header", "seen"),
    [
        pytest.param("", "", id="nothing declared"),
        pytest.param("# inputs:", "", id="declared to be nothing"),
        pytest.param("# inputs: ovf/*.tmpl", "ovf/a.tmpl ovf/b.tmpl", id="a pattern"),
        pytest.param("# inputs: ovf", "ovf/a.tmpl ovf/b.tmpl ovf/deep/c.tmpl", id="a folder"),
        pytest.param("# inputs: ovf/**/*.tmpl", "ovf/a.tmpl ovf/b.tmpl ovf/deep/c.tmpl", id="a deep pattern"),
        pytest.param("# inputs: ovf/a.tmpl\n# inputs: secret", "ovf/a.tmpl secret", id="two lines"),
        pytest.param("# inputs: all", "ovf/a.tmpl ovf/b.tmpl ovf/deep/c.tmpl secret", id="all"),
    ],
)
def test_a_hook_sees_what_it_declares_lib_and_itself(hooks_d: Path, header: str, seen: str) -> None:
    made = hook(hooks_d, f"#!/bin/sh\n{header}\n")
    assert sorted(made.files) == sorted(f"hooks.d/{n}" for n in ["base/x.binary", "lib/common.sh", *seen.split()])


def test_in_a_foreign_tree_a_hook_sees_all(hooks_d: Path, tmp_path: Path) -> None:
    made = hook(hooks_d, "#!/bin/sh\n", whole_tree=True)
    staging.write(made.files, tmp_path / "stage")
    assert (tmp_path / "stage/hooks.d/secret").read_text() == "S"
    assert (tmp_path / "stage/hooks.d/base/x.binary").stat().st_mode & 0o111, "it is run, so it can be"


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ("../outside", "'../outside', which leaves hooks.d"),
        ("ovf/../../outside", "which leaves hooks.d"),
        ("/etc/passwd", "'/etc/passwd', which leaves hooks.d"),
        ("out", "hooks.d/out leads out of hooks.d"),
        ("ovf/*.txt", "'ovf/\\*.txt', which matches no file"),
        ("dangling*", "matches no file"),
    ],
)
def test_inputs_that_cannot_be_had_are_refused(hooks_d: Path, declared: str, message: str) -> None:
    (hooks_d.parent / "outside").write_text("not ours")
    (hooks_d / "out").symlink_to("../outside")
    (hooks_d / "dangling").symlink_to("nowhere")
    with pytest.raises(ConfigError, match=message) as caught:
        hook(hooks_d, f"# inputs: {declared}\n")
    assert caught.value.where == str(hooks_d / "base/x.binary")


def test_a_hook_that_is_gone_is_said(hooks_d: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read(hooks_d, Entry("base/none.binary", "binary", "", 0), whole_tree=False)


def test_the_digest_is_of_the_hook_and_its_inputs(hooks_d: Path) -> None:
    text = "# inputs: ovf/a.tmpl\n"
    before = hook(hooks_d, text).digest
    (hooks_d / "ovf/b.tmpl").write_text("changed, but not declared")
    assert hook(hooks_d, text).digest == before
    assert hook(hooks_d, text + "exit\n").digest != before
    for name in ("ovf/a.tmpl", "lib/common.sh"):
        (hooks_d / name).write_text("changed")
        after = hook(hooks_d, text).digest
        assert after != before
        before = after


@pytest.mark.parametrize(
    ("text", "reads"),
    [
        ("echo $IMAGE_TARGET", True),
        ('case "${IMAGE_TARGET:-}" in', True),
        ("echo $IMAGE_TARGETS", False),
        ("echo $MY_IMAGE_TARGET", False),
        (". lib/common.sh", False),
    ],
)
def test_which_variable_a_hook_looks_at(hooks_d: Path, text: str, reads: bool) -> None:
    assert hook(hooks_d, text).reads("IMAGE_TARGET") is reads
    (hooks_d / "lib/common.sh").write_text("name=$IMAGE_TARGET\n")
    assert hook(hooks_d, text).reads("IMAGE_TARGET"), "what it may source counts"


def test_the_environment_file_has_what_live_build_can_pass_on() -> None:
    text = environment_file(
        {"PROJECT": "debian", "SUBPROJECT": "", "NAME": "two words", "COST": "$5", "URL": "http://x/?a"}
    )
    assert text == "PROJECT=debian\nSUBPROJECT=\n"


def test_there_is_no_wrapper_where_there_is_nothing_to_wrap() -> None:
    assert wrapper({"PROJECT": "debian", "SUBPROJECT": ""}, "/hook") is None


VALUES = st.text(st.characters(codec="utf-8", exclude_characters="\0\n\r"), max_size=30)


@given(st.dictionaries(st.from_regex(r"T_[A-Z0-9]{1,5}", fullmatch=True), VALUES, max_size=4))
def test_every_value_reaches_the_hook_one_way_or_the_other(
    tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]
) -> None:
    folder = tmp_path_factory.getbasetemp() / "a folder"
    folder.mkdir(exist_ok=True)
    script, out = folder / "the hook", folder / "seen"
    script.write_text(f'#!/bin/sh\nenv -0 >{str(out).replace(" ", chr(92) + " ")}\nprintf %s "$*"\n')
    script.chmod(0o755)
    # as live-build does: words of the file, then the hook
    passed = dict(line.split("=", 1) for line in environment_file(environment).splitlines())
    text = wrapper(environment, str(script)) or f'exec "{script}" "$@"'
    made = subprocess.run(["sh", "-c", text, "wrapper", "a b", "c"], env=passed, capture_output=True, check=True)
    seen = dict(pair.split("=", 1) for pair in out.read_bytes().decode().split("\0") if pair)
    assert {name: seen.get(name) for name in environment} == environment, json.dumps(environment)
    assert made.stdout == b"a b c"
