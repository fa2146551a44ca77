"""Making: the fields of a line -> a line of the journal, with everything that a request's event has.

The address is looked up, hashed and left behind. It is in no column, in no text that held it, and in no id.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from ipaddress import ip_address
from typing import Any, Literal, TypeAlias

import msgspec
from attrs import frozen

from gatewaycore.enrich import Caller, Column
from gatewaycore.errors import RequestError
from gatewaycore.event import KINDS, PLATFORMS, SCHEMA, Kind, Observation
from gatewaycore.headers import Headers
from gatewaycore.importing.fields import unfold
from gatewaycore.importing.ids import content_key, event_id, is_hash, unique_key
from gatewaycore.importing.names import GIVEN_NAMES, RefusedError
from gatewaycore.importing.packages import Packages, Target
from gatewaycore.importing.times import read_time
from gatewaycore.owntraffic import OwnTraffic
from gatewaycore.privacy import may_hide_address, needle, opted_out, redact, seems_to_hold_ipv6
from gatewaycore.recorder import Recorder, fit
from gatewaycore.request import normalise_host

_encode = msgspec.json.Encoder().encode
_CALLERS = 8192
_AGENT_CHARACTERS = 1024
_UNIQUE_CHARACTERS = 1024
_OFFERED: Mapping[str, Kind] = {kind: kind for kind in KINDS}
_HEADERS = "$headers."
_VARIABLES = "$variables."

Made: TypeAlias = tuple[datetime, bytes]
Occurrence: TypeAlias = Callable[[bytes], int]
"""Counts one key up; returns how often it was counted before."""


@frozen
class LeftOut:
    """A line that is none of our business: nothing of it is kept.

    Attributes:
        why: whoever it is of has opted out, or is who runs this; or another line of the file has its `$unique_id`, and comes later.
    """

    why: Literal["opted-out", "own-traffic", "replaced"]


@frozen
class _Known:
    """What is known of a caller, encoded: with what it says its architecture is, and without."""

    address: bytes
    is_ipv6: bool
    user_agent: bytes
    columns: Mapping[str, Column]
    whole: bytes
    without_arch: bytes


class Maker:
    """Makes lines of the journal. Nothing is written, and nothing but the last few thousand callers is remembered.

    Args:
        packages: that there are.
        recorder: knows what there is to know of a caller.
        key: of the identifiers, by the period that a time lies in.
        occurrence: counts events that keep the same.
        latest: what is later is refused.
        own: whose events are left out because they are the operator's own.
    """

    def __init__(
        self,
        packages: Packages,
        recorder: Recorder,
        key: Callable[[datetime], bytes],
        occurrence: Occurrence,
        latest: datetime,
        own: OwnTraffic | None = None,
    ) -> None:
        self._packages = packages
        self._recorder = recorder
        self._key = key
        self._occurrence = occurrence
        self._latest = latest
        self._own = own
        # As in the recorder: in memory only.
        self._known = lru_cache(maxsize=_CALLERS)(self._identify)
        self._host = lru_cache(maxsize=_CALLERS)(_host)

    def make(self, fields: dict[str, str], is_last: Callable[[bytes], bool] | None = None) -> Made | LeftOut:
        """Return the time and the line of one event.

        Args:
            fields: names as `Names.apply` returns them; taken over.
            is_last: tells whether no later line has this key of a `$unique_id`.

        Raises:
            RefusedError: something is missing, or is not what it should be.
        """
        fields = unfold(fields)
        headers = _headers(fields)
        if headers is not None and opted_out(headers):
            return LeftOut("opted-out")
        time = read_time(fields.get("$time"), self._latest)
        package, pixel = fields.get("$package"), fields.get("$pixel")
        target = self._packages.find(package or pixel or None, pixel=not package and pixel is not None)
        domain = target.domain if "$domain" not in fields else self._host(fields["$domain"])
        address, agent = fields.get("$remote_address", ""), _agent(fields, headers)
        if self._own is not None and self._own.sent(address, _with_agent(headers, agent)):
            return LeftOut("own-traffic")
        known = self._known(address, agent, domain, self._key(time))
        asked = _asked(fields, target, domain, headers)
        encoded = _encode(asked)
        if known.address in encoded or (known.is_ipv6 and seems_to_hold_ipv6(encoded)) or (b"%" in encoded and may_hide_address(encoded)):
            asked = _redacted(asked, address)
            encoded = _encode(asked)
        given = _given(fields, address)
        by = known.without_arch if "arch" in asked else known.whole
        if given:
            columns = {**known.columns, **given}
            if "arch" in asked:
                columns.pop("arch", None)
            by = _encode(columns)[1:-1]
        at = _encode(time)
        number = self._number(fields, time, address, is_last, target, (at, encoded, known.user_agent, _encode(given) if given else b""))
        if isinstance(number, LeftOut):
            return number
        return time, b"".join((b'{"id":"', number, b'","time":', at, b",", encoded[1:-1], b",", by, b"}\n"))

    def _number(
        self,
        fields: Mapping[str, str],
        time: datetime,
        address: str,
        is_last: Callable[[bytes], bool] | None,
        target: Target,
        content: tuple[bytes, ...],
    ) -> bytes | LeftOut:
        """Return the event's id."""
        unique = fields.get("$unique_id")
        if unique is None:
            key = content_key(*content)
            return event_id(time, key, self._occurrence(key))
        if len(unique) > _UNIQUE_CHARACTERS:
            raise RefusedError(f"$unique_id has more than {_UNIQUE_CHARACTERS} characters")
        key = unique_key(target.subject.package, redact(unique, address))
        if is_last is not None and not is_last(said_key(fields, unique)):
            return LeftOut("replaced")
        return event_id(time, key)

    def _identify(self, address: str, agent: str | None, domain: str, key: bytes) -> _Known:
        if address:
            try:
                ip_address(address)
            except ValueError:
                raise RefusedError("$remote_address is no address") from None
        user_agent = None if agent is None else redact(agent, address)
        columns = self._recorder.columns_of(Caller(address, user_agent, domain), key)
        without = {name: value for name, value in columns.items() if name != "arch"}
        return _Known(
            needle(address).encode() or b"\n",
            ":" in address,
            (user_agent or "").encode(),
            columns,
            _encode(columns)[1:-1],
            _encode(without)[1:-1],
        )


def said_key(fields: Mapping[str, str], unique_id: str) -> bytes:
    """Return what is the same for lines of one file that have one ``$unique_id``, and name one package."""
    return unique_key(f"{fields.get('$package', '')}\0{fields.get('$pixel', '')}", unique_id)


def keys_of_periods(key: bytes, now: datetime, rotation: Literal["month", "day"]) -> Callable[[datetime], bytes]:
    """Return what tells the key of identifiers for a time.

    Events of this period have the key that live ones have. Those of each earlier one have a key of their own, derived from it: identifiers
    of two periods must not be comparable, and those of an import no more than others.

    Args:
        key: of the period that `now` lies in.
        now: when this is.
        rotation: how long a period is.
    """
    form = "%Y-%m-%d" if rotation == "day" else "%Y-%m"
    keys = {now.strftime(form): key}

    def of(time: datetime) -> bytes:
        period = f"{time.year:04}-{time.month:02}-{time.day:02}" if rotation == "day" else f"{time.year:04}-{time.month:02}"
        found = keys.get(period)
        if found is None:
            found = keys[period] = blake2b(period.encode(), key=key, digest_size=32, person=b"import period").digest()
        return found

    return of


def _headers(fields: dict[str, str]) -> Headers | None:
    """Return the header fields that a line brings along, and take them out of it.

    Raises:
        RefusedError: they are no object: nobody could tell whether somebody has opted out.
    """
    names = [name for name in fields if name.startswith(_HEADERS)]
    if not names:
        return None
    lines: list[tuple[str, str]] = []
    for name in names:
        # A field that came several times is an array.
        field, dot, number = name.removeprefix(_HEADERS).rpartition(".")
        found = field if dot and number.isdigit() else name.removeprefix(_HEADERS)
        if found.isdigit() or not found:
            raise RefusedError("$headers is no object of names and values")
        lines.append((found, fields.pop(name)))
    return Headers(lines)


def _with_agent(headers: Headers | None, agent: str | None) -> Headers:
    lines = [] if headers is None else [line for line in headers.items() if line[0] != "user-agent"]
    return Headers(lines if agent is None else [*lines, ("user-agent", agent)])


def _agent(fields: Mapping[str, str], headers: Headers | None) -> str | None:
    agent = fields.get("$user_agent")
    if agent is None and headers is not None:
        agent = headers.get("user-agent")
    return None if agent is None else agent[:_AGENT_CHARACTERS].encode("utf-8", "replace").decode()


def _host(text: str) -> str:
    try:
        return normalise_host(text)
    except RequestError:
        raise RefusedError("$domain is no host name") from None


def _asked(fields: dict[str, str], target: Target, domain: str, headers: Headers | None) -> dict[str, Any]:
    """Return the columns that do not depend on who asked, but for those that are empty."""
    subject, kind = target.subject, None
    said = fields.get("$type")
    if said is not None:
        kind = _OFFERED.get(said)
        if kind is None:
            raise RefusedError(f"$type is none of {', '.join(KINDS)}")
        if kind == "download" and subject.kind == "pull":
            kind = "pull"
    for name in [name for name in fields if name.startswith(_VARIABLES)]:
        fields.setdefault(name.removeprefix(_VARIABLES), fields.pop(name))
    page = None
    if headers is not None and subject.package_type == "pixel":
        page = headers.get("referer")
    seen = subject.observe(target.rule, {}, "", fields, page)
    asked: dict[str, Any] = {
        "schema": SCHEMA,
        "domain": domain,
        "package": seen.package,
        "package_type": seen.package_type,
        "rule": seen.rule,
        "kind": kind or ("pull" if subject.kind == "pull" else seen.kind),
        "method": target.method,
        "status": 200,
        "decision": "respond",
        "bytes": 0,
    }
    return _optional(asked, seen)


def _optional(asked: dict[str, Any], seen: Observation) -> dict[str, Any]:
    if seen.version is not None:
        asked["version"] = seen.version
    if seen.platform is not None:
        asked["platform"] = seen.platform
        asked["platform_recognised"] = seen.platform.lower() in PLATFORMS
    if seen.arch is not None:
        asked["arch"] = seen.arch
    if seen.page is not None:
        asked["page"] = seen.page
    if seen.variables:
        asked["variables"] = seen.variables
    return asked


_SAID = ("domain", "package", "version", "platform", "arch", "page")


def _redacted(asked: dict[str, Any], address: str) -> dict[str, Any]:
    redacted = {name: redact(value, address) if name in _SAID else value for name, value in asked.items()}
    if "variables" in asked:
        redacted["variables"] = {redact(name, address): redact(value, address) for name, value in asked["variables"].items()}
    return redacted


def _given(fields: Mapping[str, str], address: str) -> dict[str, Column]:
    """Return the columns that a line knows already.

    Raises:
        RefusedError: one is not what it should be.
    """
    given: dict[str, Column] = {}
    for name in GIVEN_NAMES.keys() & fields.keys():
        column, text = GIVEN_NAMES[name], fields[name]
        if column in ("origin_id", "endpoint_id"):
            # An address is none: whoever maps a column of addresses to it must not have them kept.
            if not is_hash(text):
                raise RefusedError(f"{name} is no hash in hexadecimal digits")
            given[column] = text
            continue
        value: Column = text
        if column == "confidence":
            try:
                value = float(text)
            except ValueError:
                value = None
        elif column == "connection":
            value = text.lower()
        found = fit(column, value, address)
        if found is None:
            raise RefusedError(f"{name} is not what it should be")
        given[column] = found
    return given
