"""typing.NamedTuple without typing, which takes longer to import than make-hooks takes to run (9 ms of 15)."""

from __future__ import annotations

__all__ = ["TYPE_CHECKING", "NamedTuple"]

TYPE_CHECKING = False  # true to the type checker, by its name

if TYPE_CHECKING:
    from typing import NamedTuple
else:
    from collections import namedtuple

    class _Maker(type):
        def __new__(cls, name, bases, body):
            if not bases:
                return super().__new__(cls, name, bases, body)
            # Defaults stand at the end, as the type checker makes sure.
            fields = body["__annotations__"]
            defaults = [body[field] for field in fields if field in body]
            made = namedtuple(name, fields, defaults=defaults, module=body["__module__"])
            made.__doc__ = body.get("__doc__")
            return made

    class NamedTuple(metaclass=_Maker):
        """Base of a record: its annotated names become the fields. Records have no methods of their own."""
