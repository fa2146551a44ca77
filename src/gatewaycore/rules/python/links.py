"""Links: the anchors of an HTML page, read in one pass.

A page of an index needs nothing of an HTML parser but its links, and the parsers at hand take more than a minute for a few megabytes of
attributes or tags that are made to hurt: an index that lies would stop the gateway. This one never looks back, so that it takes as long as
the page is long. What ends in the middle of a tag, where a browser shows what it has (HTML §13.2.5), was cut short, and is no page.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from html import unescape
from typing import Final

from gatewaycore.rules.indexes import PageError

MOST_ATTRIBUTES: Final = 1_000_000
"""Of one page; tags, comments and whatever else begins as they do are counted too. Links to ten thousand files have seventy thousand."""

_REMEMBERED_CHARACTERS: Final = 256
_TOO_MUCH: Final = "holds more than any index has to say"
_CUT: Final = "ends too soon"
_NAME: Final = re.compile(r"[A-Za-z][^\s/>]*+")
# One attribute and what stands before it: a name, and a value in quotes of either kind or in none.
_ATTRIBUTE: Final = re.compile(r"""[\s/]*+([^\s/>][^\s/>=]*+)(?:\s*+=\s*+(?:"([^"]*+)"|'([^']*+)'|([^\s>"'][^\s>]*+)|(?=>)))?+""")
_UNCLOSED: Final = re.compile(r"\s*+=")
# How indexes write them, whole: read at once, an attribute after the other only where this does not fit.
_USUAL: Final = re.compile(r"""<a((?:\s++[a-z-]++="[^"]*+")++)\s*+>""")
# What stands between two of them, most of the time.
_BETWEEN: Final = re.compile(r"""[^<]*+</a>\s*+(?:<br\s*+/?>\s*+)?+""")
_PAIR: Final = re.compile(r"""([a-z-]++)="([^"]*+)\"""")
_END: Final = re.compile(r"[\s/]*+>")
# A comment that ends where it begins (HTML §13.2.5.43), and how all others end.
_NO_COMMENT: Final = re.compile(r"<!---?>")
_COMMENT_END: Final = re.compile(r"--!?>")
_WANTED: Final = frozenset({"a", "base", "meta"})
# What stands in these is text, whatever it looks like.
_RAW: Final = frozenset({"script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes"})


def tags(text: str) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Iterate over the start tags named ``a``, ``base`` and ``meta``, each with its attributes; the first of two equal names counts.

    Raises:
        PageError: there is no end of them, or the text ends inside of one, or of a comment, or of what is text whatever it looks like.
    """
    at, left = text.find("<"), MOST_ATTRIBUTES
    while at >= 0:
        usual = _USUAL.match(text, at)
        if usual is not None:
            pairs = _PAIR.findall(usual[1])
            left -= len(pairs)
            if left < 0:
                raise PageError(_TOO_MUCH)
            yield "a", {name: _text(value) if "&" in value else value for name, value in reversed(pairs)}
            between = _BETWEEN.match(text, usual.end())
            at = text.find("<", usual.end() if between is None else between.end())
            continue
        left -= 1
        if left < 0:
            raise PageError(_TOO_MUCH)
        named = _NAME.match(text, at + 1)
        if named is None:
            at = _behind(text, at)
        else:
            name = named[0].lower()
            wanted = name in _WANTED
            attributes: dict[str, str] = {}
            at = named.end()
            while (end := _END.match(text, at)) is None:
                found = _ATTRIBUTE.match(text, at)
                if found is None or (found.lastindex == 1 and _UNCLOSED.match(text, found.end()) is not None):
                    # The text ends here, or what would be a value begins with a quote that nothing closes.
                    raise PageError(_CUT)
                at, left = found.end(), left - 1
                if left < 0:
                    raise PageError(_TOO_MUCH)
                if wanted:
                    value = found[2] or found[3] or found[4] or ""
                    attributes.setdefault(found[1].lower(), _text(value) if "&" in value else value)
            at = end.end()
            if wanted:
                yield name, attributes
            elif name in _RAW:
                at = _closing(text, name, at)
        at = text.find("<", at)


def _text(value: str) -> str:
    """Return what an attribute's value says. Long ones are not remembered: a few would fill the memory."""
    return _unescaped(value) if len(value) <= _REMEMBERED_CHARACTERS else _unescape(value)


def _unescape(value: str) -> str:
    try:
        return unescape(value)
    except ValueError:
        # A reference to a character by a number of more digits than Python reads.
        return value


# Which Pythons a file fits is the same for most files of a page.
_unescaped: Final = lru_cache(maxsize=512)(_unescape)


def _behind(text: str, at: int) -> int:
    """Return where a comment, a declaration or an end tag ends that begins at `at`, or where text goes on."""
    if text.startswith("<!--", at):
        ending = _NO_COMMENT.match(text, at) or _COMMENT_END.search(text, at + 4)
        end = -1 if ending is None else ending.end()
    elif text[at + 1 : at + 2] in ("!", "?", "/", ""):
        # With nothing behind it, a "<" is the beginning of something.
        end = text.find(">", at)
    else:
        return at + 1
    if end < 0:
        raise PageError(_CUT)
    return end


def _closing(text: str, name: str, at: int) -> int:
    """Return where the end tag of an element of raw text begins."""
    found = re.compile(rf"</{name}(?=[\s/>])", re.IGNORECASE).search(text, at)
    if found is None:
        raise PageError(_CUT)
    return found.start()
