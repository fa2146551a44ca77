"""Tokens: one's own, and for operators those of others to take back."""

from __future__ import annotations

from typing import Any

from litestar import Request, Response, delete, get, post
from litestar.params import JSONBody

from gatewaycore_asgi.console.api.describing import problems
from gatewaycore_asgi.console.api.means import Asker, Number, With, keep_no_secret
from gatewaycore_asgi.console.api.models.people import MadeToken, NewToken, TokenPage, TokenTold
from gatewaycore_asgi.console.api.paging import Cursor, Limit, page_of


@get("/tokens", tags=["tokens"], summary="List your tokens", responses=problems(), sync_to_thread=True)
def list_tokens(request: Request[Any, Any, Any], means: With, by: Asker, limit: Limit = 50, cursor: Cursor = None) -> Response[TokenPage]:
    """List your tokens that have not been taken back, without their secrets. A token without `admin` is told of itself alone, and one of a
    single organisation only of those that reach no further."""
    names = means.names()
    found = means.access.people.tokens(by.user, by)
    return page_of(request, TokenPage, found, lambda one: one.id, lambda one: TokenTold.of(one, names), limit, cursor)


@post("/tokens", tags=["tokens"], summary="Make a token", responses=problems(404, 409, body=True), sync_to_thread=True)
def create_token(request: Request[Any, Any, Any], means: With, by: Asker, data: JSONBody[NewToken]) -> MadeToken:
    """Make a token for yourself. Its secret is in this answer, and is shown never again. Takes a token with the scope `admin`."""
    groups, people = means.access.groups, means.access.people
    reached = by.organisation_id if data.organisation is None else groups.organisation(data.organisation, by)[0].id
    token, secret = people.create_token(by.user, data.name, data.scopes, data.expires_at, reached, by)
    keep_no_secret(request)
    return MadeToken(token=TokenTold.of(token, means.names()), secret=secret)


@delete("/tokens/{number:str}", tags=["tokens"], summary="Take a token back", responses=problems(404), sync_to_thread=True)
def revoke_token(means: With, by: Asker, number: Number) -> None:
    """Take a token back, and end the sessions that began with it. Any token may take back itself; operators those of others too."""
    means.access.people.revoke_token(number, by)


HANDLERS = (list_tokens, create_token, revoke_token)
