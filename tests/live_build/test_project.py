"""Which one kind of image plain live-build has to make for several targets."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from image_builder.live_build.project import kind_of
from image_builder.series.resolve import Target

ISO, NETBOOT, NONE = {"binary": "iso-hybrid"}, {"binary": "netboot"}, {"binary": "none"}


@pytest.mark.parametrize(
    ("directives", "kind"),
    [
        ([], "none"),
        ([{}], "none"),
        ([NONE, {}], "none"),
        ([NONE, ISO], "iso-hybrid"),
        ([NETBOOT, ISO], "netboot"),
    ],
)
def test_the_first_target_that_has_a_kind_decides(directives: list[Mapping[str, str]], kind: str) -> None:
    assert kind_of([Target(str(n), "", "", (), (), d, ()) for n, d in enumerate(directives)]) == kind
