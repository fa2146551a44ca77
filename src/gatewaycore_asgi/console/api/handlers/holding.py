"""Holding: what can be done with packages and with collections alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias

from litestar import Request, Response
from litestar.datastructures import ResponseHeader
from litestar.params import HeaderParameter

from gatewaycore.access import Kind, Principal, Seen
from gatewaycore.errors import ConfigError, Problem
from gatewaycore.following import key_of, left_out
from gatewaycore_asgi.console.api.means import Means, read_key, write_key
from gatewaycore_asgi.console.api.models.holdings import NewPackage, PackagePage, PackageTold
from gatewaycore_asgi.console.api.paging import page_of, place_of
from gatewaycore_asgi.console.api.problems import StatusError

ETAG = [ResponseHeader(name="ETag", description="The version; `If-Match` takes it.", documentation_only=True)]
IfMatch: TypeAlias = Annotated[
    str | None, HeaderParameter(name="If-Match", description='The `ETag` that was read, or "*" for whichever version.', max_length=200)
]


def listed(
    request: Request[Any, Any, Any], means: Means, by: Principal, kind: Kind, limit: int, cursor: str | None
) -> Response[PackagePage]:
    """List what somebody has a role for."""
    found, names, left = means.access.holdings.seen_by(by, kind), means.names(), left_out(means.service)
    return page_of(request, PackagePage, found, lambda one: one.holding.key, lambda one: PackageTold.of(one, names, left), limit, cursor)


def looked(means: Means, by: Principal, kind: Kind, segment: str) -> Response[PackageTold]:
    """Look at one."""
    return answered(means, means.access.holdings.look(read_key(segment), by, kind))


def created(request: Request[Any, Any, Any], means: Means, by: Principal, kind: Kind, new: NewPackage) -> Response[PackageTold]:
    """Make one."""
    key = key_of(kind, new.definition)
    if not key or len(key) > 500:
        where = "definition.name" if kind == "package" else "definition.pattern"
        raise ConfigError([Problem(where, "is missing, or very long", "up to 500 characters")])
    means.access.holdings.create(kind, key, new.organisation, new.definition, means.check, by, means.is_counted, means.counted)
    means.changed()
    answer = answered(means, means.access.holdings.look(key, by, kind), status=201)
    answer.headers["Location"] = place_of(request, f"{request.scope['path']}/{write_key(key)}")
    return answer


def replaced(
    means: Means, by: Principal, kind: Kind, segment: str, definition: Mapping[str, Any], match: str | None
) -> Response[PackageTold]:
    """Define one anew."""
    key = read_key(segment)
    now = means.access.holdings.look(key, by, kind)
    version = _version(now, match, is_needed=True)
    if key_of(kind, definition) != key:
        where = "definition.name" if kind == "package" else "definition.pattern"
        raise ConfigError([Problem(where, f"would be {key_of(kind, definition)[:80]!r}", f"{key[:80]!r} stays; make another {kind}")])
    means.access.holdings.change(kind, key, definition, means.check, by, version)
    means.changed()
    return looked(means, by, kind, segment)


def deleted(means: Means, by: Principal, kind: Kind, segment: str, match: str | None) -> None:
    """Delete one."""
    key = read_key(segment)
    if match is not None:
        _version(means.access.holdings.look(key, by, kind), match, is_needed=False)
    means.access.holdings.delete(kind, key, by, means.check)
    means.changed()


def moved(means: Means, by: Principal, kind: Kind, segment: str, organisation: str) -> Response[PackageTold]:
    """Give one to another organisation."""
    means.access.holdings.move(read_key(segment), organisation, by, kind)
    return looked(means, by, kind, segment)


def answered(means: Means, seen: Seen, status: int = 200) -> Response[PackageTold]:
    """Return the answer that tells about one."""
    return Response(
        PackageTold.of(seen, means.names(), left_out(means.service)),
        status_code=status,
        media_type="application/json",
        headers={"ETag": f'"{seen.holding.version}"'},
    )


def _version(seen: Seen, match: str | None, *, is_needed: bool) -> int | None:
    """Return the version that a change is of (RFC 9110 §13.1.1); None for whichever.

    Raises:
        StatusError: it is none that there is, or is missing.
    """
    if match is None:
        if is_needed:
            raise StatusError(428, "If-Match is missing: send the ETag that you have read")
        return None
    if match.strip() == "*":
        return None
    if f'"{seen.holding.version}"' not in [one.strip() for one in match.split(",")]:
        raise StatusError(412, f"it is version {seen.holding.version} now: read it again")
    return seen.holding.version
