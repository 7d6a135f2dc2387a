"""hooks.d/make-hooks as it is called: through links, from any folder, as a bare copy, with wrong usage."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from image_builder.errors import ConfigError
from image_builder.series.command import Options, options

Plant = Callable[..., Path]
SCRIPT = Path(__file__).parents[2] / "hooks.d/make-hooks"


def run(*argv: str | Path, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    given = {"PATH": "/usr/bin:/bin", **environment}
    return subprocess.run(argv, capture_output=True, text=True, cwd=cwd, env=given, timeout=60, check=False)


@pytest.fixture
def project(plant: Plant, tmp_path: Path) -> Path:
    """A checkout of its own: package and hooks.d side by side."""
    root = plant(
        {"base/series/a": "# A\r\nbase/x.binary\r\nprovides f\r\n", "base/series/b": "base/y.chroot\n"},
        "base/x.binary base/y.chroot",
        at="checkout/hooks.d",
    )
    shutil.copy(SCRIPT, root)
    shutil.copytree(SCRIPT.parents[1] / "image_builder", tmp_path / "checkout/image_builder")
    return tmp_path / "checkout"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_default_folder_is_hooks_beside_hooks_d(project: Path, tmp_path: Path) -> None:
    done = run(project / "hooks.d/make-hooks", "a;b", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == f"make-hooks: 2 links in {project}/hooks (2 new, 0 removed)\n"
    assert names(project / "hooks") == ["001-x.binary", "002-y.chroot"]
    assert (project / "hooks/001-x.binary").readlink() == Path("../hooks.d/base/x.binary")
    assert (project / "hooks.d/explicit_provides").read_text() == "f\n"


def test_through_a_link_and_from_another_folder(project: Path, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/make-hooks").symlink_to(project / "hooks.d/make-hooks")
    done = run(tmp_path / "bin/make-hooks", "-q", "--hooks-dir", "config/hooks/normal", "a, b", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "config/hooks/normal/002-y.chroot").resolve() == project / "hooks.d/base/y.chroot"


def test_a_foreign_tree(project: Path, plant: Plant, tmp_path: Path) -> None:
    foreign = plant({"base/series/z": "base/z.binary\nprovides zz\n"}, "base/z.binary", at="foreign/hooks.d")
    assert run(project / "hooks.d/make-hooks", "--hooks-source=foreign/hooks.d", "z", cwd=tmp_path).returncode == 0
    assert names(tmp_path / "foreign/hooks") == ["001-z.binary"]
    assert (foreign / "explicit_provides").read_text() == "zz\n"
    assert not (project / "hooks.d/explicit_provides").exists()


def test_a_bare_copy_says_what_it_lacks(project: Path) -> None:
    shutil.rmtree(project / "image_builder")
    done = run("/usr/bin/python3", "-IS", project / "hooks.d/make-hooks", "a")
    assert done.returncode == 3
    assert "neither beside this folder nor installed" in done.stderr
    assert not (project / "hooks").exists()


@pytest.mark.parametrize("way", ["python", "path", "command"])
def test_a_bare_copy_takes_the_installed_package(project: Path, tmp_path: Path, way: str) -> None:
    (project / "image_builder").rename(tmp_path / "image_builder")
    if way == "python":  # an interpreter that has it
        done = run(sys.executable, project / "hooks.d/make-hooks", "a", PYTHONPATH=str(tmp_path))
    elif way == "path":
        done = run(project / "hooks.d/make-hooks", "a", PYTHONPATH=str(tmp_path))
    else:  # the environment of the image-builder command, here one whose interpreter adds the package
        python = tmp_path / "bin/python-with-it"
        python.parent.mkdir()
        python.write_text(f'#!/bin/sh\nshift\nPYTHONPATH={tmp_path} exec /usr/bin/python3 "$@"\n')
        python.chmod(0o755)
        (tmp_path / "bin/image-builder").write_text(f"#!{python}\n")
        done = run(project / "hooks.d/make-hooks", "a", PATH=f"/usr/bin:{tmp_path}/bin")
    assert (done.returncode, names(project / "hooks")) == (0, ["001-x.binary"])


def test_blank_targets_collect_chroot_hooks_only(project: Path) -> None:
    (project / "hooks.d/chroot/c.chroot").touch()
    assert run(project / "hooks.d/make-hooks", " ;, ").returncode == 0
    assert names(project / "hooks") == ["001-c.chroot"]
    assert (project / "hooks.d/explicit_provides").read_text() == ""


def test_errors_are_reported_together_and_nothing_is_written(project: Path) -> None:
    (project / "hooks.d/base/series/a").write_text("base/gone.binary\n../x\ndepends a\n")
    before = names(project / "hooks.d")
    done = run(project / "hooks.d/make-hooks", "a", "nope")
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        f"make-hooks: {project}/hooks.d: series files:",
        "  base/series/a line 1: hook script 'base/gone.binary' does not exist",
        "  base/series/a line 2: hook '../x' leaves the hooks.d folder by '..'",
        "  base/series/a line 3: `depends a` closes a cycle: a -> a",
        "  no series file for target 'nope'",
    ]
    assert not (project / "hooks").exists()
    assert names(project / "hooks.d") == before


def test_a_hook_that_never_runs_is_said_even_quietly(project: Path) -> None:
    (project / "hooks.d/base/series/a").write_text("base/x\n")
    (project / "hooks.d/base/x").touch()
    done = run(project / "hooks.d/make-hooks", "-q", "a")
    assert done.returncode == 0
    assert done.stderr.startswith("make-hooks: warning: series base/series/a line 1: base/x is never run")
    assert names(project / "hooks") == ["001-x"]


def test_format_2019(project: Path) -> None:
    done = run(project / "hooks.d/make-hooks", "--format", "2019", "a")
    assert done.returncode == 2
    assert "base/series/a line 1: hook script '# A' does not exist (series files of 2019" in done.stderr
    assert run(project / "hooks.d/make-hooks", "--format", "2019", "b").returncode == 0


def test_a_name_that_is_no_utf8_reaches_the_link(project: Path) -> None:
    (project / "hooks.d/base/series/a").write_bytes(b"base/\xff.binary\nprovides \xfe\n")
    (project / os.fsdecode(b"hooks.d/base/\xff.binary")).touch()
    assert run(project / "hooks.d/make-hooks", "a", LC_ALL="C").returncode == 0
    assert os.listdir(os.fsencode(project / "hooks")) == [b"001-\xff.binary"]  # noqa: PTH208
    assert (project / "hooks.d/explicit_provides").read_bytes() == b"\xfe\n"


def test_help_says_what_is_better() -> None:
    done = run(SCRIPT, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "cycle of depends are errors" in done.stdout


@pytest.mark.parametrize(
    "argv",
    [[], ["-q"], ["--hooks-dir"], ["-d"], ["-d", "", "a"], ["--nope", "a"], ["-x", "a"], ["--quiet=1", "a"],
     ["--format", "2018", "a"], ["--hooks-source", "/nowhere", "a"]],
)  # fmt: skip
def test_wrong_usage(argv: list[str]) -> None:
    done = run(SCRIPT, *argv)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("make-hooks: ")
    assert "Traceback" not in done.stderr


PLAIN = Options(("a",), "", "", "current", quiet=False, help=False)


@pytest.mark.parametrize(
    ("argv", "asked"),
    [
        ("a", PLAIN),
        ("-q a", PLAIN._replace(quiet=True)),
        ("a -q", PLAIN._replace(quiet=True)),
        ("-d D a", PLAIN._replace(folder="D")),
        ("-dD a", PLAIN._replace(folder="D")),
        ("-qd D a", PLAIN._replace(folder="D", quiet=True)),
        ("-qdD a", PLAIN._replace(folder="D", quiet=True)),
        ("--hooks-dir D a", PLAIN._replace(folder="D")),
        ("--hooks-dir=D a", PLAIN._replace(folder="D")),
        ("--hooks-source S a", PLAIN._replace(source="S")),
        ("a --format=2019", PLAIN._replace(format="2019")),
        ("a b -- -q", PLAIN._replace(targets=("a", "b", "-q"))),
        ("-h", PLAIN._replace(targets=(), help=True)),
    ],
)
def test_options(argv: str, asked: Options) -> None:
    assert options(argv.split()) == asked


def test_an_unknown_option_is_named() -> None:
    with pytest.raises(ConfigError, match="--hooks: no such option"):
        options(["--hooks", "x"])


def test_nothing_but_the_standard_library_and_little_of_it(tmp_path: Path) -> None:
    """What make-hooks imports decides how fast it starts."""
    code = "import sys; sys.path.insert(0, sys.argv[1]); import image_builder.series.command; print(*sys.modules)"
    done = run("/usr/bin/python3", "-IS", "-c", code, SCRIPT.parents[1], cwd=tmp_path)
    slow = {"typing", "re", "pathlib", "argparse", "dataclasses", "inspect", "contextlib", "difflib", "signal"}
    assert done.returncode == 0, done.stderr
    assert not slow.intersection(done.stdout.split())


def test_sigterm_undoes_the_run(project: Path) -> None:
    """A pipe in place of nothing: the lock on the folder makes the run wait, so the signal comes in the middle."""
    import fcntl
    import signal

    folder = project / "new/hooks"
    folder.parent.mkdir()
    descriptor = os.open(project / "hooks.d", os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        child = subprocess.Popen([project / "hooks.d/make-hooks", "-d", folder, "a"], stderr=subprocess.PIPE)
        while not folder.exists():
            assert child.poll() is None
        child.send_signal(signal.SIGTERM)
        child.communicate(timeout=60)
    finally:
        os.close(descriptor)
    assert child.returncode == 128 + signal.SIGTERM
    assert not folder.exists()
