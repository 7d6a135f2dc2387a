"""Whom a client meant to reach before it was redirected: an address, and the name in its TLS greeting."""

from __future__ import annotations

import ipaddress
import socket
import struct

SO_ORIGINAL_DST = 80  # linux/netfilter_ipv4.h; for IPv6 it is the same number


def original_address(connection: socket.socket) -> str:
    """ "host:port" the client connected to, also when the kernel has redirected it since."""
    six = connection.family == socket.AF_INET6
    try:
        raw = connection.getsockopt(
            socket.IPPROTO_IPV6 if six else socket.IPPROTO_IP, SO_ORIGINAL_DST, 28 if six else 16
        )
        port = struct.unpack_from("!H", raw, 2)[0]
        host = ipaddress.ip_address(raw[8:24] if six else raw[4:8])
    except OSError:  # not redirected
        name = connection.getsockname()
        port, host = name[1], ipaddress.ip_address(name[0].partition("%")[0])
    return f"[{host}]:{port}" if host.version == 6 else f"{host}:{port}"


def server_name(greeting: bytes) -> str:
    """The name (SNI) in the first bytes of a TLS connection; empty if there is none, or not all of it is there."""
    try:
        at = 5 + 4 + 2 + 32  # record, handshake, version, random
        at += 1 + greeting[at]  # session
        at += 2 + int.from_bytes(greeting[at : at + 2], "big")  # ciphers
        at += 1 + greeting[at]  # compressions
        end = at + 2 + int.from_bytes(greeting[at : at + 2], "big")
        at += 2
        while at + 4 <= min(end, len(greeting)):
            kind, length = struct.unpack_from("!HH", greeting, at)
            if kind == 0:
                name = greeting[at + 9 : at + 4 + length]
                return name.decode("ascii") if len(name) == length - 5 else ""
            at += 4 + length
    except (IndexError, struct.error, UnicodeDecodeError):
        pass
    return ""
