"""The sockets clients come to; those inside another network namespace are in tests/root/."""

from __future__ import annotations

import os
import socket

import pytest

from proxy.serving.namespace import SEGMENT_BYTES, UNTAKEN_BYTES, listening


def test_segments_are_those_of_ethernet_also_over_the_loopback_interface() -> None:
    (door,) = listening(["127.0.0.1:0"])
    with door, socket.create_connection(door.getsockname()) as client, door.accept()[0] as accepted:
        found = accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
        assert 1000 < found <= SEGMENT_BYTES
        if os.geteuid() == 0:
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == UNTAKEN_BYTES
        payload = bytes(range(256)) * 64
        accepted.sendall(payload)
        accepted.shutdown(socket.SHUT_WR)
        assert client.makefile("rb").read() == payload


@pytest.mark.parametrize("address", ["127.0.0.1", ":80", "localhost:http"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="no HOST:PORT"):
        listening([address])
