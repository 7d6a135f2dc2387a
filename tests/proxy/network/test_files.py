"""Files for a process behind the proxy: trust is added at the end, and can be taken away again."""

from __future__ import annotations

import pytest

from proxy.network.files import body, hosts, resolv_conf, trusting, without

CA = b"-----BEGIN CERTIFICATE-----\nMIIC\nQ0EgbWFkZSBmb3IgYSB0ZXN0\nAAAA\n-----END CERTIFICATE-----\n"


@pytest.mark.parametrize("bundle", [b"", b"one\n", b"no line end"])
def test_what_was_added_can_be_taken_away(bundle: bytes) -> None:
    added = trusting(bundle, CA)
    assert added.startswith(bundle)
    assert CA in added
    assert without(added, CA).rstrip(b"\n") == bundle.rstrip(b"\n")


def test_without_finds_it_also_where_our_mark_is_gone() -> None:
    assert without(b"a\n" + CA + b"b\n", CA) == b"a\nb\n"


def test_its_body_is_in_it_and_in_nobody_elses() -> None:
    assert body(CA) in trusting(b"", CA)
    assert body(CA) not in (b"MIIC", b"AAAA")


def test_names_go_to_our_server_only() -> None:
    assert [line for line in resolv_conf().splitlines() if line.startswith("nameserver")] == ["nameserver 192.0.2.53"]
    assert "127.0.0.1 localhost builder\n" in hosts("builder")
