"""What goes wrong with a database, as errors a user can act on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from image_builder.errors import PipelineError, SurroundingsError

_HINTS = {
    "disk is full": "make room; nothing was changed",
    "No space left": "make room; nothing was changed",
    "database is locked": "another program has been changing it for a minute; look who does",
    "lock timeout": "another program has been changing it for a minute; look who does",
    "readonly": "it must be writable, and so must its folder",
    "unable to open": "is its folder there, and may you write to it?",
    "not a database": "the file is something else; is the path right?",
    "malformed": "the file is damaged: restore it from an export or a backup",
}


@contextmanager
def as_errors(where: str) -> Iterator[None]:
    """Turn the library's exceptions into SurroundingsError, or PipelineError where a retry would not help."""
    try:
        yield
    except (OperationalError, PoolTimeoutError) as e:
        raise SurroundingsError(_said(e), where=where, hint=_hint(e)) from e
    except DBAPIError as e:
        if e.connection_invalidated or _hint(e):
            raise SurroundingsError(_said(e), where=where, hint=_hint(e)) from e
        raise PipelineError(_said(e), where=where) from e
    except SQLAlchemyError as e:
        raise PipelineError(str(e), where=where) from e


def _said(error: SQLAlchemyError) -> str:
    """The database's own words, without the statement and its values."""
    original = getattr(error, "orig", None)
    return " ".join(str(original if original is not None else error).split())


def _hint(error: SQLAlchemyError) -> str:
    said = _said(error)
    return next((hint for words, hint in _HINTS.items() if words in said), "")
