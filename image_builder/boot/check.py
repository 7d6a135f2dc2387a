"""The boot check: a machine is started, its console read until it is decided whether the image boots."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from image_builder.boot import console, kvm, media, qemu
from image_builder.boot.console import Transcript, Verdict, verdict
from image_builder.boot.dialogue import Dialogue, Output
from image_builder.boot.firmware import FirmwareKind, find_firmware
from image_builder.boot.guest import Guest, started
from image_builder.boot.seed import seeded

SILENCE_S = 10.0
LAST_WORDS_S = 0.2  # the console says why a guest ended, and may come after the news that it did


@dataclass(frozen=True)
class BootResult:
    """How a boot went. reason is a sentence either way; accelerator says how it ran, with why not KVM."""

    success: bool
    reason: str
    seconds: float
    accelerator: str
    console: str  # the serial console, as plain text
    screen: str = ""  # the text screen, by BIOS: what boot loaders say before they know of a serial port
    outputs: tuple[Output, ...] = ()

    def last_lines(self, count: int = 15) -> str:
        """The last lines that are not empty: the serial console's, else the screen's."""
        return console.last_lines(self.console, count) or console.last_lines(self.screen, count)


@contextmanager
def guest_of(
    image: Path,
    *,
    firmware: FirmwareKind,
    acceleration: kvm.Acceleration,
    architecture: str = "amd64",
    memory_mb: int = 1024,
    disk_size: int | None = None,
    password: tuple[str, str] | None = None,
    checked: bool = True,
) -> Iterator[Guest]:
    """Start a machine with the image; everything it writes is thrown away with the block.

    password: (user, password) to be set by a NoCloud seed. checked: no way out to the network, and a reboot
    ends the machine. Raises ConfigError and SurroundingsError.
    """
    program = qemu.program(architecture)
    found = find_firmware(firmware, architecture)
    with ExitStack() as stack:
        disk = stack.enter_context(media.opened(image, disk_size=disk_size))
        variables = stack.enter_context(media.copied(found.variables))
        with seeded(password) as path:
            seed = stack.enter_context(media.copied(path))
        extra = [opened for opened in (variables, seed) if opened is not None]
        machine = qemu.Machine(
            medium=disk.medium,
            firmware=found,
            architecture=architecture,
            accelerator=acceleration.accelerator,
            memory_mb=memory_mb,
            cpus=min(2, os.cpu_count() or 1),
            variables=variables.medium.file if variables else None,
            seed=seed.medium.file if seed else None,
            outside=not checked,
            reboot=not checked,
        )
        files = [*disk.files, *(fd for opened in extra for fd in opened.files)]
        screen = firmware == "bios" and qemu.platform(architecture).text_screen
        yield stack.enter_context(started(program, qemu.arguments(machine), files=files, screen=screen))


def check_boot(
    image: Path,
    *,
    firmware: FirmwareKind = "bios",
    timeout_s: float = 300.0,
    disk_size: int | None = None,
    commands: Sequence[str] = (),
    login: tuple[str, str] | None = None,
    set_password: bool = False,
    architecture: str = "amd64",
    memory_mb: int = 1024,
    acceleration: kvm.Acceleration | None = None,
    log: Path | None = None,
) -> BootResult:
    """Boot the image and return how it went; the image itself is never written.

    Success is a login prompt or cloud-init's end within timeout_s. With login=(user, password) it is that login
    on the serial line, and every command ending with status 0; set_password has cloud-init set that password
    first. disk_size (bytes) shows the guest a larger disk. acceleration: None probes KVM. log is written as the
    guest speaks. Raises ConfigError and SurroundingsError for what keeps the machine from being started.
    """
    acceleration = acceleration or kvm.probe(architecture)
    dialogue = Dialogue(login=login, commands=commands, patient=set_password)
    begin = time.monotonic()
    with ExitStack() as stack:
        guest = stack.enter_context(
            guest_of(
                image,
                firmware=firmware,
                acceleration=acceleration,
                architecture=architecture,
                memory_mb=memory_mb,
                disk_size=disk_size,
                password=login if set_password else None,
            )
        )
        written = stack.enter_context(log.open("w", encoding="utf-8", buffering=1)) if log else None
        serial, screen = Transcript(), Transcript()

        def listen(wait_s: float) -> bool:
            arrived = guest.wait(wait_s)
            for channel, data in arrived:
                plain = (serial if channel == "serial" else screen).feed(data)
                if channel == "serial":
                    guest.send(dialogue.feed(plain).encode())
                    if written:
                        written.write(plain)
            return bool(arrived)

        decided = None
        while decided is None:
            left = begin + timeout_s - time.monotonic()
            if left <= 0:
                decided = Verdict(False, f"{dialogue.waits_for} was not seen within {timeout_s:g} s")
                break
            ended = guest.end
            if not listen(min(left, LAST_WORDS_S if ended else SILENCE_S)):
                guest.send(dialogue.silence().encode())
                decided = Verdict(False, ended) if ended else None
            decided = dialogue.result or _failed_on(screen) or decided
        seconds = time.monotonic() - begin
        if not decided.success:
            deadline = time.monotonic() + 1
            while listen(LAST_WORDS_S) and time.monotonic() < deadline:  # a trace, the lines below an error
                pass
        if written and screen.text.strip():
            written.write(f"\n--- the text screen of the BIOS ---\n{screen.text}")
    return BootResult(
        success=decided.success,
        reason=decided.reason,
        seconds=seconds,
        accelerator=str(acceleration),
        console=serial.text,
        screen=screen.text,
        outputs=tuple(dialogue.outputs),
    )


def _failed_on(screen: Transcript) -> Verdict | None:
    seen = verdict(screen.text)
    return seen if seen and not seen.success else None
