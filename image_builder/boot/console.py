"""What a console said: plain text out of terminal output, and the sentences in it that decide a boot."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

# Control sequences (with parameters), operating system commands, character sets, single-letter escapes.
ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]+[0-~]|[0-Z\\^-~])")
UNFINISHED = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|\][^\x07\x1b]*\x1b?|[ -/]*)\Z")
# GRUB and UEFI move the cursor to a row instead of ending the line.
NEW_ROW = re.compile(r"\x1b\[\d+;0*1?H")
UNFINISHED_LONGEST = 4096  # a lone ESC ] would otherwise hold back everything after it

LOGIN = re.compile(r"^(?!Last )[^\s:]* ?login: ?", re.MULTILINE)
CLOUD_INIT_RUNS = re.compile(r"Cloud-init v\. \S+ running")
CLOUD_INIT_DONE = re.compile(r"Cloud-init v\. \S+ finished")
DETAIL = 200  # characters of the guest's own words in a reason

# Pattern and sentence, the more exact one first; a group in the pattern is the guest's own word on it, and the
# line has then to be whole.
FAILURES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.MULTILINE), sentence)
    for pattern, sentence in (
        (r"Kernel panic - not syncing: ?(.*)\n", "kernel panic"),
        (r"systemd\[1\]: (Freezing execution.*)\n", "systemd stopped as the first process"),
        # OVMF's own shell is unsigned: with Secure Boot on it is refused, after everything else was tried.
        (r"failed to start Boot.*EFI Internal Shell", "no bootable device"),
        (r"(failed to (?:load|start) Boot.*: (?:Access Denied|Security Violation))\n", "Secure Boot violation"),
        (r"(.*Security Violation.*)\n", "Secure Boot violation"),
        (
            r"(error: .*(?:bad shim signature|prohibited by secure boot policy|nobody cares).*)\n",
            "Secure Boot violation",
        ),
        (r"grub rescue>", "GRUB rescue shell: GRUB does not find its own files"),
        (r"^grub>", "GRUB stopped at its prompt: it found no menu"),
        (r"No bootable (?:option or )?device", "no bootable device"),
        (r"^UEFI Interactive Shell|^Shell> ", "no bootable device: UEFI started its own shell"),
        (r"(Missing operating system|Operating System not found|No active partition)", "no bootable device"),
        (r"(GRUB (?:Geom|Read|Hard Disk) Error|GRUB +(?:Geom|Read|Hard Disk) +Error)", "GRUB cannot read the disk"),
        (r"((?:ISO|SYS)LINUX.*(?:[Ee]rror|missing or corrupt|failed).*|Failed to load ldlinux.*)\n", "ISOLINUX failed"),
        (r'Generating "?/run/initramfs/rdsosreport|^dracut:/#', "dracut emergency shell"),
        (r"^\(initramfs\)", "initramfs emergency shell"),
        (r"You are in (emergency|rescue) mode", "systemd emergency shell"),
    )
)

# Said before the failure itself; the last of them tells more than the prompt the boot ended at.
CAUSES = re.compile(
    r"^(?:ALERT! .*|error: .*|.*[Uu]nable to find a (?:live file system|medium containing a live file system).*"
    r"|.*Warning: /dev/\S+ does not exist.*|.*Failed to mount .*|.*VFS: Unable to mount root.*)$",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Verdict:
    """How the boot went, as far as the console tells."""

    success: bool
    reason: str


def verdict(text: str) -> Verdict | None:
    """Return what the text decides, or None while it is open. A failure outweighs a prompt.

    text: plain, as Transcript gives it.
    """
    for pattern, sentence in FAILURES:
        if found := pattern.search(text):
            words = found[1].strip() if found.re.groups else ""
            causes = CAUSES.findall(text, 0, found.start())
            detail = words or (causes[-1].strip() if causes else "")
            return Verdict(False, f"{sentence}: {detail[:DETAIL]}" if detail else sentence)
    if CLOUD_INIT_DONE.search(text):
        return Verdict(True, "cloud-init has finished")
    if LOGIN.search(text):
        return Verdict(True, "login prompt")
    return None


class Transcript:
    """A console's output as plain text, whatever pieces it arrives in."""

    def __init__(self) -> None:
        self.text = ""
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._held = ""

    def feed(self, data: bytes) -> str:
        """Add raw output; return what it adds to the text, without escapes, carriage returns and NULs."""
        raw = self._held + self._decode(data)
        unfinished = UNFINISHED.search(raw)
        self._held = unfinished[0] if unfinished and len(unfinished[0]) < UNFINISHED_LONGEST else ""
        raw = raw[: len(raw) - len(self._held)]
        plain = ESCAPE.sub("", NEW_ROW.sub("\n", raw)).translate({0: None, 7: None, 8: None, 13: None, 27: None})
        self.text += plain
        return plain


def last_lines(text: str, count: int) -> str:
    """The last lines of a text that are not empty."""
    return "\n".join([line.rstrip() for line in text.splitlines() if line.strip()][-count:])
