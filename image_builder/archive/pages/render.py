"""Pages as HTML: Jinja2 templates, in which all that is not ours is escaped."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from image_builder.archive.pages import addresses
from image_builder.archive.pages.listing import Entry
from image_builder.archive.pages.plain import plain
from image_builder.archive.words import duration, moment
from image_builder.build.progress import human

_HARMLESS = re.compile(r"[A-Za-z0-9+.:~ -]*")  # most names and versions; nothing in it is to be escaped
_HERE = "image_builder.archive.pages"
# Nothing from elsewhere, no script but ours, none in the page itself: what a package smuggles in does nothing.
POLICY = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; base-uri 'none'; form-action 'self'"


@dataclass(frozen=True)
class Page:
    """A page that can be written. path: below the top of the view."""

    path: str
    template: str
    values: Mapping[str, Any]

    def text(self) -> str:
        """Its HTML, or what else the template makes."""
        text: str = (
            environment().get_template(self.template).render(self.values, path=self.path, top=addresses.top(self.path))
        )
        return text


@cache
def environment() -> Environment:
    """The templates."""
    made = Environment(
        loader=PackageLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_shown,
        auto_reload=False,
    )
    made.filters |= {"duration": duration, "moment": moment, "size": human, "letter": addresses.prefix}
    made.filters["line"] = _line
    made.globals |= {"policy": POLICY, "at": addresses}
    return made


def prepare() -> None:
    """Compile all templates now, so that nobody has to wait for it later."""
    for name in environment().list_templates(extensions=["j2"]):
        environment().get_template(name)


def static(name: str) -> bytes:
    """A file that is the same for all: style, script, icon."""
    return (files(_HERE) / "static" / name).read_bytes()


@cache
def stamp() -> bytes:
    """Changes when a template does."""
    there = sorted((files(_HERE) / "templates").iterdir(), key=lambda one: one.name)
    return hashlib.sha256(b"\0".join(one.name.encode() + b"\0" + one.read_bytes() for one in there)).digest()


def _line(entry: Entry, top: str) -> Markup:
    """A package in a list. Not in the template: there are 35,000 of them on a page, and this takes a quarter."""
    text = f'<li><a href="{top}{addresses.package(entry.source)}">{_text(entry.source)}</a> {_text(entry.version)}'
    if entry.detail:
        text += f' <span class="faint">{_text(entry.detail)}</span>'
    if entry.attempt is not None:
        text += f' <a href="{top}{addresses.log(entry.attempt)}">log</a>'
    return Markup(f"{text}</li>")


def _text(text: str) -> str:
    return text if _HARMLESS.fullmatch(text) else str(escape(plain(text)))


def _shown(value: Any) -> Any:
    return plain(value) if type(value) is str else "" if value is None else value
