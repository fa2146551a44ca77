"""Fetching a page: what is asked of an upstream index, how far it is followed, and what is made of its answer, or of none.

Everybody who wants a page meanwhile waits for one request. Whoever asked first makes sense of the answer and puts it on the shelf; the
others find it there. Nothing that a client sends reaches the upstream: what is fetched is everybody's.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeAlias

from attrs import evolve, frozen

from gatewaycore._version import __version__
from gatewaycore.decision import STATUSES, Failure, Read, Redirect, Respond, Step, Upstream
from gatewaycore.headers import Headers
from gatewaycore.privacy import seems_to_hold_address
from gatewaycore.rules.indexes.dialect import Dialect, Fetched, PageError, Written
from gatewaycore.rules.indexes.shelf import Kept, Key, Shelf, Trouble
from gatewaycore.rules.indexes.source import Source
from gatewaycore.rules.leading import locate

MOST_HOPS = 4
"""Redirects that are followed for one page."""

REST = timedelta(seconds=10)
"""How long an upstream that failed is not asked again for the same page: everybody would wait for it in vain."""

ABSENCE = timedelta(seconds=30)
"""How long a page that an upstream does not have is believed not to be there."""

STALE = "hit; detail=stale-if-error"
"""How a page came that is shown because its upstream failed (RFC 9211 §2)."""

_GONE = frozenset({404, 410})
_GZIP = frozenset({"gzip", "x-gzip"})
_WITH_HEADER = 47
"""What tells zlib to look for the header of gzip, or for its own."""
_MOST_MEMBERS = 4096
"""Of one body (RFC 1952 §2.2). Servers that pack in pieces make them of 64 KiB or more; empty ones without end would only take time."""
_SLICE_BYTES = 64 * 1024

_SAID: dict[Failure, tuple[int, str]] = {
    "connect": (502, "the index behind this gateway could not be reached"),
    "timeout": (504, "the index behind this gateway did not answer in time"),
    "protocol": (502, "the index behind this gateway gave an answer that cannot be read"),
    "address": (502, "the index behind this gateway has no address that this gateway connects to"),
}

Finish: TypeAlias = Callable[[Kept, bool, str], Respond | Redirect]
"""Makes an answer of a page: of the page, whether it is stale because its upstream failed, and how it came, for ``Cache-Status``."""


@frozen
class Sought:
    """A page that is to be fetched.

    Attributes:
        source: the upstream.
        dialect: what its pages are made of.
        shelf: where they are kept.
        project: whose it is.
        form: in which it is wanted.
    """

    source: Source
    dialect: Dialect
    shelf: Shelf
    project: str
    form: int

    @property
    def url(self) -> str:
        """Its URL at the upstream."""
        return self.source.url + self.dialect.path(self.project)

    @property
    def names_an_address(self) -> bool:
        """Tell whether its project's name looks like an address: where a whole scope is served, anybody makes up names."""
        return seems_to_hold_address(self.project)

    @property
    def key(self) -> Key:
        """What it is kept under."""
        return self.key_of(self.form)

    def key_of(self, form: int) -> Key:
        """Return what the page is kept under in a form."""
        return self.url, form, self.source.private, self.source.hosts

    def is_fresh(self, kept: Kept, now: datetime) -> bool:
        """Tell whether a page is believed without asking."""
        return now - kept.checked_at < self.source.ttl

    def may_be_shown(self, kept: Kept, now: datetime) -> bool:
        """Tell whether a page may be shown where its upstream fails (RFC 5861 §4)."""
        # As a difference: what is added up for ever is no date.
        return now - kept.checked_at - self.source.ttl < self.source.stale


class PageConversation:
    """One request that needs a page from its upstream (see `gatewaycore.decision.Conversation`).

    Args:
        sought: the page.
        now: when the request came in.
        finish: makes the answer of the page.
    """

    def __init__(self, sought: Sought, now: datetime, finish: Finish) -> None:
        self._sought = sought
        self._now = now
        self._finish = finish
        self._url = sought.url
        self._hops = 0
        self._kept = sought.shelf.page(sought.key)

    def start(self) -> Upstream:
        """Ask for the page, or whether it has changed."""
        return self._ask(self._url)

    def _ask(self, url: str) -> Upstream:
        self._url = url
        sought, kept = self._sought, self._kept
        lines = [("accept", sought.dialect.accept(sought.form)), ("accept-encoding", "gzip"), ("user-agent", f"gatewaycore/{__version__}")]
        if kept is not None and kept.etag is not None:
            lines.append(("if-none-match", kept.etag))
        elif kept is not None and kept.last_modified is not None:
            lines.append(("if-modified-since", kept.last_modified))
        return Upstream("GET", url, Headers(lines), private=sought.source.private, shared=True)

    def receive(self, status: int, headers: Headers) -> Step:
        """Take the page, follow where it is said to be, or make do without."""
        taken = self._taken(headers)
        if taken is not None:
            return taken
        if status == 200:
            return Read(self._sought.source.page_bytes, lambda body: self._take(headers, body))
        if status == 304 and self._kept is not None:
            kept = evolve(self._kept, checked_at=self._now, head=headers, rests_until=None)
            self._sought.shelf.keep(self._sought.key, kept)
            return self._finish(kept, False, "fwd=stale; fwd-status=304")
        if status in STATUSES:
            return self._follow(headers)
        if status in _GONE:
            return self._miss(headers)
        if status == 429 or status == 503:
            retry_after = _delay(headers.get("retry-after"))
            lines = () if retry_after is None else (("retry-after", retry_after),)
            return self._do_without(503, "the index behind this gateway has no time for it now", headers, f"answers {status}", lines)
        return self._do_without(502, "the index behind this gateway does not give this page", headers, f"answers {status}")

    def fail(self, reason: Failure) -> Step:
        """Make do without an answer."""
        status, message = _SAID[reason]
        return self._do_without(status, message, None, f"gives no answer ({reason})")

    # --- pages ------------------------------------------------------------------------------------------------

    def _taken(self, headers: Headers) -> Respond | Redirect | None:
        """Return the answer where somebody else has made sense of this very answer already."""
        taken = self._sought.shelf.taken(self._sought.key, headers)
        if isinstance(taken, Trouble):
            return taken.answer
        if taken is None:
            return None
        failed = taken.rests_until is not None
        return self._finish(taken, failed, STALE if failed else "fwd=miss; collapsed")

    def _take(self, headers: Headers, body: bytes | None) -> Step:
        sought = self._sought
        if body is None:
            message = f"the index behind this gateway sent a page of more than {sought.source.page_bytes} bytes"
            return self._do_without(502, message, headers, "sends a page that is too large")
        try:
            written = self._write(headers, body)
        except PageError as error:
            return self._do_without(502, f"the index behind this gateway sent a page that {error}", headers, f"sends a page that {error}")
        kept = Kept.make(written, headers, self._now)
        sought.shelf.keep(sought.key, kept)
        return self._finish(kept, False, "fwd=miss; stored" if self._kept is None else "fwd=stale; fwd-status=200; stored")

    def _write(self, headers: Headers, body: bytes) -> Written:
        sought = self._sought
        media_type, _, parameters = (headers.get("content-type") or "").partition(";")
        page = Fetched(
            sought.project,
            self._url,
            media_type.strip().lower(),
            _charset(parameters),
            _decoded(headers.get("content-encoding"), body, sought.source.page_bytes),
            sought.source.private,
        )
        return sought.dialect.write(page, sought.form)

    def _follow(self, headers: Headers) -> Step:
        location = headers.first(b"location")
        url = None if location is None else locate(self._url, location)
        if url is None or not self._sought.source.permits(url):
            message = "the index behind this gateway leads to where it is not known to lead"
            # Where to is for the log alone, and of that no more than nothing: it may hold what is secret.
            return self._do_without(502, message, headers, "redirects to a host that is not listed under allowed-hosts")
        self._hops += 1
        if self._hops > MOST_HOPS:
            return self._do_without(502, "the index behind this gateway redirects without end", headers, "redirects without end")
        return self._ask(url.partition("#")[0])

    # --- none -------------------------------------------------------------------------------------------------

    def _miss(self, headers: Headers) -> Respond:
        """The upstream has no such project: what is at hand of it is no more, in whichever form."""
        sought = self._sought
        answer = sought.dialect.refuse(404, "the index behind this gateway has no such project")
        for form in range(len(sought.dialect.forms.all)):
            sought.shelf.drop(sought.key_of(form))
        self._note(Trouble(answer, self._now + min(ABSENCE, sought.source.ttl), headers))
        return answer

    def _do_without(self, status: int, message: str, headers: Headers | None, note: str, lines: tuple[tuple[str, str], ...] = ()) -> Step:
        """Answer with the page that is at hand, and say so; or say why there is none."""
        sought, until = self._sought, self._now + REST
        asked_for = "a name that looks like an address" if sought.names_an_address else repr(sought.project)
        said = f"the index {sought.source.name} {note}, asked for {asked_for}"
        kept = sought.shelf.page(sought.key)
        if kept is not None and sought.may_be_shown(kept, self._now):
            # Of all who waited one tells the operator.
            told = kept.rests_until is not None and self._now < kept.rests_until
            kept = evolve(kept, head=kept.head if headers is None else headers, rests_until=until)
            sought.shelf.keep(sought.key, kept)
            shown = self._finish(kept, True, STALE)
            return (
                shown
                if told
                else evolve(shown, note=f"{said}; the page at hand is {'followed' if isinstance(shown, Redirect) else 'shown'}")
            )
        told = sought.shelf.trouble(sought.key, self._now) is not None
        answer = sought.dialect.refuse(status, message, lines)
        self._note(Trouble(answer, until, headers))
        return answer if told else evolve(answer, note=said)

    def _note(self, trouble: Trouble) -> None:
        # No address is remembered, nor written to the log: a client may have put its own there.
        if not self._sought.names_an_address:
            self._sought.shelf.note(self._sought.key, trouble)


def _charset(parameters: str) -> str | None:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            return value.strip().strip('"') or None
    return None


def _decoded(coding: str | None, body: bytes, limit: int) -> bytes:
    """Return a body without its content coding (RFC 9110 §8.4): never more than `limit` bytes, whatever it says it is."""
    coding = (coding or "identity").strip().lower()
    if coding == "identity":
        return body
    if coding not in _GZIP:
        raise PageError("comes in a coding that was not asked for")
    try:
        return _unfolded(memoryview(body), limit)
    except zlib.error as error:
        raise PageError("is no gzip, though it says so") from error


def _unfolded(rest: memoryview, limit: int) -> bytes:
    """Return what all members of a gzip file unfold to, one after the other."""
    pieces: list[bytes] = []
    left = limit
    for _ in range(_MOST_MEMBERS):
        inflater = zlib.decompressobj(_WITH_HEADER)
        while not inflater.eof:
            if not rest:
                raise PageError("ends too soon")
            # In slices: of what stands behind a member, zlib makes a copy.
            piece = inflater.decompress(rest[:_SLICE_BYTES], left + 1)
            left -= len(piece)
            if left < 0:
                raise PageError(f"unfolds to more than {limit} bytes")
            pieces.append(piece)
            rest = rest[min(_SLICE_BYTES, len(rest)) - len(inflater.unused_data) :]
        if not rest:
            return b"".join(pieces)
    raise PageError("is packed in more pieces than any index makes")


def _delay(value: str | None) -> str | None:
    """Return when to come back, as an upstream said, where that is a number of seconds (RFC 9110 §10.2.3)."""
    return value if value is not None and value.isascii() and value.isdigit() and len(value) < 6 else None
