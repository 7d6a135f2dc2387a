"""Plain live-build in a pinned network: `lb build noauto` behind the proxy, by the best way this machine allows."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from image_builder.build.archive import Archive
from image_builder.build.network import known_file
from image_builder.errors import CommandError, SurroundingsError
from image_builder.run import run
from image_builder.sandbox.namespaces import private_mounts, root_is_mount
from image_builder.sandbox.network import network_namespace
from image_builder.scratch import scratch
from proxy import process
from proxy.network import owner
from proxy.network.files import hosts, resolv_conf
from proxy.network.gate import Gate
from proxy.network.rules import Ports, ports_of
from proxy.network.selftest import check_known, check_namespace

FOLDER = "snapshot-proxy"  # in the project: the journal of the last such build
PROXY_VARIABLES = ("http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY")

# Words: resolv.conf, hosts, then the command. In a PID namespace, so that nothing of it is left when it ends.
BEHIND = """
mount -t proc proc /proc
mount --bind "$1" "$(realpath /etc/resolv.conf)"
mount --bind "$2" /etc/hosts
shift 2
exec "$@"
"""


@dataclass(frozen=True)
class Way:
    """How a command is led to the proxy. before: words to put before it. environment: to add to its own."""

    name: str
    proxy: process.Running
    before: tuple[str, ...] = ()
    environment: Mapping[str, str] | None = None


def build(archive: Archive, folder: Path, say: Callable[[str], None]) -> int:
    """Run `lb build noauto` in a folder and return its exit status. archive: with its lock, see Archive.pinned()."""
    assert archive.lock is not None
    journal = folder / FOLDER
    shutil.rmtree(journal, ignore_errors=True)
    with way(archive, journal, say) as found:
        say(f"lb build behind the snapshot proxy, {found.name}; every request: {found.proxy.journal}")
        environment = {name: value for name, value in os.environ.items() if name not in PROXY_VARIABLES}
        environment |= {"SOURCE_DATE_EPOCH": str(archive.lock.epoch()), **(found.environment or {})}
        status = _ended(["setpriv", "--pdeathsig", "KILL", *found.before, "lb", "build", "noauto"], folder, environment,
                        found.proxy)  # fmt: skip
        said = found.proxy.stop()
        say(f"proxy: {said['requests']} requests, {said['from_store']} from the store, {said['refused']} refused")
        return status


@contextmanager
def way(archive: Archive, journal: Path, say: Callable[[str], None]) -> Iterator[Way]:
    """The best of the three ways that this machine allows. Raises SurroundingsError."""
    with ExitStack() as stack:
        try:
            namespace = stack.enter_context(network_namespace())
        except SurroundingsError as e:
            say(f"{e.what}: the next best way is taken")
            namespace = None
        if namespace is not None:
            yield stack.enter_context(_by_namespace(archive, journal, namespace))
        elif os.geteuid() == 0 and owner.allowed():
            yield stack.enter_context(_by_owner(archive, journal))
        else:
            yield stack.enter_context(_by_variable(archive, journal))


@contextmanager
def _by_namespace(archive: Archive, journal: Path, namespace: Path) -> Iterator[Way]:
    with (
        Gate(namespace, _ports(archive)) as gate,
        scratch(archive.cache) as seen,
        process.start(archive.frozen_set(), archive.blobs.folder, journal, in_namespace=namespace) as proxy,
    ):
        gate.open(proxy.port)
        check_namespace(namespace, known_file(archive))
        gate.forget()
        (seen / "resolv.conf").write_text(resolv_conf())
        (seen / "hosts").write_text(hosts(os.uname().nodename))
        command = private_mounts(
            ["sh", "-euc", BEHIND, "sh", str(seen / "resolv.conf"), str(seen / "hosts")],
            root_is_mount=root_is_mount(),
            also=["--pid", "--fork", "--kill-child"],
        )
        yield Way("in a network namespace", proxy, ("nsenter", f"--net={namespace}", *command))
        tried = "".join(f"{refused}: {refused.packets} packets\n" for refused in gate.refused())
        (journal / "blocked.log").write_text(tried)


@contextmanager
def _by_owner(archive: Archive, journal: Path) -> Iterator[Way]:
    with owner.claimed():
        frozen = archive.frozen_set()
        listen = [f"127.0.0.1:{owner.PORT}"]
        with (
            process.start(frozen, archive.blobs.folder, journal, listen=listen, group=owner.GROUP) as proxy,
            owner.redirected(_ports(archive)),
        ):
            if (known := known_file(archive)) is not None:
                check_known(known)
            yield Way(f"by a redirect of this machine's port 80 to {owner.PORT}", proxy)


@contextmanager
def _by_variable(archive: Archive, journal: Path) -> Iterator[Way]:
    with process.start(archive.frozen_set(), archive.blobs.folder, journal) as proxy:
        address = f"http://127.0.0.1:{proxy.port}"
        yield Way("by http_proxy, which programs may ignore", proxy, environment={"http_proxy": address})


def _ports(archive: Archive) -> Ports:
    return ports_of(source.uri for source in archive.sources)


def _ended(command: list[str], folder: Path, environment: Mapping[str, str], proxy: process.Running) -> int:
    """Its exit status. When the proxy dies, the command is ended too. Raises SurroundingsError then."""
    try:
        child = subprocess.Popen(command, cwd=folder, env=dict(environment), stdin=subprocess.DEVNULL, process_group=0)
    except OSError as e:
        raise CommandError(str(e), where="lb build", hint="apt-get install live-build") from e

    def end() -> None:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)

    def watch() -> None:
        proxy.died.wait()
        end()

    threading.Thread(target=watch, daemon=True).start()
    try:
        status = child.wait()
    except BaseException:
        end()
        child.wait()
        raise
    proxy.check()
    return status


def host_live_build() -> str:
    """The version of the host's live-build. Raises SurroundingsError where there is none."""
    try:
        return run(["dpkg-query", "-W", "-f", "${Version}", "live-build"])
    except CommandError as e:
        raise SurroundingsError("live-build is not installed", where="lb", hint="apt-get install live-build") from e
