"""The one error of everything in here: an assertion that is unknown, doubtful or wrong."""

from __future__ import annotations

from image_builder.errors import PipelineError


class RefusedError(PipelineError):
    """where: the assertion's address (TYPE/PRIMARY/KEY) as far as it is known, or the file it stands in."""
