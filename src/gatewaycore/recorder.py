"""Recorder: outcome + what was sent -> enriched events -> journal. Runs before the last chunk of an answer leaves, and never raises.

Whoever opted out is not recorded, not looked up and not counted: the first line of `record` is the only one that runs.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import TypeAlias
from urllib.parse import urlsplit

import msgspec
from attrs import define

from gatewaycore.callers import Callers
from gatewaycore.decision import DecisionName, Proxy, Redirect, Respond
from gatewaycore.enrich import Caller, Enricher
from gatewaycore.event import COLUMNS, MAX_TEXT, PLATFORMS, SCHEMA, Event, Kind
from gatewaycore.gateway import Outcome, Settled
from gatewaycore.ids import Ids
from gatewaycore.owntraffic import OwnTraffic
from gatewaycore.privacy import REACH, may_hide_address, may_hold, needle, opted_out, redact, seems_to_hold_ipv6
from gatewaycore.request import Request
from gatewaycore.salts import Salts

_log = logging.getLogger("gatewaycore.recorder")
_encode = msgspec.json.Encoder().encode
_LIKE_IPV4 = re.compile(rb"\d\.\d{1,3}\.\d{1,3}\.\d")
_decode = msgspec.json.Decoder(Event).decode

_CALLERS = 8192
# Longer ones are cut: thousands of callers, each with as much as a server takes, would fill the memory.
_AGENT_BYTES = 1024
# An address that the cut goes through is found whole.
_AGENT_BYTES_READ = _AGENT_BYTES + REACH
# The longest that is registered has 17 letters, but a client may send any.
_METHOD_CHARACTERS = 32
# The domain too: a client may well write its own address into Host, and a default domain or "*" answers whatever was asked for.
_SAID = ("domain", "method", "package", "version", "platform", "arch", "page")

_NOTHING: Mapping[str, str] = {}

Append: TypeAlias = Callable[[bytes], bool]


@define(slots=True)
class Sent:
    """What an adapter sent. Nobody mutates it.

    Attributes:
        status: of the answer; 0 when the client was gone before one was there.
        body_bytes: of the body, as far as it was sent.
        upstream: the URL of the upstream that answered, or "".
        entries: the events that a `Reception` found in the body.
        redirected: where a `Reception` or a conversation led, when it was a `Redirect`.
        variables: what the upstream's answer said of what was fetched; they win over nothing that the request said.
    """

    status: int
    body_bytes: int = 0
    upstream: str = ""
    entries: Sequence[Mapping[str, str]] = ()
    redirected: Redirect | None = None
    variables: Mapping[str, str] = _NOTHING

    @classmethod
    def concluding(cls, answer: Redirect | Respond, body_bytes: int, upstream: str) -> Sent:
        """Return what was sent where a conversation ended with an answer of its own.

        Args:
            answer: the answer.
            body_bytes: of its body, as it was sent.
            upstream: the URL of the last upstream that was asked.
        """
        if isinstance(answer, Redirect):
            return cls(answer.status, body_bytes, redirected=answer)
        return cls(answer.status, body_bytes, "" if answer.kept else upstream)


class _What(msgspec.Struct, omit_defaults=True, gc=False):
    """The columns of an event that do not depend on who asks, nor on when."""

    schema: int
    domain: str
    package_type: str
    rule: str
    kind: Kind
    method: str
    status: int
    decision: DecisionName
    bytes: int
    package: str | None = None
    target: str | None = None
    version: str | None = None
    platform: str | None = None
    platform_recognised: bool | None = None
    arch: str | None = None
    page: str | None = None
    variables: Mapping[str, str] | None = None


@define(slots=True)
class _Who:
    """The columns that all events of one caller share, encoded: with what it says its architecture is, and without, for rules that know.

    It `is_odd` when its address is none that looks like one. The address itself is not held.
    """

    is_odd: bool
    columns: bytes
    without_arch: bytes


class Recorder:
    """Makes events and appends them.

    An event is put together from two pieces of JSON, behind its id and time: what was asked for, and by whom. What is known of a caller is
    looked up and encoded once for many requests, and so is what was asked for, where the gateway keeps the answer.

    Args:
        append: takes one line; see `Journal.append`.
        enrichers: say what can be known of a caller; the first that knows a column wins.
        salts: the keys of the identifiers.
        append_all: takes all lines of one request; see `Journal.append_all`. They are appended one by one without it.
    """

    def __init__(
        self, append: Append, enrichers: Sequence[Enricher], salts: Salts, append_all: Callable[[Sequence[bytes]], object] | None = None
    ) -> None:
        self._append = append
        self._append_all = append_all or self._one_by_one
        self._callers = Callers(enrichers)
        self._salts = salts
        self._failed = 0
        # By a hash that Python keys anew in each process, with the salt in it: no address is held when its request has been answered.
        self._known: dict[int, _Who] = {}
        self._ids = Ids()

    @property
    def failed(self) -> int:
        """How often something went wrong: an event that was not recorded, or an enricher that raised something."""
        return self._failed + self._callers.failed

    def record(self, outcome: Outcome, sent: Sent) -> bool:
        """Append the events of one answered request. Never raises: what goes wrong is counted in `failed`, and its type logged.

        Returns:
            False for those who opted out, of whom nobody is to take note.
        """
        if opted_out(outcome.request.headers):
            return False
        try:
            lines = self._lines(outcome, sent)
            if len(lines) == 1:
                self._append(lines[0])
            elif lines:
                self._append_all(lines)
        except Exception as error:  # noqa: BLE001 - an event must never cost an answer
            self._fail(error)
        return True

    def _one_by_one(self, lines: Sequence[bytes]) -> None:
        for line in lines:
            self._append(line)

    def record_settled(self, outcome: Outcome, settled: Settled) -> bool:
        """Do the same for a redirect that the gateway keeps: what was asked for is encoded already."""
        request = outcome.request
        headers = request.headers
        if opted_out(headers):
            return False
        try:
            now_ns = time.time_ns()
            # `_caller` and `_line`, written out: most requests end here, and a call of either costs as much as what it does.
            if now_ns >= self._salts.until_ns:
                self._rotate(now_ns)
            agent = headers.first(b"user-agent")
            if agent is not None and len(agent) > _AGENT_BYTES_READ:
                agent = agent[:_AGENT_BYTES_READ]
            address, host = request.client_ip, request.host
            who = self._known.get(hash((self._salts.key, address, agent, host))) or self._meet(address, agent, host)
            asked = settled.columns
            if asked is None:
                what = self._what(outcome, Sent(settled.decision.status))
                if what is None:
                    return True
                asked = _encode(what)[1:-1]
                # Nothing of it is cut: the gateway keeps no answer to a long request.
                if seems_to_hold_ipv6(asked) or may_hide_address(asked):
                    # An address in one of many spellings: looked at anew for every caller.
                    return self.record(outcome, Sent(settled.decision.status))
                settled.names_arch = what.arch is not None
                settled.suspect = _LIKE_IPV4.search(asked) is not None
                settled.columns = asked
            # Where nothing looks like an address, no address is searched for (0.17 µs), unless it does not look like one either.
            if (settled.suspect or who.is_odd) and (needle(address).encode() or b"\n") in asked:
                # A variable holds this client's own address: redacted in its event, and in nobody else's.
                return self.record(outcome, Sent(settled.decision.status))
            by = who.without_arch if settled.names_arch else who.columns
            mark = request.mark
            if mark is None or not mark.is_near(now_ns):
                number, received_at = self._ids.make(now_ns), _encode(request.received_at)
            else:
                # The same as in the record of another node, which has died before it could answer.
                number, received_at = mark.event_id(), _encode(mark.time)
            self._append(b"".join((b'{"id":"', number, b'","time":', received_at, b",", asked, b",", by, b"}\n")))
        except Exception as error:  # noqa: BLE001 - an event must never cost an answer
            self._fail(error)
        return True

    def refused(self, status: int) -> None:
        """Take note of an answer that is no event: its request could not be read. Kept is nothing."""

    def broken(self) -> None:
        """Take note that an upstream ended in the middle of its answer."""

    def _fail(self, error: Exception) -> None:
        # The error's text might quote what must not be kept.
        self._failed += 1
        _log.error("an event could not be recorded: %s", type(error).__name__)

    def events(self, outcome: Outcome, sent: Sent) -> list[Event]:
        """Return the events that `record` would append, read back from their lines."""
        if opted_out(outcome.request.headers):
            return []
        return [decode(line) for line in self._lines(outcome, sent)]

    def _lines(self, outcome: Outcome, sent: Sent) -> list[bytes]:
        """Return one line for each event in the body, else one; none when nothing matched or it was refused here."""
        request, now_ns = outcome.request, time.time_ns()
        who = self._caller(request, now_ns)
        mark = request.mark if request.mark is not None and request.mark.is_near(now_ns) else None
        received_at = _encode(request.received_at if mark is None else mark.time)
        lines: list[bytes] = []
        for entry in sent.entries or (None,):
            what = self._what(outcome, sent, entry)
            if what is None:
                continue
            asked = _encode(what)
            if len(asked) > MAX_TEXT or may_hold(asked, request.client_ip):
                asked = _encode(_redacted(what, request.client_ip))
            by = who.columns if what.arch is None else who.without_arch
            number = self._ids.make(now_ns) if mark is None else mark.event_id(len(lines))
            lines.append(_line(number, received_at, asked[1:-1], by))
        return lines

    def _what(self, outcome: Outcome, sent: Sent, entry: Mapping[str, str] | None = None) -> _What | None:
        match, decision = outcome.match, outcome.decision
        if match is None:
            return None
        if sent.status >= 400 and not sent.upstream and not (isinstance(decision, Respond) and decision.counts):
            return None
        seen = match.route.observe(outcome.request, match, entry)
        if seen is None:
            return None
        redirect = decision if isinstance(decision, Redirect) else sent.redirected
        method, platform = outcome.request.method, seen.platform
        return _What(
            SCHEMA,
            outcome.request.host,
            seen.package_type,
            seen.rule,
            seen.kind,
            method if len(method) <= _METHOD_CHARACTERS else redact(method, outcome.request.client_ip, _METHOD_CHARACTERS),
            sent.status,
            # Where a body was collected first, it is what was asked that tells.
            "redirect" if redirect is not None else "proxy" if isinstance(decision, Proxy) or sent.upstream else "respond",
            sent.body_bytes,
            seen.package,
            _host(sent.upstream if redirect is None else redirect.location),
            seen.version,
            platform,
            None if platform is None else platform.lower() in PLATFORMS,
            seen.arch,
            seen.page,
            {**sent.variables, **seen.variables} if sent.variables else seen.variables or None,
        )

    def _caller(self, request: Request, now_ns: int) -> _Who:
        if now_ns >= self._salts.until_ns:
            self._rotate(now_ns)
        agent = request.headers.first(b"user-agent")
        return self._meet(request.client_ip, None if agent is None else agent[:_AGENT_BYTES_READ], request.host)

    def _meet(self, address: str, agent: bytes | None, domain: str) -> _Who:
        """Return what is known of a caller, looked up where nothing is yet."""
        known, mark = self._known, hash((self._salts.key, address, agent, domain))
        who = known.get(mark)
        if who is None:
            who = self._identify(address, agent, domain)
            if len(known) >= _CALLERS:
                known.clear()
            known[mark] = who
        return who

    def leaving_out(self, own: OwnTraffic | None) -> Recorder:
        """Return a recorder that goes on where this one is, and records no own traffic.

        Another recorder, and not a question in this one: where nothing is left out, leaving out costs nothing.
        """
        other = Recorder(self._append, (), self._salts, self._append_all) if own is None else _Selective(self, own)
        other._callers, other._failed = self._callers, self._failed
        return other

    def keep_house(self, now_ns: int) -> None:
        """Take a new salt when it is time to, so that an old one is destroyed even where nobody asks; let enrichers look at their files.

        Waits for files, and for the database where nodes share their salts: it is no part of answering a request.
        """
        if self._salts.is_over(now_ns):
            self._rotate(now_ns)
        if self._salts.refresh(now_ns):
            self._forget()
        if self._callers.refresh():
            self._forget()

    def _rotate(self, now_ns: int) -> None:
        self._salts.rotate(now_ns)
        self._forget()

    def _forget(self) -> None:
        # Another mapping, not the same one emptied: another thread may be about to put something into it that an old file says.
        self._known = {}

    def _identify(self, address: str, agent: bytes | None, domain: str) -> _Who:
        user_agent = None if agent is None else redact(agent.decode("latin-1"), address, _AGENT_BYTES)
        columns = self._callers.columns_of(Caller(address, user_agent, domain), self._salts.key)
        whole = _encode(columns)[1:-1]
        columns.pop("arch", None)
        is_odd = ":" not in address and not _LIKE_IPV4.search(address.encode("utf-8", "replace"))
        return _Who(is_odd, whole, _encode(columns)[1:-1])


class _Selective(Recorder):
    """Records what is no own traffic.

    Args:
        other: appends to the same journal, with the same salts.
        own: tells what is.
    """

    def __init__(self, other: Recorder, own: OwnTraffic) -> None:
        super().__init__(other._append, (), other._salts, other._append_all)
        self._own = own

    def record(self, outcome: Outcome, sent: Sent) -> bool:
        request = outcome.request
        if self._own.sent(request.client_ip, request.headers):
            return not opted_out(request.headers)
        return super().record(outcome, sent)

    def record_settled(self, outcome: Outcome, settled: Settled) -> bool:
        request = outcome.request
        if self._own.sent(request.client_ip, request.headers):
            return not opted_out(request.headers)
        return super().record_settled(outcome, settled)

    def events(self, outcome: Outcome, sent: Sent) -> list[Event]:
        request = outcome.request
        return [] if self._own.sent(request.client_ip, request.headers) else super().events(outcome, sent)


def _line(number: bytes, received_at: bytes, asked: bytes, by: bytes) -> bytes:
    return b"".join((b'{"id":"', number, b'","time":', received_at, b",", asked, b",", by, b"}\n"))


def decode(line: bytes) -> Event:
    """Return the event in one line of a journal.

    Raises:
        Exception: one of `segments.UNREADABLE`: the line is torn, or holds something else.
    """
    return _decode(line)


def encode(event: Event) -> bytes:
    """Return an event's line of a journal: `decode` gives it back."""
    columns = {name: value for name in COLUMNS if (value := getattr(event, name)) is not None}
    if not columns["variables"]:
        del columns["variables"]
    return _encode(columns) + b"\n"


@lru_cache(maxsize=1024)
def _host_of(origin: str) -> str | None:
    try:
        return urlsplit(origin).hostname
    except ValueError:
        return None


def _host(url: str) -> str | None:
    # "https://host/path" up to its third slash: the path, which differs each time, stays out of the cache.
    end = url.find("/", 8)
    return _host_of(url if end < 0 else url[:end]) if url else None


def _redacted(what: _What, address: str) -> _What:
    """Return the columns without the client's own address, which a link or a script may have put into a path or a query, and cut."""
    return msgspec.structs.replace(
        what,
        **{name: redact(text, address, MAX_TEXT) for name in _SAID if (text := getattr(what, name)) is not None},
        variables={redact(name, address): redact(value, address, MAX_TEXT) for name, value in (what.variables or {}).items()} or None,
    )
