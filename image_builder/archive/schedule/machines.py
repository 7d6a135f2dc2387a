"""Which machines are at fault: their failures in a row, against those of the packages they were given. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from image_builder.archive.model import Outcome

# What a healthy machine does not do. A package that fails does so anywhere.
FAULTS = frozenset({Outcome.BUILDER_FAULT, Outcome.CHROOT_PROBLEM, Outcome.GIVE_BACK})


@dataclass
class Machines:
    """Counts by machine, since the scheduler's start: who begins anew trusts everybody.

    most: faults in a row, of different packages, until a machine rests. rest_seconds: how long, doubled each time it
    fails again at once.
    """

    most: int = 3
    rest_seconds: float = 3600.0
    _row: dict[str, list[str]] = field(default_factory=dict)  # machine -> packages it failed with, in a row
    _rests: dict[str, int] = field(default_factory=dict)

    def saw(self, machine: str, package: str, outcome: Outcome) -> float:
        """Count the end of an attempt; return for how many seconds the machine should get nothing, mostly 0.

        A machine that went away is not asked anyway; one package that fails everywhere makes no machine guilty.
        """
        if outcome is Outcome.CANCELLED or not machine:
            return 0.0
        if outcome not in FAULTS:
            self._row.pop(machine, None)
            if outcome is Outcome.SUCCEEDED:
                self._rests.pop(machine, None)
            return 0.0
        row = self._row.setdefault(machine, [])
        if package not in row:
            row.append(package)
        # After a rest one more fault is enough.
        if len(row) < (1 if machine in self._rests else self.most):
            return 0.0
        self._row.pop(machine)
        rests = self._rests[machine] = self._rests.get(machine, 0) + 1
        return float(self.rest_seconds * 2 ** min(rests - 1, 4))

    def faults(self, machine: str) -> int:
        """Packages it has failed with, in a row."""
        return len(self._row.get(machine, ()))
