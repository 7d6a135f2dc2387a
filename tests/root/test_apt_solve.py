"""What the solver says, against what a real apt does with a small archive made for the test."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import local_archive
import pytest

from image_builder.apt.fetch import prefetch
from image_builder.apt.handover import MMDEBSTRAP_OPTIONS, hand_over
from image_builder.apt.lists import check_lists, lists_folder
from image_builder.apt.local import with_local_packages
from image_builder.apt.solution import Solution
from image_builder.apt.solve import Bind, Context, in_root, solve_base, solve_packages, total
from image_builder.errors import PipelineError
from image_builder.lock import Lock
from proxy.archive.freeze import blobs, freeze, thaw
from proxy.archive.sources import DEBIAN_KEYRING, Source, debian

pytestmark = pytest.mark.root
NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    key = local_archive.Key()
    made = local_archive.LocalArchive(tmp_path_factory.mktemp("archive"), key)
    made.add("libc", "2:1.0", architecture="amd64")
    made.add("core", Essential="yes", Priority="required", Pre_Depends="libc")
    made.add("mawk", Provides="awk")
    made.add("base", Essential="yes", Priority="required", Depends="awk | mawk, usr-is-merged | usrmerge")
    made.add("usrmerge", "40")
    made.add("usr-is-merged", "40", Multi_Arch="foreign")
    made.add("apt", "99.0", architecture="amd64", Priority="required")
    made.add("tz", Priority="required", Recommends="extra")
    made.add("extra")
    made.add("server", "1.0", Depends="libc (>= 2:1.0)", Recommends="extra", Suggests="usrmerge")
    made.add("server", "2.0", Depends="libc (>= 2:1.0)", Recommends="extra")
    made.add("rival", Conflicts="tz", Replaces="tz")
    made.add("broken", Depends="nowhere (>= 3)")
    made.publish(date=NOW)
    yield made
    key.close()


@pytest.fixture(scope="module")
def ctx(archive: Any, tmp_path_factory: pytest.TempPathFactory) -> Context:
    """Frozen, and the archive gone: apt solves without the network. The root is this machine's own."""
    cache = tmp_path_factory.mktemp("cache")
    with local_archive.served(archive.folder) as address:
        source = Source(address, "stable", ("main",), ("amd64",))
        pins = freeze([source], keyring=archive.key.keyring, cache=cache, now=NOW)
    frozen = thaw(pins, [source], keyring=archive.key.keyring, cache=cache)
    return Context(in_root(Path("/")), (source,), lists_folder(frozen, cache=cache), cache, "amd64")


@pytest.fixture(scope="module")
def base(ctx: Context) -> Solution:
    return solve_base(ctx, "stable")


def names(solution: Solution) -> list[str]:
    return [package.name for package in solution.packages]


def test_the_base_is_essential_packages_required_ones_and_apt(base: Solution) -> None:
    assert names(base) == ["apt", "base", "core", "libc", "mawk", "tz", "usr-is-merged"]
    assert base.below is None


def test_without_the_hook_usrmerge_may_come_in(ctx: Context) -> None:
    assert "usr-is-merged" in names(solve_base(ctx, "stable", merged_usr=False, include=["extra"]))
    assert "extra" in names(solve_base(ctx, "stable", include=["extra"]))


def test_packages_carry_what_is_needed_to_fetch_and_check_them(base: Solution, archive: Any) -> None:
    libc = next(package for package in base.packages if package.name == "libc")
    assert (libc.version, libc.architecture) == ("2:1.0", "amd64")
    deb = archive.folder / "pool" / "libc_2%3a1.0_amd64.deb"
    assert libc.size_bytes == deb.stat().st_size
    assert libc.uri.endswith("/pool/libc_2%253a1.0_amd64.deb")


@pytest.mark.parametrize(
    ("asked", "recommends", "chosen"),
    [
        pytest.param(["server"], False, {"server": "2.0"}, id="newest, alone"),
        pytest.param(["server"], True, {"server": "2.0", "extra": "1.0"}, id="with what it recommends"),
        pytest.param(["server=1.0"], False, {"server": "1.0"}, id="a version by name"),
        pytest.param(["libc", "core"], False, {}, id="installed already"),
        pytest.param([], False, {}, id="nothing asked"),
    ],
)
def test_packages_on_top(
    asked: list[str], recommends: bool, chosen: Mapping[str, str], ctx: Context, base: Solution
) -> None:
    solution = solve_packages(ctx, base, asked, recommends=recommends)
    assert {package.name: package.version for package in solution.packages} == chosen
    assert solution.below == base
    assert solution.removed == ()


def test_what_has_to_go_is_said(ctx: Context, base: Solution) -> None:
    solution = solve_packages(ctx, base, ["rival"], recommends=False)
    assert (names(solution), solution.removed) == (["rival"], (("tz", "all"),))
    assert ("tz", "all") not in solution.installed


def test_an_upgrade_comes_first_and_is_part_of_the_step(ctx: Context, base: Solution) -> None:
    old = solve_packages(ctx, base, ["server=1.0"], recommends=False)
    new = solve_packages(ctx, old, ["extra"], recommends=False, upgrade=True)
    assert {package.name: package.version for package in new.packages} == {"server": "2.0", "extra": "1.0"}
    assert names(solve_packages(ctx, old, ["extra"], recommends=False)) == ["extra"]
    assert names(solve_packages(ctx, new, [], recommends=False, upgrade=True)) == []


def test_pins_of_the_build_count(ctx: Context, base: Solution) -> None:
    pinned = replace(ctx, preferences={"server": "Package: server\nPin: version 1.*\nPin-Priority: 1001\n"})
    assert solve_packages(pinned, base, ["server"], recommends=False).packages[0].version == "1.0"


def test_settings_of_the_build_count(ctx: Context, base: Solution) -> None:
    eager = replace(ctx, apt_conf='APT::Install-Suggests "true";')
    assert names(solve_packages(eager, base, ["server=1.0"], recommends=False)) == ["server", "usrmerge"]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        pytest.param(["nosuch"], "Unable to locate package nosuch", id="no such package"),
        pytest.param(["server=9"], "Version '9' for 'server' was not found", id="no such version"),
        pytest.param(["broken"], "broken : Depends: nowhere", id="cannot be installed"),
        pytest.param(["-oDebug::pkgProblemResolver=1"], "Unable to locate package", id="an option is no package"),
    ],
)
def test_no_solution_is_said_in_apts_words(asked: list[str], said: str, ctx: Context, base: Solution) -> None:
    with pytest.raises(PipelineError) as caught:
        solve_packages(ctx, base, asked, recommends=False)
    assert said in str(caught.value)


def test_the_hosts_settings_do_not_count(ctx: Context, base: Solution, tmp_path: Path) -> None:
    hostile = tmp_path / "99hostile"
    hostile.write_text('APT::Install-Recommends "true";\nAPT::Default-Release "nosuch";\nDir::State::status "/x";\n')
    plain = ctx.run_in_root

    def with_hostile(argv: Any, binds: Any) -> str:
        return plain(argv, [Bind(hostile.parent, "/etc/apt/apt.conf.d"), *binds])

    assert names(solve_packages(replace(ctx, run_in_root=with_hostile), base, ["server"], recommends=False)) == [
        "server"
    ]


def test_the_builds_own_packages_come_first(ctx: Context, base: Solution, tmp_path: Path) -> None:
    own = local_archive.LocalArchive(tmp_path / "own", None)
    own.add("server", "3.0", Depends="extra")
    own.add("server", "4.0", architecture="arm64")
    local = with_local_packages(ctx, tmp_path / "own/pool")
    solution = solve_packages(local, base, ["server"], recommends=False)
    assert {package.name: package.version for package in solution.packages} == {"server": "3.0", "extra": "1.0"}
    assert solution.packages[1].uri.startswith("file:/packages/")
    assert with_local_packages(local, tmp_path).lists == local.lists
    # The state it leads to can be built on, as long as the same packages are there
    assert names(solve_packages(local, solution, ["rival"], recommends=False)) == ["rival"]


def test_nothing_is_left_mounted_or_changed(ctx: Context, base: Solution) -> None:
    before = Path("/proc/self/mountinfo").read_text()
    listed = sorted(Path("/mnt").iterdir())
    solve_packages(ctx, base, ["server"], recommends=False)
    with pytest.raises(PipelineError):
        solve_packages(ctx, base, ["nosuch"], recommends=False)
    assert Path("/proc/self/mountinfo").read_text() == before
    assert sorted(Path("/mnt").iterdir()) == listed


def test_a_killed_parent_leaves_no_process() -> None:
    mark = f"sleep 98{os.getpid()}"
    code = (
        "from pathlib import Path; from image_builder.apt.solve import in_root; "
        f"in_root(Path('/'))({mark.split()!r}, [])"
    )
    child = subprocess.Popen([sys.executable, "-c", code])

    def running() -> bool:
        lines = [p.read_bytes() for p in Path("/proc").glob("[0-9]*/cmdline") if _readable(p)]
        return any(line == mark.replace(" ", "\0").encode() + b"\0" for line in lines)

    def wait_for(state: bool) -> bool:
        end = time.monotonic() + 60
        while running() != state and time.monotonic() < end:
            time.sleep(0.02)
        return running() == state

    try:
        assert wait_for(True)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert wait_for(False)


def _readable(path: Path) -> bool:
    try:
        path.read_bytes()
    except OSError:  # gone meanwhile
        return False
    return True


@pytest.mark.full
@pytest.mark.parametrize("suite", ["trixie", "bookworm"])
def test_mmdebstrap_installs_the_solution_and_downloads_nothing(suite: str, tmp_path: Path) -> None:
    """The real archive, frozen and fetched beforehand; every address apt could ask is a closed port then."""
    cache = tmp_path / "cache"
    now = datetime.now(UTC)
    sources = debian(suite, "amd64")
    pins = freeze(sources, keyring=DEBIAN_KEYRING, cache=cache, now=now)
    lists = lists_folder(thaw(pins, sources, keyring=DEBIAN_KEYRING, cache=cache), cache=cache)
    ctx = Context(in_root(Path("/")), tuple(sources), lists, cache, "amd64")
    base = solve_base(ctx, suite)
    more = solve_packages(ctx, base, ["systemd-sysv", "openssh-server"], recommends=False)
    prefetch(total([base, more]), blobs(cache))
    step = hand_over(lists, total([base, more]), blobs(cache), tmp_path / "step")
    target = tmp_path / "root"
    for folder in ("var/lib/apt/lists", "var/cache/apt"):
        (target / folder).mkdir(parents=True)
    (tmp_path / "sources.list").write_text("".join(source.line() + "\n" for source in sources))
    offline = "Acquire::http::Proxy=http://127.0.0.1:9"
    script = f"""set -eu; cd {tmp_path}
        for at in var/lib/apt/lists var/cache/apt; do mount --bind step/$at root/$at; done
        mmdebstrap --mode=root --variant=minbase --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr \
            --dpkgopt=force-unsafe-io --aptopt='Acquire::http::Proxy "http://127.0.0.1:9"' "$@" \
            {suite} root - <sources.list
        list() {{ chroot root dpkg-query -W -f '${{Package}} ${{Version}} ${{Architecture}}\\n' > "$1"; }}
        list base
        DEBIAN_FRONTEND=noninteractive chroot root apt-get -y -o {offline} -o APT::Install-Recommends=false \
            install systemd-sysv openssh-server
        list full"""
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", *MMDEBSTRAP_OPTIONS]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
    for file, solution in (("base", base), ("full", more)):
        chosen = {f"{p.name} {p.version} {p.architecture}" for p in solution.installed.values()}
        assert set((tmp_path / file).read_text().splitlines()) == chosen
    assert check_lists(step.lists, Lock(created=now, archives=tuple(pins))) == []
