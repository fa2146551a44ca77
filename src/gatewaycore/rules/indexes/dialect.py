"""Dialect: what a package manager's pages are made of. The rest of the room does not know."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Protocol
from urllib.parse import urlsplit

from attrs import field, frozen

from gatewaycore.decision import Respond
from gatewaycore.errors import GatewayError
from gatewaycore.rules.indexes.forms import Forms
from gatewaycore.rules.leading import leads_inside, locate, loses_tls

# Most links are absolute, and hold nothing that a URL may not: they are taken as they are, and only where they lead is looked at. Ports of
# five digits may be none.
_PLAIN = re.compile(r"https?://([A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+)(?::[1-9][0-9]{0,3})?/[A-Za-z0-9!$&'()*+,;=:@/?._~%#-]*")


class PageError(GatewayError):
    """A page is none: what is wrong with it, in words that go behind "the page"."""


@frozen
class Fetched:
    """A page as its upstream sent it.

    Attributes:
        project: whose it is, as the dialect calls it.
        url: where it was found, after redirects.
        media_type: lower-case, without parameters; "" where the upstream says none.
        charset: as the upstream says, or None.
        body: whole, decoded.
        private: whether it may lead to addresses of private networks.
    """

    project: str
    url: str
    media_type: str
    charset: str | None
    body: bytes = field(repr=False)
    private: bool = False

    def locate(self, link: str) -> str | None:
        """Return where a link of the page leads, without a fragment; None where nobody is sent to.

        That is what is no http(s) URL, holds credentials, leads from https to http, or is an address inside of a network.
        """
        link = link.partition("#")[0]
        plain = _PLAIN.fullmatch(link)
        url = link if plain is not None else locate(self.url, link.strip().encode("utf-8", "replace"))
        if url is None or loses_tls(self.url, url):
            return None
        host = plain[1] if plain is not None else urlsplit(url).hostname or ""
        return None if _leads_inside(host, self.private) else url


@frozen
class Written:
    """A page as clients see it.

    Attributes:
        pieces: its bytes. Between any two of them stands the gateway's own address, as the client sees it: "https://npm.acme.com". A
            dialect whose links are relative has one piece.
        files: where its files are: each one's name in the gateway's links, and its URL.
    """

    pieces: tuple[bytes, ...] = field(repr=False)
    files: Mapping[str, str] = field(repr=False)


class Dialect(Protocol):
    """What the pages of one kind of index are made of. Made once, and asked from any thread; it keeps nothing.

    Attributes:
        forms: in which pages are shown.
        files_form: the number of the form that is fetched where only a file is sought.
    """

    @property
    def forms(self) -> Forms: ...
    @property
    def files_form(self) -> int: ...

    def path(self, project: str) -> str:
        """Return where a project's page stands below the index's URL, percent-encoded: "rocket-skates/"."""
        ...

    def accept(self, form: int) -> str:
        """Return the ``Accept`` field with which an upstream is asked for what becomes this form."""
        ...

    def write(self, page: Fetched, form: int) -> Written:
        """Read a page, and write it in a form, with links that lead to the gateway.

        Raises:
            PageError: it is no page of this project.
        """
        ...

    def refuse(self, status: int, message: str, lines: tuple[tuple[str, str], ...] = ()) -> Respond:
        """Return an answer for whoever gets no page.

        Args:
            status: the HTTP status.
            message: for people, one line. Nothing of the request or of an upstream's answer stands in it.
            lines: further response headers.
        """
        ...


@lru_cache(maxsize=1024)
def _leads_inside(host: str, private: bool) -> bool:
    return leads_inside(host, private=private)
