"""What the kernel is told of foreign programs: pure parts; tests/root/test_emulation.py tells it for real."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from image_builder.architectures import native_architecture
from image_builder.errors import SurroundingsError
from image_builder.sandbox.emulation import MACHINES, entry, needed, program


def test_the_probe_is_a_program_that_ends_well(tmp_path: Path) -> None:
    probe = tmp_path / "probe"
    probe.write_bytes(program(MACHINES[native_architecture()]))
    probe.chmod(0o755)
    assert subprocess.run([probe], check=False).returncode == 0


@pytest.mark.parametrize("architecture", MACHINES)
def test_an_entry_is_for_the_programs_of_that_architecture_alone(architecture: str) -> None:
    line = entry("mine", architecture, Path("/usr/bin/qemu"))
    match = re.fullmatch(r":mine:M::((?:\\x[0-9a-f]{2}){20}):((?:\\x[0-9a-f]{2}){20}):/usr/bin/qemu:F", line)
    assert match is not None
    magic, mask = (bytes.fromhex(text.replace("\\x", "")) for text in match.groups())
    for name, machine in MACHINES.items():
        whole = program(machine)
        library = whole[:16] + b"\3" + whole[17:]
        for head in (whole[:20], library[:20]):
            taken = bytes(a & b for a, b in zip(head, mask, strict=True)) == magic
            assert taken is (name == architecture)


def test_what_is_written_is_no_longer_than_the_kernel_reads() -> None:
    assert max(len(entry("image-builder-ppc64el", name, Path("/" + "x" * 100))) for name in MACHINES) < 1920


def test_an_architecture_nobody_knows() -> None:
    with pytest.raises(SurroundingsError, match="sparc: cannot be emulated here"):
        needed("sparc")
