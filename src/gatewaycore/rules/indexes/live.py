"""Live: an upstream's projects as a domain's clients see them. A package manager's route asks it what to answer."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from functools import partial
from hashlib import sha256
from urllib.parse import quote

from attrs import define, evolve

from gatewaycore.decision import Decision, Proxy, Redirect, Respond
from gatewaycore.headers import Headers, holds
from gatewaycore.outgoing import carry
from gatewaycore.privacy import seems_to_hold_address
from gatewaycore.request import Request
from gatewaycore.rules.indexes.conversation import STALE, PageConversation, Sought
from gatewaycore.rules.indexes.dialect import Dialect
from gatewaycore.rules.indexes.shelf import Kept, Part, Shelf
from gatewaycore.rules.indexes.source import Source

PATIENT_S = 30.0
"""How long a client waits for a page that is not at hand."""

IMPATIENT_S = 10.0
"""How long it waits for news of one that is: installers give up after 15 s."""

_NAME_CHARACTERS = 512
_SLASHES = frozenset("/\\")
# Of ten thousand names nearly all are made of these.
_PLAIN_NAME = re.compile(r"[A-Za-z0-9._~+!-]+").fullmatch

LOOK_AGAIN = timedelta(seconds=15)
"""How old a page must be for a file that it does not have to be looked for anew: another node may have shown it to a client already."""


@define(slots=True, eq=False)
class Live:
    """One upstream behind one domain. Nobody mutates it, but for what is on its shelf.

    Attributes:
        source: the upstream.
        dialect: what its pages are made of.
        shelf: of the domain; several upstreams share it.
    """

    source: Source
    dialect: Dialect
    shelf: Shelf

    # --- pages ------------------------------------------------------------------------------------------------

    def page(self, request: Request, project: str, part: Part | None = None) -> Decision:
        """Return a project's page in the form that the client prefers: at once where it is at hand, else from the upstream.

        Args:
            request: the request.
            project: whose page it is.
            part: what of the page is wanted, where that is not all of it; taken from the first form, whatever the client prefers.
        """
        form = self.dialect.forms.wanted(request.headers) if part is None else 0
        sought = Sought(self.source, self.dialect, self.shelf, project, form)
        finish = partial(self._show, request, form, part)
        now = request.received_at
        kept = self.shelf.page(sought.key)
        if kept is not None:
            if sought.is_fresh(kept, now):
                return finish(kept, False, "hit")
            if kept.rests_until is not None and now < kept.rests_until and sought.may_be_shown(kept, now):
                return finish(kept, True, STALE)
        trouble = self.shelf.trouble(sought.key, now)
        if trouble is not None:
            return trouble.answer
        return Proxy(partial(PageConversation, sought, now, finish), PATIENT_S if kept is None else IMPATIENT_S)

    def _show(self, request: Request, form: int, part: Part | None, kept: Kept, stale: bool, came: str) -> Respond:
        pieces = kept.written.pieces
        digest = kept.digest
        if len(pieces) > 1:
            # The same page under two addresses is not the same bytes.
            digest = sha256(f"{digest} {request.base}".encode()).hexdigest()
        if part is not None:
            found = self._part(request, pieces, digest, part)
            if found is None:
                return evolve(self.dialect.refuse(404, "this project has no such version"), kept=True)
            pieces, digest = (found,), sha256(found).hexdigest()
        # Two forms may be the same bytes under two media types; a strong tag tells even those apart (RFC 9110 §8.8.1).
        tag = f'"{digest[:62]}-{form}"'
        ttl = int(self.source.ttl.total_seconds())
        age = max(0, int((request.received_at - kept.checked_at).total_seconds()))
        lines = [
            ("etag", tag),
            ("cache-control", f"public, max-age={ttl}, stale-if-error={int(self.source.stale.total_seconds())}"),
            ("vary", "Accept"),
            ("age", str(age)),
            ("cache-status", f"gatewaycore; {came}; ttl={ttl - age}"),
        ]
        if stale:
            # Of no standing any more (RFC 9111 §5.5), and still what people and their tools look for.
            lines.append(("warning", '110 gatewaycore "Response is Stale"'))
        kept_here = came.startswith("hit")
        if holds(request.headers, tag):
            # Everything a 304 must repeat (RFC 9110 §15.4.5) is everything that a cache needs.
            return Respond(304, Headers(lines), kept=kept_here)
        media = [("content-type", self.dialect.forms.all[form].content_type), ("x-content-type-options", "nosniff")]
        return Respond(200, Headers([*media, *lines]), _joined(pieces, request), kept=kept_here)

    def _part(self, request: Request, pieces: tuple[bytes, ...], digest: str, part: Part) -> bytes | None:
        found = self.shelf.part(digest, part)
        if found is None:
            found = part(_joined(pieces, request))
            # What is not there is not remembered, for anybody makes up names; nor an address, in a host or a mount, however it is escaped.
            named = request.host + request.mount
            if found is not None and "%" not in named and not seems_to_hold_address(named):
                self.shelf.keep_part(digest, part, found)
        return found

    # --- files ------------------------------------------------------------------------------------------------

    def file(self, request: Request, project: str, name: str, status: int, suffix: str = "") -> Decision:
        """Return where one of a project's files is: whatever its page says, and nowhere else.

        Args:
            request: the request; its query is carried along.
            project: whose file it is.
            name: of the file, decoded, as the page's links have it.
            status: of the redirect.
            suffix: what is asked for stands beside the file, under its path with this behind it: ".metadata".
        """
        now = request.received_at
        finish = partial(self._send_on, request, name, status, suffix)
        latest: Kept | None = None
        old: Sought | None = None
        for form in range(len(self.dialect.forms.all)):
            sought = Sought(self.source, self.dialect, self.shelf, project, form)
            kept = self.shelf.page(sought.key)
            if kept is None:
                continue
            if not (sought.is_fresh(kept, now) or _rests(kept, now)):
                # Asked about first: where the upstream is down, the page that is at hand still says where the file is.
                old = sought if name in kept.written.files else old
                continue
            if name in kept.written.files:
                return finish(kept, False, "hit")
            latest = kept if latest is None or kept.checked_at > latest.checked_at else latest
        if latest is not None and (_rests(latest, now) or now < latest.checked_at + LOOK_AGAIN):
            return self._no_file()
        sought = old or Sought(self.source, self.dialect, self.shelf, project, self.dialect.files_form)
        trouble = self.shelf.trouble(sought.key, now)
        if trouble is not None:
            return trouble.answer
        at_hand = self.shelf.page(sought.key) is not None
        return Proxy(partial(PageConversation, sought, now, finish), IMPATIENT_S if at_hand else PATIENT_S)

    def _send_on(self, request: Request, name: str, status: int, suffix: str, kept: Kept, _stale: bool, _came: str) -> Respond | Redirect:
        url = kept.written.files.get(name)
        if url is None:
            return evolve(self._no_file(), kept=True)
        if suffix:
            path, question_mark, query = url.partition("?")
            url = f"{path}{suffix}{question_mark}{query}"
        return Redirect(carry(url, request.query), status)

    def _no_file(self) -> Respond:
        return self.dialect.refuse(404, "this project has no such file")


def _joined(pieces: tuple[bytes, ...], request: Request) -> bytes:
    return pieces[0] if len(pieces) == 1 else request.base.encode("latin-1", "replace").join(pieces)


def _rests(kept: Kept, now: datetime) -> bool:
    return kept.rests_until is not None and now < kept.rests_until


def file_href(name: str) -> str:
    """Return a file's name as a relative link, percent-encoded.

    A colon left alone would make a scheme of what stands before it (RFC 3986 §4.2).
    """
    return name if _PLAIN_NAME(name) is not None else quote(name, safe="+!~")


def is_file_name(name: str) -> bool:
    """Tell whether a name may be one segment of a path."""
    if len(name) > _NAME_CHARACTERS or name in ("", ".", ".."):
        return False
    return _PLAIN_NAME(name) is not None or (name.isprintable() and _SLASHES.isdisjoint(name))
