"""Members: who has which role in an organisation, or for a single package."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from litestar import Request, Response, delete, get, put
from litestar.params import JSONBody, PathParameter

from gatewaycore_asgi.console.api.describing import problems
from gatewaycore_asgi.console.api.means import Asker, Key, Name, With, read_key
from gatewaycore_asgi.console.api.models.people import MemberPage, MemberTold, NewRole
from gatewaycore_asgi.console.api.paging import Cursor, Limit, page_of

UserName: TypeAlias = Annotated[str, PathParameter(description="The name of a user.", min_length=1, max_length=64)]


@get("/organisations/{name:str}/members", tags=["organisations"], summary="List members", responses=problems(404), sync_to_thread=True)
def list_members(
    request: Request[Any, Any, Any], means: With, by: Asker, name: Name, limit: Limit = 50, cursor: Cursor = None
) -> Response[MemberPage]:
    """List who has a role in an organisation. Members may."""
    found = means.access.groups.members(name, by)
    return page_of(request, MemberPage, found, lambda one: one.user.name, MemberTold.of, limit, cursor)


@put(
    "/organisations/{name:str}/members/{user:str}",
    tags=["organisations"],
    summary="Give somebody a role",
    responses=problems(404, 409, body=True),
    sync_to_thread=True,
)
def set_member(means: With, by: Asker, name: Name, user: UserName, data: JSONBody[NewRole]) -> MemberTold:
    """Give somebody a role in an organisation, or another one. Admins make members and admins, owners make owners."""
    return MemberTold.of(means.access.groups.set_role(name, user, data.role, by))


@delete(
    "/organisations/{name:str}/members/{user:str}",
    tags=["organisations"],
    summary="Take somebody's role away",
    responses=problems(404, 409),
    sync_to_thread=True,
)
def remove_member(means: With, by: Asker, name: Name, user: UserName) -> None:
    """Take somebody's role in an organisation away. Everybody may leave; admins remove members, owners anybody."""
    means.access.groups.remove(name, user, by)


@get("/packages/{key:str}/members", tags=["packages"], summary="List guests of a package", responses=problems(404), sync_to_thread=True)
def list_guests(
    request: Request[Any, Any, Any], means: With, by: Asker, key: Key, limit: Limit = 50, cursor: Cursor = None
) -> Response[MemberPage]:
    """List who has a role for this package alone, beside the members of its organisation."""
    found = means.access.holdings.members(read_key(key), by)
    return page_of(request, MemberPage, found, lambda one: one.user.name, MemberTold.of, limit, cursor)


@put(
    "/packages/{key:str}/members/{user:str}",
    tags=["packages"],
    summary="Give somebody a role for a package",
    responses=problems(404, 409, body=True),
    sync_to_thread=True,
)
def set_guest(means: With, by: Asker, key: Key, user: UserName, data: JSONBody[NewRole]) -> MemberTold:
    """Give somebody a role for this package alone. Admins make members and admins, owners make owners."""
    return MemberTold.of(means.access.holdings.set_role(read_key(key), user, data.role, by))


@delete(
    "/packages/{key:str}/members/{user:str}",
    tags=["packages"],
    summary="Take somebody's role for a package away",
    responses=problems(404, 409),
    sync_to_thread=True,
)
def remove_guest(means: With, by: Asker, key: Key, user: UserName) -> None:
    """Take somebody's role for this package away. Everybody may leave; admins remove members, owners anybody."""
    means.access.holdings.remove(read_key(key), user, by)


HANDLERS = (list_members, set_member, remove_member, list_guests, set_guest, remove_guest)
