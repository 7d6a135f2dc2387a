"""What the store can say that a caller may want to tell apart."""

from __future__ import annotations

from image_builder.errors import PipelineError


class StoreError(PipelineError):
    """The store refused, or answered what cannot be meant; asking again would give the same."""


class NotFoundError(StoreError):
    """The store knows no such snap, revision, channel or assertion."""


class CredentialsError(StoreError):
    """The store wants credentials, others, or fresh ones."""
