"""The order of live-build's helpers, read from stage scripts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_builder.errors import PipelineError
from image_builder.live_build.stages import BINARY_PLACES, CHROOT_PLACES, Call, parse, place

SCRIPT = """\
#!/bin/sh
set -e
. /usr/lib/live/build.sh
# lb in_a_comment "${@}"
lb chroot_prep install all mode-archives-chroot "${@}"
if [ "${X}" = lb ]; then
\tlb chroot_preseed "${@}"
fi

for _PASS in install live; do
\tlb chroot_package-lists ${_PASS} "${@}"
\tlb chroot_install-packages ${_PASS} "${@}"
\tif [ "${_PASS}" = install ]; then
\t\tChroot chroot "dpkg-query -W" > chroot.packages.install
\tfi
done
lb chroot_hooks "${@}"
Echo_message "lb chroot_said"
"""


def test_calls_are_in_order_and_loops_are_unrolled() -> None:
    assert parse(SCRIPT) == (
        Call("chroot_prep", ("install", "all", "mode-archives-chroot")),
        Call("chroot_preseed", ()),
        Call("chroot_package-lists", ("install",)),
        Call("chroot_install-packages", ("install",)),
        Call("chroot_package-lists", ("live",)),
        Call("chroot_install-packages", ("live",)),
        Call("chroot_hooks", ()),
    )


def test_a_loop_whose_do_has_a_line_of_its_own() -> None:
    text = "for P in install live\ndo\n\tlb chroot_package-lists ${P}\ndone\nlb chroot_hooks\n"
    assert [c.arguments for c in parse(text)] == [("install",), ("live",), ()]


def test_calls_are_sorted_into_steps_in_their_order() -> None:
    steps = place(parse(SCRIPT), CHROOT_PLACES, script="lb chroot")
    assert {step: [c.helper.removeprefix("chroot_") for c in calls] for step, calls in steps.items()} == {
        "prepare": ["preseed"],
        "packages": ["package-lists", "install-packages", "package-lists", "install-packages"],
        "finish": ["hooks"],
    }


def test_an_unknown_helper_is_an_error_that_names_all_of_them() -> None:
    calls = parse('lb chroot_hooks "${@}"\nlb chroot_zap "${@}"\nlb chroot_new x\nlb chroot_new y\n')
    with pytest.raises(PipelineError, match=r"lb chroot: calls helpers .*: chroot_new, chroot_zap") as caught:
        place(calls, CHROOT_PLACES, script="lb chroot")
    assert "tool_suite" in caught.value.hint


@pytest.mark.parametrize(
    "call",
    [
        pytest.param('lb "${HELPER}"', id="by a variable"),
        pytest.param('lb "${@}"', id="by the arguments"),
        pytest.param("lb binary_${KIND}", id="half by a variable"),
        pytest.param("for K in iso tar; do\nlb binary_${K}\ndone", id="in a loop"),
        pytest.param("for K in ${KINDS}; do\nlb binary_${K}\ndone", id="in a loop over a variable"),
        pytest.param("for K in iso tar; do\nlb binary_zap ${K}", id="in a loop that has no end"),
        pytest.param(
            "for K in iso; do\nlb binary_zap\nfor L in tar; do\nlb binary_iso\ndone\ndone", id="before a loop"
        ),
    ],
)
def test_a_helper_whose_name_cannot_be_read_is_an_error_and_never_left_out(call: str) -> None:
    with pytest.raises(PipelineError, match="does not know"):
        place(parse(f"lb binary_iso\n{call}\n"), BINARY_PLACES, script="lb binary")


def test_a_script_without_helpers_is_no_stage_script() -> None:
    with pytest.raises(PipelineError, match="calls no helper"):
        place(parse("#!/bin/sh\nexec live-build-ng\n"), BINARY_PLACES, script="lb binary")


LINES = st.sampled_from(
    ["lb", "lb ", "lb a", 'lb a "${@}"', 'lb "${@}"', "lb b ${X} c", "for X in p q; do", "for X in p", "do", "done",
     "fi", "# lb z", ""]
)  # fmt: skip


@given(st.one_of(st.text(), st.lists(LINES, max_size=20).map("\n".join)))
def test_any_text_can_be_read(text: str) -> None:
    for call in parse(text):
        assert call.helper
        assert not set(" \t\n") & set("".join([call.helper, *call.arguments]))
