"""Rules a namespace it is handed, and watches what is tried there in vain."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from image_builder.errors import CommandError, SurroundingsError
from image_builder.run import run
from proxy.network import rules
from proxy.network.names import Names

NFT_HINT = "apt-get install nftables; the kernel needs nf_tables with nft_redir"


class Gate:
    """The way from one namespace to a proxy that listens in it. It ends with the namespace; close() ends the names."""

    def __init__(self, namespace: Path, ports: rules.Ports) -> None:
        """Until open() is called nothing is reached. Raises SurroundingsError."""
        self.namespace, self.ports, self._is_open = namespace, ports, False
        self.names = Names(namespace)

    def open(self, proxy_port: int) -> None:
        """Redirect the ports to the proxy, which listens on this port of 127.0.0.1; refuse all else."""
        text = rules.for_namespace(proxy_port=proxy_port, names_port=self.names.port, ports=self.ports)
        self._nft("-f", "-", stdin=text)
        self._is_open = True

    def refused(self) -> list[rules.Refused]:
        """What was tried beside the proxy up to now; empty before open()."""
        if not self._is_open:
            return []
        return rules.refused(self._nft("--json", "list", "table", "inet", rules.TABLE))

    def forget(self) -> None:
        """Forget what was refused and asked up to now: the self-test's own tries."""
        self._nft("-f", "-", stdin="".join(f"flush set inet {rules.TABLE} {name}\n" for name in rules.SETS))
        self.names.asked.clear()

    def close(self) -> None:
        self.names.close()

    def __enter__(self) -> Gate:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _nft(self, *words: str, stdin: str | None = None) -> str:
        return nft(*words, stdin=stdin, before=("nsenter", f"--net={self.namespace}"))


def nft(*words: str, stdin: str | None = None, before: tuple[str, ...] = ()) -> str:
    """Run nft. Raises SurroundingsError with its complaint."""
    try:
        return run([*before, "nft", *words], stdin=stdin, hint=NFT_HINT, timeout_s=30)
    except CommandError as e:
        raise SurroundingsError(e.what, where=e.where, hint=NFT_HINT) from e
