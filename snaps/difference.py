"""What a new lock changes, a line for each snap. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from image_builder.lock import SnapPin


def difference(old: Sequence[SnapPin], new: Sequence[SnapPin]) -> list[str]:
    """Lines "+ NAME …", "- NAME …" and "  NAME: what was → what is", by name; empty when both carry the same snaps."""
    before, after = {pin.name: pin for pin in old}, {pin.name: pin for pin in new}
    lines = []
    for name in sorted(before.keys() | after.keys()):
        was, now = before.get(name), after.get(name)
        if was is None and now is not None:
            lines.append(f"+ {name} {now.revision}  {now.channel}")
        elif now is None and was is not None:
            lines.append(f"- {name} {was.revision}  {was.channel}")
        elif was is not None and now is not None and (changed := _changes(was, now)):
            lines.append(f"  {name}: {', '.join(changed)}")
    return lines


def _changes(was: SnapPin, now: SnapPin) -> list[str]:
    """The cohort is left out: another key for the same revision changes no image."""
    found = [
        f"{what} {old} → {new}"
        for what, old, new in (
            ("revision", was.revision, now.revision),
            ("channel", was.channel, now.channel),
            ("base", was.base or "none", now.base or "none"),
            ("publisher", was.publisher, now.publisher),
            ("snap-id", was.snap_id, now.snap_id),
            ("confinement", "classic" if was.classic else "strict", "classic" if now.classic else "strict"),
        )
        if old != new
    ]
    if was.revision == now.revision and was.sha3_384 != now.sha3_384:
        found.append(f"other bytes for the same revision: {was.sha3_384[:12]}… → {now.sha3_384[:12]}…")
    return found
