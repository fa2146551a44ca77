"""Who asks, and who can sign in."""

from __future__ import annotations

from typing import Any

from litestar import Request, Response, delete, get, post
from litestar.params import JSONBody

from gatewaycore_asgi.console.api.describing import problems
from gatewaycore_asgi.console.api.means import Asker, Name, With, keep_no_secret
from gatewaycore_asgi.console.api.models.people import MadeUser, Me, NewUser, OrganisationTold, UserPage, UserTold
from gatewaycore_asgi.console.api.paging import Cursor, Limit, page_of


@get("/me", tags=["me"], summary="Who asks", responses=problems(), sync_to_thread=True)
def get_me(means: With, by: Asker) -> Me:
    """Tell whose token it is, what it is for, and which organisations its user belongs to."""
    return Me(
        name=by.user.name,
        is_operator=by.user.is_operator,
        token_id=by.token_id,
        scopes=list(by.scopes),
        organisation=means.names().get(by.organisation_id or ""),
        organisations=[OrganisationTold.of(pair) for pair in means.access.groups.organisations(by)],
    )


@get("/users", tags=["users"], summary="List users", responses=problems(), sync_to_thread=True)
def list_users(request: Request[Any, Any, Any], means: With, by: Asker, limit: Limit = 50, cursor: Cursor = None) -> Response[UserPage]:
    """List everybody who can sign in, or could. Operators may."""
    return page_of(request, UserPage, means.access.people.users(by), lambda one: one.name, UserTold.of, limit, cursor)


@post("/users", tags=["users"], summary="Make a user", responses=problems(409, body=True), sync_to_thread=True)
def create_user(request: Request[Any, Any, Any], means: With, by: Asker, data: JSONBody[NewUser]) -> MadeUser:
    """Make a user with a first token, whose secret is shown once. They can do nothing until they are given a role. Operators may."""
    people = means.access.people
    user = people.create_user(data.name, is_operator=data.is_operator, by=by)
    _, secret = people.create_token(user, "first", ["admin"], data.token_expires_at, by=by)
    keep_no_secret(request)
    return MadeUser(user=UserTold.of(user), secret=secret)


@delete(
    "/users/{name:str}",
    tags=["users"],
    summary="Let somebody in no more",
    responses=problems(404, 409),
    status_code=200,
    sync_to_thread=True,
)
def disable_user(means: With, by: Asker, name: Name) -> UserTold:
    """End somebody's sessions and take their tokens back. What they did stays written down. Operators may."""
    return UserTold.of(means.access.people.disable_user(name, by))


HANDLERS = (get_me, list_users, create_user, disable_user)
