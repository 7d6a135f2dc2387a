"""What nftables is told, and what it says was refused. Pure.

In a build's namespace every address is the namespace's own (sandbox/network.py), so a connection to any of them can be
redirected to the proxy, which listens there. What is not redirected ends in a refusal and is noted in a set.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

TABLE = "snapshot_proxy"
NAMES_ADDRESS = "192.0.2.53"  # the name server; TEST-NET-1, nobody's address
ANY_NAME_ADDRESS = "192.0.2.80"  # what every name resolves to
WEB_PORTS = frozenset({80, 443})
SETS = ("refused4", "refused6", "portless4", "portless6")
OTHER_PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6"}


@dataclass(frozen=True)
class Refused:
    """A way out that was tried in vain. protocol: "tcp", "udp", "icmp" or a number; port: 0 where there is none."""

    protocol: str
    address: str
    port: int
    packets: int

    def __str__(self) -> str:
        at = f"[{self.address}]" if ":" in self.address else self.address
        return f"{self.protocol} {at}" + (f" port {self.port}" if self.port else "")


@dataclass(frozen=True)
class Ports:
    """TCP ports that lead to the proxy. loopback: also on 127.0.0.0/8, for an archive that is served there."""

    everywhere: frozenset[int] = WEB_PORTS
    loopback: frozenset[int] = frozenset()


def ports_of(uris: Iterable[str]) -> Ports:
    """The ports that archives at these addresses are served on, beside 80 and 443.

    >>> sorted(ports_of(["http://mirror.example:8080/debian"]).everywhere)
    [80, 443, 8080]
    """
    everywhere, loopback = set(WEB_PORTS), set[int]()
    for uri in uris:
        parts = urlsplit(uri)
        if parts.scheme not in ("http", "https"):
            continue
        port = parts.port or (443 if parts.scheme == "https" else 80)
        host = parts.hostname or ""
        (loopback if host == "localhost" or host.startswith("127.") else everywhere).add(port)
    return Ports(frozenset(everywhere), frozenset(loopback))


def for_namespace(*, proxy_port: int, names_port: int, ports: Ports) -> str:
    """Rules of a build's namespace: the archive's ports to the proxy, names to our name server, all else refused.

    Both listen on 127.0.0.1 in the namespace. Loopback stays free: hooks start daemons and talk to them.
    """
    loopback = (
        f"ip daddr 127.0.0.0/8 tcp dport {_set(ports.loopback)} redirect to :{proxy_port}" if ports.loopback else ""
    )
    return f"""\
table inet {TABLE} {{
	set refused4 {{ typeof ip daddr . meta l4proto . th dport; flags dynamic; size 65536; counter; }}
	set refused6 {{ typeof ip6 daddr . meta l4proto . th dport; flags dynamic; size 65536; counter; }}
	set portless4 {{ typeof ip daddr . meta l4proto; flags dynamic; size 65536; counter; }}
	set portless6 {{ typeof ip6 daddr . meta l4proto; flags dynamic; size 65536; counter; }}
	chain out {{
		type nat hook output priority -100;
		{loopback}
		ip daddr 127.0.0.0/8 return
		meta nfproto ipv4 udp dport 53 redirect to :{names_port}
		meta nfproto ipv4 tcp dport 53 redirect to :{names_port}
		meta nfproto ipv4 tcp dport {_set(ports.everywhere)} redirect to :{proxy_port}
	}}
	chain refuse {{
		type filter hook output priority 0; policy drop;
		ct state established,related accept
		ip daddr 127.0.0.0/8 accept
		ip6 daddr ::1 accept
		meta l4proto {{ tcp, udp }} update @refused4 {{ ip daddr . meta l4proto . th dport }}
		meta l4proto {{ tcp, udp }} update @refused6 {{ ip6 daddr . meta l4proto . th dport }}
		meta l4proto != {{ tcp, udp }} update @portless4 {{ ip daddr . meta l4proto }}
		meta l4proto != {{ tcp, udp }} update @portless6 {{ ip6 daddr . meta l4proto }}
		meta l4proto tcp reject with tcp reset
		reject with icmpx admin-prohibited
	}}
}}
"""


def for_owner(table: str, *, proxy_port: int, group: int, ports: Ports) -> str:
    """Rules of the host itself: everybody's connections to these ports go to the proxy, but for the proxy's own.

    table: a name of its own, so that removing the table removes all. group: the proxy's, and nobody else's; not a
    user, since the proxy writes into a store that is root's. IPv6 to these ports is refused, so that clients take IPv4.
    """
    everywhere = ports.everywhere - {443}  # nobody here trusts the proxy's certificates
    loopback = f"ip daddr 127.0.0.0/8 tcp dport {_set(ports.loopback)} redirect to :{proxy_port}"
    return f"""\
table inet {table} {{
	chain out {{
		type nat hook output priority -100;
		meta skgid {group} return
		{loopback if ports.loopback else ""}
		ip daddr 127.0.0.0/8 return
		meta nfproto ipv4 tcp dport {_set(everywhere)} redirect to :{proxy_port}
	}}
	chain refuse {{
		type filter hook output priority 0;
		meta skgid {group} accept
		ip6 daddr != ::1 tcp dport {_set(everywhere)} reject with tcp reset
	}}
}}
"""


def refused(listing: str) -> list[Refused]:
    """What the sets hold, most often tried first. listing: of `nft --json list table`."""
    found = []
    for item in json.loads(listing)["nftables"]:
        for element in item.get("set", {}).get("elem", ()):
            address, protocol, *port = element["elem"]["val"]["concat"]
            name = OTHER_PROTOCOLS.get(protocol, str(protocol)) if isinstance(protocol, int) else protocol
            number = port[0] if port else 0
            found.append(Refused(_name(name), address, int(number), element["elem"]["counter"]["packets"]))
    return sorted(found, key=lambda r: (-r.packets, r.protocol, r.address, r.port))


def _name(protocol: str) -> str:
    return "icmpv6" if protocol in ("ipv6-icmp", "icmp6") else protocol


def _set(ports: Collection[int]) -> str:
    return "{ " + ", ".join(str(port) for port in sorted(ports)) + " }"
