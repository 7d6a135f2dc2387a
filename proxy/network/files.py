"""The files a process behind the proxy has to see instead of its own: names, and whom to trust. Pure."""

from __future__ import annotations

from proxy.network.rules import NAMES_ADDRESS

CA_BUNDLE = "etc/ssl/certs/ca-certificates.crt"  # what apt, wget and curl of Debian read
CA_MARK = b"# of the snapshot proxy, for this build only\n"


def resolv_conf() -> str:
    """No search list: a name is asked for as it is. One quick second try, since nobody can lose the question."""
    return f"nameserver {NAMES_ADDRESS}\noptions timeout:2 attempts:2\n"


def hosts(hostname: str) -> str:
    """Without the host's own entries, which could name an archive."""
    return f"127.0.0.1 localhost {hostname}\n::1 localhost ip6-localhost ip6-loopback\n"


def trusting(bundle: bytes, ca: bytes) -> bytes:
    """A bundle of certificates with the CA of this build at its end."""
    newline = b"" if not bundle or bundle.endswith(b"\n") else b"\n"
    return bundle + newline + block(ca)


def without(data: bytes, ca: bytes) -> bytes:
    """The same file without that CA, with and without our mark."""
    return data.replace(block(ca), b"").replace(_ended(ca), b"")


def block(ca: bytes) -> bytes:
    return CA_MARK + _ended(ca)


def body(ca: bytes) -> bytes:
    """The first line of the certificate that no other one has: where this is found, the CA is.

    Lines of base64 that are the same in two certificates hold the version and algorithm only.
    """
    lines = [line for line in ca.splitlines() if line and not line.startswith(b"-----")]
    return lines[len(lines) // 2]


def _ended(ca: bytes) -> bytes:
    return ca if ca.endswith(b"\n") else ca + b"\n"
