"""Event: one line of what was fetched. It has no field for an address, so none can be kept by accident."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Literal, TypeAlias, get_args

from attrs import define, fields

Kind: TypeAlias = Literal["pull", "manifest", "blob", "download", "metadata", "view", "event", "install", "ping"]
KINDS: tuple[Kind, ...] = get_args(Kind)

SCHEMA = 1
"""Raised when a field changes its meaning; fields may be added without."""

PLATFORMS = frozenset(
    ["macos", "darwin", "linux", "windows", "ios", "android", "aix", "freebsd", "openbsd", "sunos", "unknownplatform", "allplatforms"]
)
"""Known platforms; any other is kept as sent, with `Event.platform_recognised` false."""

MAX_TEXT = 2_048
"""Characters that are recorded of a text which the client chose, a variable's value or a page: enough for a URL, too few to fill a disk."""

_NOTHING: Mapping[str, str] = {}
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@define(slots=True)
class Observation:
    """The part of an event that only the rule knows. Nobody mutates it.

    Attributes:
        package: the package's id where it has one, else its name; an image's own name where a collection admitted it.
        package_type: "file", "container", …
        rule: the label of the rule that won, as `explain` prints it.
        kind: what was done.
        variables: everything the path, the query and the body named.
    """

    package: str | None
    package_type: str
    rule: str
    kind: Kind
    version: str | None = None
    platform: str | None = None
    arch: str | None = None
    page: str | None = None
    variables: Mapping[str, str] = _NOTHING


@define(slots=True, kw_only=True)
class Event:
    """What was fetched, as a reader of the journal gets it; the recorder writes the line itself. Nobody changes it.

    In a line of the journal, columns that are None, and `variables` without any, are left out.

    Attributes:
        id: UUIDv7 (RFC 9562 §5.7), so that ids sort by time.
        time: when the request came in, UTC.
        domain: the host asked for.
        decision: "redirect", "proxy" or "respond".
        target: the host it was sent to; None when answered here.
        version: a container's reference, a package's version, a variable's value.
        variables: names to text, as decoded.
        agent: who is behind the client, as far as it says so.
        agent_reason: what that was concluded from, in one word of a few.
        origin_id: keyed hash of address, user agent and domain; the key is rotated and destroyed.
        endpoint_id: the same without the user agent.
        bytes: body bytes sent by this gateway.
    """

    id: str
    schema: int = SCHEMA
    time: datetime
    domain: str
    package: str | None = None
    package_type: str
    rule: str
    kind: Kind
    method: str
    status: int
    decision: Literal["redirect", "proxy", "respond"]
    target: str | None = None
    version: str | None = None
    platform: str | None = None
    platform_recognised: bool | None = None
    arch: str | None = None
    page: str | None = None
    variables: Mapping[str, str] = _NOTHING
    client: str | None = None
    client_version: str | None = None
    client_runtime: str | None = None
    os: str | None = None
    device: str | None = None
    agent: Literal["human", "ci", "mirror", "bot", "scanner", "unknown"] = "unknown"
    agent_reason: str | None = None
    user_agent: str | None = None
    country: str | None = None
    region: str | None = None
    city: str | None = None
    company: str | None = None
    company_domain: str | None = None
    connection: Literal["business", "isp", "hosting", "education", "unknown"] | None = None
    cloud: str | None = None
    confidence: float | None = None
    origin_id: str | None = None
    endpoint_id: str | None = None
    bytes: int = 0


COLUMNS: tuple[str, ...] = tuple(column.name for column in fields(Event))
"""The columns of an event, in the order in which tables have them."""


def is_id(text: str) -> bool:
    """Tell whether a text may be an event's id: a UUID of any version, in lower case."""
    return _UUID.fullmatch(text) is not None
