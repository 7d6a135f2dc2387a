"""How long each build takes and how it ends: recorded, or drawn so that the same seed draws the same."""

from __future__ import annotations

import csv
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from image_builder.archive.model import Outcome
from image_builder.errors import ConfigError

# Of Debian's build daemons: most builds take a minute or two, one in a thousand takes most of a day.
MEDIAN_SECONDS = 100.0
SPREAD = 1.6  # of the logarithm; the mean is then 360 s
SHORTEST_SECONDS, LONGEST_SECONDS = 20.0, 14 * 3600.0


@dataclass(frozen=True)
class Chances:
    """What can happen to a build, as shares of all packages; and to machines.

    never: of packages that fail every time. crowded: that fail unless alone on the machine. flaky: whose first attempt
    is given back. guess: spread of the logarithm between expected and real times. A machine vanishes once in
    vanish_seconds on average, for away_seconds; half of the time without a word, and some of those deliver late. Once
    in sick_seconds it spoils whatever it is given for sick_for_seconds.
    """

    never: float = 0.02
    crowded: float = 0.005
    flaky: float = 0.02
    guess: float = 0.3
    vanish_seconds: float = 200 * 3600.0
    away_seconds: float = 3600.0
    sick_seconds: float = 400 * 3600.0
    sick_for_seconds: float = 1800.0
    twice: float = 0.01


@dataclass(frozen=True, slots=True)
class Fate:
    """What the attempts at one package come to. seconds: of a whole build."""

    seconds: float
    expected_seconds: float
    first: Outcome  # of the first attempt that is not disturbed
    crowded: Outcome  # of later ones among others
    alone: Outcome

    def outcome(self, undisturbed_before: int, alone: bool) -> Outcome:
        """How an attempt ends on a healthy machine."""
        if undisturbed_before == 0 and not alone:
            return self.first
        return self.alone if alone else self.crowded

    def share(self, outcome: Outcome) -> float:
        """How much of the whole time it takes until then: what fails does so before the end."""
        return 1.0 if outcome is Outcome.SUCCEEDED else 0.6


class Nature:
    """Fates by source. recorded: seconds of real builds; the others are drawn."""

    def __init__(self, seed: int, chances: Chances, recorded: Mapping[str, float] = {}) -> None:
        self.seed, self.chances, self._recorded = seed, chances, recorded
        self._fates: dict[str, Fate] = {}

    def fate(self, source: str) -> Fate:
        """The same for the same seed and name, whoever asks in which order."""
        if source not in self._fates:
            self._fates[source] = self._draw(source)
        return self._fates[source]

    def random(self, what: str) -> random.Random:
        """A source of chance that nothing else draws from."""
        return random.Random(f"{self.seed} {what}")

    def _draw(self, source: str) -> Fate:
        chance = self.random(f"source {source}")
        drawn = chance.lognormvariate(math.log(MEDIAN_SECONDS), SPREAD)
        seconds = self._recorded.get(source, min(max(drawn, SHORTEST_SECONDS), LONGEST_SECONDS))
        expected = seconds * chance.lognormvariate(0.0, self.chances.guess)
        lot = chance.random()
        good, bad, back = Outcome.SUCCEEDED, Outcome.ATTEMPTED, Outcome.GIVE_BACK
        for share, outcomes in (
            (self.chances.never, (bad, bad, bad)),
            (self.chances.crowded, (bad, bad, good)),
            (self.chances.flaky, (back, good, good)),
        ):
            if lot < share:
                return Fate(seconds, expected, *outcomes)
            lot -= share
        return Fate(seconds, expected, good, good, good)


def recorded_times(path: Path) -> dict[str, float]:
    """Read "source,seconds" lines. Raises ConfigError with the line that is not so."""
    found: dict[str, float] = {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for number, row in enumerate(csv.reader(file), 1):
                try:
                    source, seconds = row
                    found[source] = float(seconds)
                    if not 0 < found[source] < float("inf"):
                        raise ValueError
                except ValueError:
                    raise ConfigError("not a line of the form: source,seconds", where=f"{path}:{number}") from None
    except (OSError, UnicodeDecodeError) as e:
        raise ConfigError(f"cannot be read: {e}", where=path) from e
    return found
