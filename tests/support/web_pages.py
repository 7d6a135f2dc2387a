"""Pages of the web view as a strict reader has them: well-formed, their texts, where they link to."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote, urlsplit
from xml.etree.ElementTree import Element

import html5lib

PREFIX = "{http://www.w3.org/1999/xhtml}"


def parse(text: str) -> Element:
    """The page's tree; raises html5lib's ParseError at the first thing that is not as the standard has it."""
    tree: Element = html5lib.HTMLParser(strict=True).parse(text)
    return tree


def words(tree: Element) -> str:
    """All its text, blanks made one."""
    return " ".join("".join(tree.itertext()).split())


def elements(tree: Element, name: str) -> Iterator[Element]:
    return tree.iter(f"{PREFIX}{name}")


def links(path: str, tree: Element) -> Iterator[tuple[str, str]]:
    """What a page at this path leads to, by any attribute: (path below the top, fragment)."""
    for element in tree.iter():
        for name in ("href", "src", "action"):
            target = element.get(name)
            if target is not None:
                parts = urlsplit(target)
                assert not parts.scheme and not parts.netloc, f"{path} leads elsewhere: {target}"
                there = posixpath.normpath(posixpath.join(posixpath.dirname(path), parts.path)) if parts.path else path
                yield unquote(there), unquote(parts.fragment)


def crawl(fetch: Callable[[str], bytes | None], begin: str = "index.html") -> dict[str, Element]:
    """Every page that can be reached, parsed. Fails for links that lead nowhere, to paths or within pages."""
    found: dict[str, Element] = {}
    others: set[str] = set()
    asked: list[tuple[str, str, str]] = [("", begin, "")]
    fragments: list[tuple[str, str, str]] = []
    while asked:
        source, path, fragment = asked.pop()
        if path not in found and path not in others:
            body = fetch(path)
            assert body is not None, f"{source} leads to {path}, which is not there"
            if path.endswith(".html"):
                found[path] = parse(body.decode())
                asked += [(path, *link) for link in links(path, found[path])]
            else:
                others.add(path)
        if fragment:
            fragments.append((source, path, fragment))
    for source, path, fragment in fragments:
        assert fragment in ids(found[path]), f"{source} leads to {path}#{fragment}, which is not there"
    return found


def ids(tree: Element) -> list[str]:
    return [name for element in tree.iter() if (name := element.get("id")) is not None]


def harmless(tree: Element) -> bool:
    """Whether a page has no script but ours, and nothing that becomes one."""
    scripts = [element.attrib for element in elements(tree, "script")]
    handlers = [name for element in tree.iter() for name in element.attrib if str(name).startswith("on")]
    styles = [element for element in tree.iter() if element.get("style") is not None]
    ours: list[dict[str, Any]] = [{"src": name, "defer": ""} for name in ("search-index.js", "search.js")]
    return scripts in ([], ours) and not handlers and not styles and not list(elements(tree, "img"))
