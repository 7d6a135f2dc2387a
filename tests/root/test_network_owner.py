"""The redirect of a whole machine's port 80, in a network namespace that stands for the machine."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytestmark = pytest.mark.root
UP = "ip link set lo up && ip address add 198.51.100.1/32 dev lo && ip route add default dev lo"
MACHINE = ["unshare", "--net", "sh", "-c", f'{UP} && exec "$@"', "sh"]
HEAD = """
    import os, signal, socket, subprocess, sys, time
    from proxy.network import owner
    from proxy.network.rules import Ports

    def rules():
        return subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout

    def reached(port=80):
        try:
            socket.create_connection(("192.0.2.80", port), timeout=5).close()
        except OSError:
            return False
        return True

    def eventually(condition):
        end = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < end
            time.sleep(0.02)
"""


def on_a_machine(script: str) -> subprocess.CompletedProcess[str]:
    code = textwrap.dedent(HEAD) + textwrap.dedent(script)
    command = [*MACHINE, sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)


def test_everybodys_port_80_is_redirected_but_for_the_proxys_own() -> None:
    on_a_machine("""
        proxy = socket.create_server(("127.0.0.1", owner.PORT))
        assert owner.allowed() and rules() == ""
        with owner.claimed():
            assert not reached()
            with owner.redirected(Ports()):
                assert reached() and not reached(81) and not reached(443)
                os.setegid(owner.GROUP)
                assert not reached()
                os.setegid(0)
        assert rules() == ""
        assert not owner.LOCK.exists()
    """)


def test_it_is_gone_after_a_failure() -> None:
    on_a_machine("""
        try:
            with owner.claimed(), owner.redirected(Ports()):
                raise ZeroDivisionError
        except ZeroDivisionError:
            assert rules() == ""
    """)


HOLDER = """
with owner.claimed(), owner.redirected(Ports()):
    print("ready", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("by", ["SIGTERM", "SIGKILL"])
def test_it_is_gone_when_its_owner_is_killed(by: str, tmp_path: Path) -> None:
    holder = tmp_path / "holder.py"
    holder.write_text(textwrap.dedent(HEAD) + HOLDER)
    on_a_machine(f"""
        child = subprocess.Popen([sys.executable, {str(holder)!r}], stdout=subprocess.PIPE)
        assert child.stdout.readline() == b"ready\\n" and owner.TABLE in rules()
        child.send_signal(signal.{by})
        child.wait()
        eventually(lambda: rules() == "")
    """)


def test_what_a_kill_left_is_removed_by_the_next_start() -> None:
    on_a_machine("""
        subprocess.run(["nft", "add", "table", "inet", owner.TABLE], check=True)
        with owner.claimed():
            assert rules() == ""
    """)


def test_two_builds_cannot_both_have_the_machine() -> None:
    on_a_machine("""
        from image_builder.errors import SurroundingsError
        with owner.claimed():
            try:
                with owner.claimed():
                    raise AssertionError("both have it")
            except SurroundingsError as e:
                assert "another build redirects this machine's port 80" in str(e)
    """)


def test_where_no_rules_may_be_made_it_says_so() -> None:
    without = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", sys.executable, "-c"]
    code = "from proxy.network import owner; print(owner.allowed())"
    done = subprocess.run([*without, code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
