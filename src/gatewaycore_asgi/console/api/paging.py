"""Paging: long lists in pieces. What comes next is a cursor that says nothing to the client, in the body and as a link (RFC 8288)."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeAlias, TypeVar
from urllib.parse import quote, urlencode

from litestar import Request, Response
from litestar.params import QueryParameter

from gatewaycore.errors import ConfigError, Problem

MOST = 1_000

Limit: TypeAlias = Annotated[int, QueryParameter(ge=1, le=MOST, description="How many at most.")]
Cursor: TypeAlias = Annotated[str | None, QueryParameter(description="Where to go on: `next` of the page before.", max_length=2_000)]

T = TypeVar("T")
P = TypeVar("P")


def write_cursor(last: str) -> str:
    """Return the cursor behind what has the key `last`."""
    return urlsafe_b64encode(last.encode()).decode().rstrip("=")


def read_cursor(cursor: str | None) -> str | None:
    """Return the key behind which to go on; None for the beginning.

    Raises:
        ConfigError: it is no cursor.
    """
    if cursor is None:
        return None
    try:
        return urlsafe_b64decode((cursor + "=" * (-len(cursor) % 4)).encode("ascii")).decode()
    except ValueError:
        raise ConfigError([Problem("cursor", "is none of ours", "the `next` of a page, as it is")]) from None


def place_of(request: Request[Any, Any, Any], path: str) -> str:
    """Return the path of something of the API as the client knows it: below the mount, as it stands in a header field.

    A package may be called anything, and not only what a field can hold.
    """
    return f"{request.scope.get('gatewaycore.base', '')}{quote(path, safe='/~*@:,')}"


def next_link(request: Request[Any, Any, Any], cursor: str) -> str:
    """Return the value of a field ``Link``: the same question, from a cursor on."""
    pairs = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
    return f'<{place_of(request, request.scope["path"])}?{urlencode([*pairs, ("cursor", cursor)])}>; rel="next"'


def page_of(
    request: Request[Any, Any, Any],
    made: Callable[..., P],
    found: Sequence[T],
    key: Callable[[T], str],
    shown: Callable[[T], Any],
    limit: int,
    cursor: str | None,
) -> Response[P]:
    """Return one page of a list.

    Args:
        request: what was asked.
        made: the class of the page.
        found: all there is.
        key: tells one from the others, and is what they are ordered by: databases do so each in its own way.
        shown: one of them as it is answered.
        limit: how many at most.
        cursor: where to go on.

    Raises:
        ConfigError: the cursor is none.
    """
    behind = read_cursor(cursor)
    rest = sorted((one for one in found if behind is None or key(one) > behind), key=key)
    items = rest[:limit]
    following = write_cursor(key(items[-1])) if len(rest) > limit else None
    headers = {} if following is None else {"Link": next_link(request, following)}
    return Response(made(items=[shown(one) for one in items], next=following), headers=headers)
