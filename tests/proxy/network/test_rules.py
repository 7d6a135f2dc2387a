"""What nftables is told and says: ports from addresses, and refusals from its JSON."""

from __future__ import annotations

import json

import pytest

from proxy.network.rules import Ports, Refused, for_namespace, for_owner, ports_of, refused


@pytest.mark.parametrize(
    ("uris", "everywhere", "loopback"),
    [
        pytest.param([], {80, 443}, set(), id="none"),
        pytest.param(["http://deb.debian.org/debian", "https://a.example/b"], {80, 443}, set(), id="usual ports"),
        pytest.param(["http://mirror.lan:8080/debian"], {80, 443, 8080}, set(), id="a port of its own"),
        pytest.param(["http://127.0.0.1:40123", "http://localhost"], {80, 443}, {80, 40123}, id="on loopback"),
        pytest.param(["file:/packages", "copy:/srv/x"], {80, 443}, set(), id="no network"),
    ],
)
def test_ports(uris: list[str], everywhere: set[int], loopback: set[int]) -> None:
    assert ports_of(uris) == Ports(frozenset(everywhere), frozenset(loopback))


def test_loopback_is_redirected_only_where_an_archive_is() -> None:
    plain = for_namespace(proxy_port=1, names_port=2, ports=Ports())
    local = for_namespace(proxy_port=1, names_port=2, ports=Ports(loopback=frozenset({4000})))
    assert "daddr 127.0.0.0/8 tcp" not in plain
    assert local.index("tcp dport { 4000 } redirect to :1") < local.index("daddr 127.0.0.0/8 return")


def test_the_proxy_itself_is_not_redirected() -> None:
    text = for_owner("t", proxy_port=8080, group=7, ports=Ports(loopback=frozenset({4000})))
    assert text.index("skgid 7 return") < text.index("dport { 4000 } redirect to :8080")
    assert "dport { 80 } redirect to :8080" in text
    assert "443" not in text


def test_refused_is_read_from_the_sets() -> None:
    def element(packets: int, *concat: object) -> dict[str, object]:
        return {"elem": {"val": {"concat": list(concat)}, "counter": {"packets": packets, "bytes": 60}}}

    listing = {
        "nftables": [
            {"metainfo": {"version": "1.0.6"}},
            {"set": {"name": "refused4", "elem": [element(1, "192.0.2.1", "tcp", 81)]}},
            {"set": {"name": "refused6", "elem": [element(3, "2001:db8::1", 17, 53)]}},
            {"set": {"name": "portless6", "elem": [element(1, "2001:db8::1", "ipv6-icmp")]}},
            {"set": {"name": "portless4"}},
            {"rule": {"expr": []}},
        ]
    }
    found = refused(json.dumps(listing))
    assert found == [
        Refused("udp", "2001:db8::1", 53, 3),
        Refused("icmpv6", "2001:db8::1", 0, 1),
        Refused("tcp", "192.0.2.1", 81, 1),
    ]
    assert [str(one) for one in found] == ["udp [2001:db8::1] port 53", "icmpv6 [2001:db8::1]", "tcp 192.0.2.1 port 81"]
