"""Signing a Release with GnuPG: with a key of our own, one in a file, or one of the caller's keyring."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from image_builder.errors import CommandError, ConfigError, SurroundingsError
from image_builder.run import run
from image_builder.scratch import scratch

OWN_NAME = "Archive built by image-builder"
_GPG = ("gpg", "--batch", "--quiet", "--no-tty", "--pinentry-mode", "loopback", "--passphrase", "")
_HINT = "are Debian's packages gpg and gpg-agent installed?"


@dataclass(frozen=True)
class Signer:
    """file: a secret key without passphrase. identity: which key of the caller's keyring, if there is no file."""

    file: Path | None = None
    identity: str = ""

    @classmethod
    def own(cls, folder: Path, at: int) -> Signer:
        """The key in this folder, for its owner's eyes; made if there is none, as of this time (POSIX seconds)."""
        path = folder / "signing-key.asc"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with (folder / ".lock").open("a") as gate:
                fcntl.flock(gate, fcntl.LOCK_EX)
                if not path.exists():
                    _make(path, at)
        except OSError as e:
            raise SurroundingsError(f"no signing key can be made: {e.strerror or e}", where=folder) from e
        return cls(file=path)

    @classmethod
    def chosen(cls, word: str, folder: Path, at: int) -> Signer:
        """What a user writes: a file, a key's id, fingerprint or address, or nothing for a key of our own in folder."""
        if not word:
            return cls.own(folder, at)
        path = Path(word)
        if path.is_file():
            return cls(file=path)
        if "/" in word:
            raise ConfigError("no such file", where=word, hint="gpg --export-secret-keys --armor KEY writes one")
        return cls(identity=word)

    def sign(self, text: str, at: int) -> str:
        """The text, signed in the clear; the same text at the same time is the same bytes if the key's kind allows it.

        at: POSIX seconds; a key that was made later signs as of then. Raises ConfigError, CommandError.
        """
        fingerprint, made = self._key
        words = ["--faked-system-time", f"{_stamp(max(at, made))}!", "--digest-algo", "SHA512"]
        return self._gpg(*words, "--local-user", fingerprint, "--clearsign", stdin=text)

    @cached_property
    def public_key(self) -> str:
        """Armoured, for [signed-by=…]."""
        return self._gpg("--export-options", "export-minimal", "--armor", "--export", self._key[0])

    @cached_property
    def _key(self) -> tuple[str, int]:
        """Fingerprint of the first secret key, and when it was made in POSIX seconds."""
        words = ["--with-colons", "--fixed-list-mode"]
        try:
            if self.file is None:
                said = self._gpg(*words, "--list-secret-keys", self.identity)
            else:
                with _home() as home:
                    said = run(
                        [*_GPG, "--no-autostart", *words, "--show-keys", self.file.absolute()],
                        env={"GNUPGHOME": os.fspath(home)}, hint=_HINT,
                    )  # fmt: skip
            key = next(line.split(":") for line in said.splitlines() if line.startswith("sec:"))
            fingerprint = next(line.split(":")[9] for line in said.splitlines() if line.startswith("fpr:"))
        except (CommandError, StopIteration) as e:
            where = self.identity if self.file is None else self.file
            raise ConfigError("no secret key", where=where, hint="gpg --list-secret-keys shows those you have") from e
        return fingerprint, int(key[5])

    def _gpg(self, *arguments: str, stdin: str | None = None) -> str:
        if self.file is not None:
            return _session(["--import", os.fspath(self.file.absolute())], list(arguments), stdin)
        # the caller's own keyring, and the agent that asks for its passphrase, or has it
        names = ("HOME", "GNUPGHOME", "GPG_AGENT_INFO", "GPG_TTY", "XDG_RUNTIME_DIR", "DISPLAY")
        env: Mapping[str, str] = {name: os.environ[name] for name in names if name in os.environ}
        return run(["gpg", "--batch", "--quiet", *arguments], stdin=stdin, env=env, timeout_s=300, hint=_HINT)


def _make(path: Path, at: int) -> None:
    made = ["--faked-system-time", f"{_stamp(at)}!", "--quick-gen-key", OWN_NAME, "ed25519", "sign", "never"]
    text = _session(made, ["--export-secret-keys", "--armor"], None)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def _session(first: list[str], second: list[str], stdin: str | None) -> str:
    """Two calls of gpg in a home of their own; the output of the second."""
    script = 'n=$1; shift; first=("${@:1:n}"); "${gpg[@]}" "${first[@]}" </dev/null >&2; "${gpg[@]}" "${@:n+1}"'
    quoted = " ".join(f"'{word}'" for word in _GPG)
    with _home() as home:
        # The agent ends with the program it is started for, also when this process is killed meanwhile.
        agent = ["gpg-agent", "--homedir", os.fspath(home), "--quiet", "--daemon", "--"]
        words = ["bash", "-ec", f"gpg=({quoted}); {script}", "bash", str(len(first)), *first, *second]
        try:
            return run([*agent, *words], stdin=stdin, env={"GNUPGHOME": os.fspath(home)}, timeout_s=300, hint=_HINT)
        finally:
            with suppress(CommandError):
                run(["gpgconf", "--homedir", home, "--kill", "all"], timeout_s=30)


@contextmanager
def _home() -> Iterator[Path]:
    """A new home for GnuPG. Its name is short: an agent's socket lies in it, whose name may have 107 bytes."""
    top = Path(tempfile.gettempdir()) / f"image-builder-{os.geteuid()}"
    with suppress(FileExistsError):
        top.mkdir(mode=0o700)
    status = top.lstat()
    if status.st_uid != os.geteuid() or (status.st_mode & 0o170077) != 0o040000:
        raise SurroundingsError("not a folder of yours alone", where=top, hint="secret keys lie in it: remove it")
    with scratch(top) as folder:
        folder.chmod(0o700)
        yield folder


def _stamp(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y%m%dT%H%M%S")
