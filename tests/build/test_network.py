"""What is said of a build's network, and the one that is not pinned."""

from __future__ import annotations

from image_builder.build.network import OpenNetwork, View, counted, gone, tried_in_vain
from image_builder.build.record import NetworkRecord
from proxy.journal import Counters


def test_what_was_wanted_in_vain_is_a_warning() -> None:
    assert tried_in_vain(NetworkRecord(pinned=True)) == []
    record = NetworkRecord(
        pinned=True,
        refusals={f"http://elsewhere/{number}": "403 not frozen" for number in range(7)},
        blocked={"tcp 192.0.2.1 port 22": 3},
    )
    refused, blocked = tried_in_vain(record)
    assert refused.startswith("the proxy refused http://elsewhere/0 (403 not frozen); ")
    assert refused.endswith("http://elsewhere/4 (403 not frozen); and 2 more")
    assert blocked == "no way out for tcp 192.0.2.1 port 22, 3 packets"


def test_the_line_of_counters() -> None:
    counters = Counters(requests=12, sent_bytes=3 << 20, from_store=10, refused=1)
    assert counted(counters) == "proxy: 12 requests, 3.0 MB; 10 from the store, 1 refused"


def test_an_open_network_is_the_hosts_and_says_so() -> None:
    network = OpenNetwork(used=True)
    assert network.view() == View()
    assert network.view().handle == "host"
    assert gone(network) is None
    assert network.record() == NetworkRecord(pinned=False)
    assert network.warnings()[0].startswith("NOT PINNED")


def test_a_build_without_steps_has_no_network() -> None:
    assert OpenNetwork(used=False).record() is None
    assert OpenNetwork(used=False).warnings() == []
