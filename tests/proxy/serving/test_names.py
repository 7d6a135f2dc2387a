"""The name in a TLS greeting, as OpenSSL writes it."""

from __future__ import annotations

import socket
import ssl

import pytest

from proxy.serving.names import original_address, server_name


def greeting(name: str | None) -> bytes:
    context = ssl.create_default_context()
    context.check_hostname = name is not None
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname=name).do_handshake()
    return outgoing.read()


@pytest.mark.parametrize(("name", "said"), [("deb.debian.org", "deb.debian.org"), ("93.184.216.34", ""), (None, "")])
def test_the_name_a_client_greets(name: str | None, said: str) -> None:
    assert server_name(greeting(name)) == said


def test_half_a_greeting_names_nobody() -> None:
    whole = greeting("deb.debian.org")
    names = {server_name(whole[:length]) for length in range(len(whole))}
    assert names <= {"", "deb.debian.org"}
    assert server_name(whole[:60]) == ""


def test_the_address_of_a_connection_that_was_not_redirected() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)), server.accept()[0] as connection:
            assert original_address(connection) == f"127.0.0.1:{port}"
