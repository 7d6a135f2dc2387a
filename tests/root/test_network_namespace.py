"""The one way out of a namespace, tried from within: to a stand-in for the proxy, and past it."""

from __future__ import annotations

import hashlib
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from inside_network import StandIn, run_inside, stand_in

from image_builder.errors import CommandError, SurroundingsError
from image_builder.sandbox.network import network_namespace
from proxy.network.entering import inside
from proxy.network.gate import Gate
from proxy.network.names import Question
from proxy.network.rules import ANY_NAME_ADDRESS, NAMES_ADDRESS, Ports, Refused
from proxy.network.selftest import Known, check_namespace

pytestmark = pytest.mark.root
INRELEASE = b"signed\n"
URL = "http://archive.example/dists/stable/InRelease"
KNOWN = Known(URL, hashlib.sha256(INRELEASE).hexdigest())


class Net:
    """A namespace with its gate open to a stand-in."""

    def __init__(self, handle: Path, gate: Gate, proxy: StandIn) -> None:
        self.handle, self.gate, self.proxy = handle, gate, proxy

    def tries(self, family: int, kind: int, address: str, port: int) -> str:
        """Connect, and for UDP send; "reached", or the error's name."""
        with inside(self.handle):
            sock = socket.socket(family, kind)
        with closing(sock):
            sock.settimeout(5)
            try:
                sock.connect((address, port))
                if kind == socket.SOCK_DGRAM:
                    sock.send(b"x")
                    sock.recv(1)
            except OSError as e:
                return type(e).__name__
            return "reached"

    def refused(self, protocol: str, address: str, port: int) -> bool:
        return any((r.protocol, r.address, r.port) == (protocol, address, port) for r in self.gate.refused())


@pytest.fixture
def net() -> Iterator[Net]:
    files = {URL.removeprefix("http://"): INRELEASE}
    with network_namespace() as handle, Gate(handle, Ports()) as gate, stand_in(handle, files) as proxy:
        gate.open(proxy.port)
        yield Net(handle, gate, proxy)


def test_the_self_test_passes(net: Net) -> None:
    check_namespace(net.handle, KNOWN)
    assert net.proxy.asked == ["snapshot-proxy.invalid/", "archive.example/dists/stable/InRelease"]


def test_any_address_on_port_80_is_the_proxy(net: Net) -> None:
    for host in ("93.184.216.34", "10.0.0.1", "169.254.169.254"):
        status = run_inside(net.handle, "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", f"http://{host}/secret")
        assert status == "403"
    assert net.proxy.asked[-1] == "169.254.169.254/secret"


@pytest.mark.parametrize(
    ("family", "kind", "address", "port"),
    [
        pytest.param(socket.AF_INET, socket.SOCK_STREAM, "93.184.216.34", 8080, id="another port"),
        pytest.param(socket.AF_INET, socket.SOCK_STREAM, "93.184.216.34", 22, id="ssh"),
        pytest.param(socket.AF_INET, socket.SOCK_DGRAM, "93.184.216.34", 443, id="quic"),
        pytest.param(socket.AF_INET, socket.SOCK_DGRAM, "93.184.216.34", 853, id="dns over quic"),
        pytest.param(socket.AF_INET6, socket.SOCK_STREAM, "2606:2800::1", 80, id="ipv6 http"),
        pytest.param(socket.AF_INET6, socket.SOCK_STREAM, "2606:2800::1", 443, id="ipv6 https"),
        pytest.param(socket.AF_INET6, socket.SOCK_DGRAM, "2606:2800::1", 53, id="ipv6 dns"),
    ],
)
def test_everything_else_is_refused_at_once_and_noted(
    net: Net, family: int, kind: int, address: str, port: int
) -> None:
    began = time.monotonic()
    assert net.tries(family, kind, address, port) in ("ConnectionRefusedError", "PermissionError", "OSError")
    assert time.monotonic() - began < 20, "without an answer it would take two minutes"
    assert net.refused("tcp" if kind == socket.SOCK_STREAM else "udp", address, port)


def test_ping_is_refused(net: Net) -> None:
    with inside(net.handle):
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    with closing(raw), pytest.raises(PermissionError):
        raw.sendto(struct.pack(">BBHHH", 8, 0, 0xF7FE, 1, 0), ("93.184.216.34", 0))
    assert Refused("icmp", "93.184.216.34", 0, 1) in net.gate.refused()


def ask(handle: Path, server: str, kind: int, *, tcp: bool = False) -> bytes:
    """The answer to a question for data.leak.example, from whoever answers at this address."""
    message = struct.pack(">HHHHHH", 9, 0x0100, 1, 0, 0, 0) + b"\x04data\x04leak\x07example\0"
    message += struct.pack(">HH", kind, 1)
    with inside(handle):
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM)
    with closing(sock):
        sock.settimeout(5)
        sock.connect((server, 53))
        sock.sendall((len(message).to_bytes(2, "big") if tcp else b"") + message)
        answer = sock.recv(512)
        return answer[2:] if tcp else answer


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
@pytest.mark.parametrize("server", [NAMES_ADDRESS, "8.8.8.8"])
def test_names_end_at_our_own_server_whoever_is_asked(net: Net, server: str, tcp: bool) -> None:
    assert ask(net.handle, server, 1, tcp=tcp)[-4:] == socket.inet_aton(ANY_NAME_ADDRESS)
    text = ask(net.handle, server, 16, tcp=tcp)
    assert struct.unpack(">H", text[6:8]) == (0,)
    assert net.gate.names.asked == {Question("data.leak.example", "A"): 1, Question("data.leak.example", "TXT"): 1}


def test_hooks_may_talk_to_their_own_daemons(net: Net) -> None:
    with inside(net.handle):
        daemon = socket.create_server(("127.0.0.1", 5432))
    with closing(daemon):
        assert net.tries(socket.AF_INET, socket.SOCK_STREAM, "127.0.0.1", 5432) == "reached"


def test_before_it_is_open_nothing_is_reached() -> None:
    with network_namespace() as handle, Gate(handle, Ports()), pytest.raises(CommandError):
        run_inside(handle, "curl", "-sS", "http://93.184.216.34/")


def test_without_its_rules_nothing_is_reached_either(net: Net) -> None:
    """A step is root and may take the rules away: it has no link, so it gains nothing."""
    run_inside(net.handle, "nft", "flush", "ruleset")
    assert net.tries(socket.AF_INET, socket.SOCK_STREAM, "93.184.216.34", 80) == "ConnectionRefusedError"
    assert net.tries(socket.AF_INET, socket.SOCK_STREAM, "93.184.216.34", 8080) == "ConnectionRefusedError"


def test_an_archive_on_loopback_with_a_port_of_its_own() -> None:
    ports, files = Ports(loopback=frozenset({4321})), {"127.0.0.1:4321/x": b"found"}
    with network_namespace() as handle, Gate(handle, ports) as gate, stand_in(handle, files) as proxy:
        gate.open(proxy.port)
        assert run_inside(handle, "curl", "-sS", "http://127.0.0.1:4321/x") == "found"


@pytest.mark.parametrize(
    ("fault", "said"),
    [("header", "somebody else than the proxy"), ("bytes", "another file"), ("silent", "does not answer")],
)
def test_the_self_test_says_what_is_wrong(fault: str, said: str) -> None:
    files = {URL.removeprefix("http://"): b"unsigned" if fault == "bytes" else INRELEASE}
    header = "Server" if fault == "header" else "X-Snapshot"
    with (
        network_namespace() as handle,
        Gate(handle, Ports()) as gate,
        stand_in(handle, files, header=header) as proxy,
    ):
        gate.open(9 if fault == "silent" else proxy.port)
        with pytest.raises(SurroundingsError, match=said):
            check_namespace(handle, KNOWN)


def test_the_self_test_finds_a_way_past_the_proxy(net: Net) -> None:
    run_inside(net.handle, "nft", "delete", "chain", "inet", "snapshot_proxy", "refuse")
    with inside(net.handle):
        leak = socket.create_server(("", 81))
    with closing(leak), pytest.raises(SurroundingsError, match="can be reached past the proxy"):
        check_namespace(net.handle, KNOWN)


def namespaces() -> set[str]:
    """Every network namespace some process or descriptor holds."""
    found = set()
    for path in (*Path("/proc").glob("[0-9]*/ns/net"), *Path("/proc").glob("[0-9]*/fd/*")):
        try:
            name = str(path.readlink())
        except OSError:
            continue
        if name.startswith("net:["):
            found.add(name)
    return found


HOLDER = """
import subprocess, sys, time
from image_builder.sandbox.network import network_namespace
from proxy.network.gate import Gate
from proxy.network.rules import Ports
with network_namespace() as handle, Gate(handle, Ports()) as gate:
    gate.open(9)
    print(subprocess.run(["readlink", str(handle)], capture_output=True, text=True).stdout, flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_when_its_process_is_killed(by: signal.Signals) -> None:
    host_rules = subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout
    links = sorted(path.name for path in Path("/sys/class/net").iterdir())
    with subprocess.Popen([sys.executable, "-c", HOLDER], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        name = child.stdout.readline().strip()
        assert name in namespaces()
        child.send_signal(by)
    assert name not in namespaces()
    assert subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout == host_rules
    assert sorted(path.name for path in Path("/sys/class/net").iterdir()) == links


def test_where_namespaces_are_not_allowed_it_says_so() -> None:
    code = "from image_builder.sandbox.network import network_namespace\nwith network_namespace(): pass"
    command = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin", sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "no network namespace can be made: Operation not permitted" in done.stderr
