"""Taking a User-Agent apart: products, versions and comments (RFC 9110 §10.1.5 and §5.6.5).

This room knows the grammar, and the ways in which it is bent: names with spaces ("NuGet Command Line/6.14.0"), versions after a
space ("cargo 1.70.0"), spaces turned into "+" or "%20". It refuses to know any product.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

__all__ = ["Product", "normal", "split"]

# A quoted pair keeps its parenthesis from counting; everything else is one step, so that the time is linear.
_PIECE: Final = re.compile(r"\\.|[()]|[^\\()]+", re.DOTALL)
_VERSION: Final = re.compile(r"v?\d[\w.+~-]*$")
# "Mozilla/5.0+(iPhone;+..." comes out of log files and of proxies that read the header as a query.
_PLUSSED: Final = re.compile(r"[A-Za-z][\w.]*(?:\+[\w.]+)+/|\S*\+\(")

_NAME_WORDS: Final = 6


class Product(NamedTuple):
    """One product of a user agent, as sent.

    Args:
        name: the product's name; several words where the client writes it so.
        version: its version, "" when there is none.
    """

    name: str
    version: str = ""


def normal(agent: str) -> str:
    """Give a user agent its spaces back where something on the way wrote them as "+" or "%20".

    Args:
        agent: the header field's value.

    Returns:
        the value with spaces; a "+" that belongs to a version ("2.1.3+unknown") stays.
    """
    if " " not in agent and "+" in agent and _PLUSSED.match(agent):
        agent = agent.replace("+", " ")
    return agent.replace("%20", " ").strip()


def split(agent: str) -> tuple[list[Product], list[str]]:
    """Split a user agent into its products and its comments.

    Args:
        agent: the header field's value, with its spaces (see `normal`).

    Returns:
        the products in order, and the outermost comments without their parentheses. The first product is there unless the value
        holds nothing but comments and blanks.
    """
    heads, comments = _outside(agent)
    products: list[Product] = []
    for head in heads:
        words = head.split()
        if not products and words:
            taken = _lead(words, products)
            words = words[taken:]
        for word in words:
            name, _, version = word.partition("/")
            if name := name.strip(",;"):
                products.append(Product(name, version.rstrip(",;")))
    return products, comments


def _outside(agent: str) -> tuple[list[str], list[str]]:
    if "(" not in agent:
        return [agent], []
    outside: list[str] = [""]
    comments: list[str] = []
    pieces: list[str] = []
    depth = 0
    for found in _PIECE.finditer(agent):
        piece = found[0]
        if piece == "(":
            depth += 1
            if depth == 1:
                continue
        elif piece == ")":
            depth = max(0, depth - 1)
            if depth == 0:
                comments.append("".join(pieces))
                pieces = []
                outside.append("")
                continue
        if depth:
            pieces.append(piece)
        else:
            outside[-1] += piece
    if pieces:
        comments.append("".join(pieces))
    return outside, comments


def _lead(words: list[str], products: list[Product]) -> int:
    """Read the first product, whose name may have spaces; answer how many words it took."""
    for at, word in enumerate(words[:_NAME_WORDS]):
        name, slash, version = word.partition("/")
        if at and _VERSION.match(name):
            # "cargo 1.70.0", "WebMatrix 1.2.3/4.5.6": the version stands after a space.
            products.append(Product(" ".join(words[:at]), name))
            return at + 1
        if slash:
            products.append(Product(" ".join([*words[:at], name]), version.rstrip(",;")))
            return at + 1
    taken = len(words) if len(words) <= 3 else 1
    products.append(Product(" ".join(words[:taken]).strip(",;")))
    return taken
