"""Text from packages and logs without what is not to be shown: control characters, colours, turned writing."""

from __future__ import annotations

import re

# What a terminal would not print; what is no character; and what turns the direction of writing, so that a name or a
# line of a log looks like another one.
_HIDDEN = re.compile(
    "[\0-\b\v\f\x0e-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufdd0-\ufdef\ufff9-\uffff\ud800-\udfff"
    + "".join(f"{chr(plane * 0x10000 + 0xFFFE)}{chr(plane * 0x10000 + 0xFFFF)}" for plane in range(1, 17))
    + "]"
)
_COLOURS = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_])")


def plain(text: str) -> str:
    """The text with a mark (U+FFFD) in the place of each such character."""
    text = text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text
    return _HIDDEN.sub("\ufffd", text) if _HIDDEN.search(text) else text


def plain_line(line: str) -> str:
    """A line of a log as a terminal would leave it: without colours, and what was written over."""
    if "\x1b" in line:
        line = _COLOURS.sub("", line)
    if "\r" in line:
        line = line.rstrip("\r").rpartition("\r")[2]
    return plain(line)
