"""Making: the fields of a line -> a line of the journal, with everything that a request's event has.

The address is looked up, hashed and left behind. It is in no column, in no text that held it, and in no id.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from ipaddress import ip_address
from typing import Any, Literal, TypeAlias

import msgspec
from attrs import define, frozen

from gatewaycore.callers import Callers, fit
from gatewaycore.enrich import Caller, Column
from gatewaycore.errors import RequestError
from gatewaycore.event import KINDS, MAX_TEXT, PLATFORMS, SCHEMA, Kind, Observation
from gatewaycore.headers import Headers
from gatewaycore.importing.fields import unfold
from gatewaycore.importing.ids import content_key, event_id, is_hash, unique_key
from gatewaycore.importing.names import GIVEN_NAMES, RESERVED, LineError
from gatewaycore.importing.packages import Packages, Target
from gatewaycore.importing.times import read_time
from gatewaycore.owntraffic import OwnTraffic
from gatewaycore.privacy import REACH, may_hold, opted_out, redact
from gatewaycore.request import normalise_host

_encode = msgspec.json.Encoder().encode
_CALLERS = 8192
_AGENT_CHARACTERS = 1024
_UNIQUE_CHARACTERS = 1024
_GIVEN = frozenset(GIVEN_NAMES)
_SAID_OF_IT = RESERVED | _GIVEN
_OFFERED: Mapping[str, Kind] = {kind: kind for kind in KINDS}
_IPV4 = re.compile(r"(?:(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])(?:\.(?!\Z)|\Z)){4}")
_OF_EVERY_CALLER = frozenset(["agent", "user_agent", "origin_id", "endpoint_id"])
_IDS = b',"origin_id":"%b","endpoint_id":"%b"'
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


@define
class _Known:
    """What is known of a caller, encoded: with what it says its architecture is, and without. Nobody mutates it."""

    user_agent: bytes
    columns: Mapping[str, Column]
    whole: bytes
    without_arch: bytes


class Maker:
    """Makes lines of the journal. Nothing is written, and nothing but the last few thousand callers is remembered.

    Args:
        packages: that there are.
        by_agent: knows what a User-Agent tells, which is the same whoever sends it.
        callers: knows what there is to know of a caller beyond that.
        key: of the identifiers, by the period that a time lies in.
        occurrence: counts events that keep the same.
        latest: what is later is refused.
        own: whose events are left out because they are the operator's own.
    """

    def __init__(
        self,
        packages: Packages,
        by_agent: Callers,
        callers: Callers,
        key: Callable[[datetime], bytes],
        occurrence: Occurrence,
        latest: datetime,
        own: OwnTraffic | None = None,
    ) -> None:
        self._packages = packages
        self._callers = callers
        self._by_agent = by_agent
        self._key = key
        self._occurrence = occurrence
        self._latest = latest
        self._own = own
        # As in the recorder: in memory only.
        self._known = lru_cache(maxsize=_CALLERS)(self._identify)
        self._program = lru_cache(maxsize=_CALLERS)(self._look_at)
        self._host = lru_cache(maxsize=_CALLERS)(_host)

    def make(self, fields: dict[str, str], is_last: Callable[[bytes], bool] | None = None) -> Made | LeftOut:
        """Return the time and the line of one event.

        Args:
            fields: names as `Names.apply` returns them; taken over.
            is_last: tells whether no later line has this key of a `$unique_id`.

        Raises:
            LineError: something is missing, or is not what it should be.
        """
        fields = unfold(fields)
        # One look at all names, for both are rare.
        names, headers = "\0".join(fields), None
        if _HEADERS in names:
            headers = _headers(fields)
            if opted_out(headers):
                return LeftOut("opted-out")
        if _VARIABLES in names:
            _lift(fields)
        # What is left are variables.
        said = {name: fields.pop(name) for name in fields.keys() & _SAID_OF_IT}
        time = read_time(said.get("$time"), self._latest)
        package, pixel = said.get("$package"), said.get("$pixel")
        target = self._packages.find(package or pixel or None, pixel=not package and pixel is not None)
        domain = target.domain if "$domain" not in said else self._host(said["$domain"])
        address, agent = said.get("$remote_address", ""), _agent(said, headers)
        if self._own is not None and self._own.sent(address, _with_agent(headers, agent)):
            return LeftOut("own-traffic")
        known = self._known(address, agent, domain, self._key(time))
        asked = _asked(said, fields, target, domain, headers)
        encoded = _encode(asked)
        if len(encoded) > MAX_TEXT or may_hold(encoded, address):
            encoded = _encode(_redacted(asked, address))
        has_arch, given = "arch" in asked, _given(said, address)
        if given:
            columns = {name: value for name, value in {**known.columns, **given}.items() if not (has_arch and name == "arch")}
            by = _encode(columns)[1:-1]
        else:
            by = known.without_arch if has_arch else known.whole
        at = _encode(time)
        if "$unique_id" not in said:
            key = content_key(at, encoded, known.user_agent, _encode(given) if given else b"")
            number = event_id(time, key, self._occurrence(key))
        else:
            unique = said["$unique_id"]
            if len(unique) > _UNIQUE_CHARACTERS:
                raise LineError(f"$unique_id has more than {_UNIQUE_CHARACTERS} characters")
            if is_last is not None and not is_last(said_key(said, unique)):
                return LeftOut("replaced")
            number = event_id(time, unique_key(target.subject.package, redact(unique, address)))
        return time, b"".join((b'{"id":"', number, b'","time":', at, b",", encoded[1:-1], b",", by, b"}\n"))

    def _identify(self, address: str, agent: str | None, domain: str, key: bytes) -> _Known:
        if address and not _IPV4.fullmatch(address):
            try:
                ip_address(address)
            except ValueError:
                raise LineError("$remote_address is no address") from None
        user_agent = None if agent is None else redact(agent, address, _AGENT_CHARACTERS)
        program = self._program(user_agent)
        said = self._callers.columns_of(Caller(address, user_agent, domain), key)
        columns = {**said, **program.columns}
        if said.keys() <= _OF_EVERY_CALLER:
            # The address brought nothing but identifiers, which need no escapes.
            ids = b"" if not address else _IDS % (str(said["origin_id"]).encode(), str(said["endpoint_id"]).encode())
            whole, without_arch = program.whole + ids, program.without_arch + ids
        else:
            whole = _encode(columns)[1:-1]
            without_arch = whole if "arch" not in columns else _encode({name: columns[name] for name in columns if name != "arch"})[1:-1]
        return _Known(program.user_agent, columns, whole, without_arch)

    def _look_at(self, user_agent: str | None) -> _Known:
        """Return what a User-Agent tells, without an address in it."""
        columns = self._by_agent.columns_of(Caller("", user_agent, ""), b"")
        without = {name: value for name, value in columns.items() if name != "arch"}
        return _Known((user_agent or "").encode(), columns, _encode(columns)[1:-1], _encode(without)[1:-1])


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
    is_daily = rotation == "day"
    keys: dict[int, bytes] = {}

    def of(time: datetime) -> bytes:
        period = time.toordinal() if is_daily else time.year * 12 + time.month
        found = keys.get(period)
        if found is None:
            found = keys[period] = blake2b(str(period).encode(), key=key, digest_size=32, person=b"import period").digest()
        return found

    keys[now.toordinal() if is_daily else now.year * 12 + now.month] = key
    return of


def _lift(fields: dict[str, str]) -> None:
    """Make variables of what stands in ``$variables``."""
    for name in [name for name in fields if name.startswith(_VARIABLES)]:
        fields.setdefault(name.removeprefix(_VARIABLES), fields.pop(name))


def _headers(fields: dict[str, str]) -> Headers:
    """Return the header fields that a line brings along, and take them out of it.

    Raises:
        LineError: they are no object: nobody could tell whether somebody has opted out.
    """
    names = [name for name in fields if name.startswith(_HEADERS)]
    lines: list[tuple[str, str]] = []
    for name in names:
        # A field that came several times is an array.
        field, dot, number = name.removeprefix(_HEADERS).rpartition(".")
        found = field if dot and number.isdigit() else name.removeprefix(_HEADERS)
        if found.isdigit() or not found:
            raise LineError("$headers is no object of names and values")
        lines.append((found, fields.pop(name)))
    return Headers(lines)


def _with_agent(headers: Headers | None, agent: str | None) -> Headers:
    lines = [] if headers is None else [line for line in headers.items() if line[0] != "user-agent"]
    return Headers(lines if agent is None else [*lines, ("user-agent", agent)])


def _agent(fields: Mapping[str, str], headers: Headers | None) -> str | None:
    agent = fields.get("$user_agent")
    if agent is None and headers is not None:
        agent = headers.get("user-agent")
    return None if agent is None else agent[: _AGENT_CHARACTERS + REACH].encode("utf-8", "replace").decode()


def _host(text: str) -> str:
    try:
        return normalise_host(text)
    except RequestError:
        raise LineError("$domain is no host name") from None


def _asked(said: Mapping[str, str], variables: dict[str, str], target: Target, domain: str, headers: Headers | None) -> dict[str, Any]:
    """Return the columns that do not depend on who asked, but for those that are empty.

    Raises:
        LineError: `$type` is no kind.
    """
    subject, page = target.subject, said.get("$referrer")
    kind, version = subject.kind, said.get("$version")
    if "$type" in said:
        kind = _kind(said["$type"], kind)
    if page is None and headers is not None and subject.package_type == "pixel":
        page = headers.get("referer")
    # As a request's path would name them: what is reserved has been taken out.
    seen = subject.observe(target.rule, variables, "", page=page)
    if version:
        seen.version = redact(version, said.get("$remote_address", ""), MAX_TEXT)
    asked: dict[str, Any] = {
        "schema": SCHEMA,
        "domain": domain,
        "package": seen.package,
        "package_type": seen.package_type,
        "rule": seen.rule,
        "kind": kind,
        "method": target.method,
        "status": 200,
        "decision": "respond",
        "bytes": 0,
    }
    return _optional(asked, seen)


def _kind(said: str, usual: Kind) -> Kind:
    kind = _OFFERED.get(said)
    if kind is None:
        raise LineError(f"$type is none of {', '.join(KINDS)}")
    # What others call the download of an image.
    return usual if kind == "download" and usual == "pull" else kind


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
    redacted = {name: redact(value, address, MAX_TEXT) if name in _SAID else value for name, value in asked.items()}
    if "variables" in asked:
        redacted["variables"] = {redact(name, address): redact(value, address, MAX_TEXT) for name, value in asked["variables"].items()}
    return redacted


def _given(fields: Mapping[str, str], address: str) -> dict[str, Column]:
    """Return the columns that a line knows already.

    Raises:
        LineError: one is not what it should be.
    """
    given: dict[str, Column] = {}
    for name in _GIVEN.intersection(fields):
        column, text = GIVEN_NAMES[name], fields[name]
        if column in ("origin_id", "endpoint_id"):
            # An address is none: whoever maps a column of addresses to it must not have them kept.
            if not is_hash(text):
                raise LineError(f"{name} is no hash in hexadecimal digits")
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
            raise LineError(f"{name} is not what it should be")
        given[column] = found
    return given
