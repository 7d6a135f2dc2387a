"""image-builder boot: an image in QEMU, to look at or to be checked."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import click

from image_builder.boot import interactive, kvm, media
from image_builder.boot.check import BootResult, check_boot, guest_of
from image_builder.boot.firmware import NAMES, FirmwareKind
from image_builder.boot.qemu import PLATFORMS
from image_builder.errors import ConfigError, PipelineError


def find_image(target: str, *, builds: Path) -> Path:
    """Return the image meant: a file by its path, else what the last build made for a target of that name."""
    path = Path(target)
    if path.is_file() or media.known_format(path) or "/" in target:
        return path
    from image_builder.build.locate import locate

    return locate(target, builds=builds)


@click.command()
@click.argument("image", metavar="TARGET|FILE")
@click.option("--uefi", "firmware", flag_value="uefi", help="Boot by UEFI instead of BIOS.")
@click.option("--secure-boot", "firmware", flag_value="secure-boot", help="Boot by UEFI with Secure Boot on.")
@click.option("--check", is_flag=True, help="Succeed when a login prompt or cloud-init's end is seen in time.")
@click.option("--timeout", "timeout_s", type=click.FloatRange(min=1), default=300.0, show_default=True, metavar="S",
              help="Seconds --check waits.")  # fmt: skip
@click.option("--memory", "memory_mb", type=click.IntRange(min=64), default=1024, show_default=True, metavar="MB")
@click.option("--disk-size", metavar="SIZE", help="Boot on a larger disk than the image, such as 10G.")
@click.option("--arch", "architecture", type=click.Choice(list(PLATFORMS)), default="amd64", show_default=True)
@click.option("--root-password", metavar="PW", help="Have cloud-init in the image set this password for root.")
@click.option("--no-kvm", is_flag=True, help="Emulate, without asking KVM.")
@click.option("--log", "log_file", type=click.Path(dir_okay=False, path_type=Path),
              help="Where --check writes the whole console. Default: IMAGE.FIRMWARE.console.log.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the result of --check as JSON.")
@click.option("--builds", type=click.Path(file_okay=False, path_type=Path), default=Path("builds"), show_default=True,
              help="The folder of builds a TARGET is looked up in.")  # fmt: skip
def boot(
    *,
    image: str,
    firmware: FirmwareKind | None,
    check: bool,
    timeout_s: float,
    memory_mb: int,
    disk_size: str | None,
    architecture: str,
    root_password: str | None,
    no_kvm: bool,
    log_file: Path | None,
    as_json: bool,
    builds: Path,
) -> None:
    """Start a bootable image in QEMU and show its serial console; Ctrl-] leaves.

    The image is never written: what the guest changes is gone with it. KVM is used where it works.
    """
    if not check and (as_json or log_file):
        raise ConfigError("--json and --log belong to --check", where="boot")
    firmware = firmware or ("bios" if architecture == "amd64" else "uefi")
    size = media.parse_size(disk_size) if disk_size else None
    file = find_image(image, builds=builds)
    media.image_format(file)
    acceleration = kvm.Acceleration("tcg", "--no-kvm") if no_kvm else kvm.probe(architecture)
    click.echo(f"{file}: {NAMES[firmware]}, {acceleration}", err=True)
    password = ("root", root_password) if root_password else None
    if check:
        folder = file.parent if os.access(file.parent, os.W_OK) else Path.cwd()
        log_file = log_file or folder / f"{file.name}.{firmware}.console.log"
        result = check_boot(
            file,
            firmware=firmware,
            timeout_s=timeout_s,
            disk_size=size,
            login=password,
            set_password=password is not None,
            architecture=architecture,
            memory_mb=memory_mb,
            acceleration=acceleration,
            log=log_file,
        )
        report(result, file=file, firmware=firmware, log_file=log_file, as_json=as_json)
        return
    with guest_of(
        file,
        firmware=firmware,
        acceleration=acceleration,
        architecture=architecture,
        memory_mb=memory_mb,
        disk_size=size,
        password=password,
        checked=False,
    ) as guest:
        click.echo(f"Serial console; {interactive.EXIT_KEY_NAME} leaves.", err=True)
        end = interactive.show(guest, stdin=sys.stdin.fileno(), stdout=sys.stdout.fileno())
    if end not in interactive.REGULAR:
        raise PipelineError(end, where=file)
    click.echo(f"\n{end}", err=True)


def report(result: BootResult, *, file: Path, firmware: str, log_file: Path, as_json: bool) -> None:
    """Print the result; a failed check is a PipelineError with the console's last lines."""
    if as_json:
        fields = {
            "image": str(file.resolve()),
            "firmware": firmware,
            "success": result.success,
            "reason": result.reason,
            "seconds": round(result.seconds, 1),
            "accelerator": result.accelerator,
            "log": str(log_file.resolve()),
        }
        click.echo(json.dumps(fields, indent=2))
    if not result.success:
        said = result.last_lines()
        what = f"{result.reason} (after {result.seconds:.1f} s)"
        raise PipelineError(
            f"{what}; the console's last lines:\n{said}" if said else f"{what}; the console stayed empty",
            where=file,
            hint=f"the whole console is in {log_file}",
        )
    if not as_json:
        click.echo(f"{file}: boots by {NAMES[firmware]}: {result.reason} after {result.seconds:.1f} s")
