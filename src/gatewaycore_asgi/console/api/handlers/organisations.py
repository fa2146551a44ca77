"""Organisations."""

from __future__ import annotations

from typing import Any

from litestar import Request, Response, delete, get, post, put
from litestar.params import JSONBody

from gatewaycore_asgi.console.api.describing import problems
from gatewaycore_asgi.console.api.means import Asker, Name, With
from gatewaycore_asgi.console.api.models.people import NewOrganisation, NewTitle, OrganisationPage, OrganisationTold
from gatewaycore_asgi.console.api.paging import Cursor, Limit, page_of

_TAGS = ["organisations"]


@get("/organisations", tags=_TAGS, summary="List organisations", responses=problems(), sync_to_thread=True)
def list_organisations(
    request: Request[Any, Any, Any], means: With, by: Asker, limit: Limit = 50, cursor: Cursor = None
) -> Response[OrganisationPage]:
    """List the organisations that you have a role in."""
    found = means.access.groups.organisations(by)
    return page_of(request, OrganisationPage, found, lambda pair: pair[0].name, OrganisationTold.of, limit, cursor)


@post("/organisations", tags=_TAGS, summary="Make an organisation", responses=problems(409, body=True), sync_to_thread=True)
def create_organisation(means: With, by: Asker, data: JSONBody[NewOrganisation]) -> OrganisationTold:
    """Make an organisation. Operators may; whom they make owners of it does the rest."""
    return OrganisationTold.of((means.access.groups.create(data.name, data.title, by=by), "owner"))


@get("/organisations/{name:str}", tags=_TAGS, summary="Look at an organisation", responses=problems(404), sync_to_thread=True)
def get_organisation(means: With, by: Asker, name: Name) -> OrganisationTold:
    """Tell about an organisation that you have a role in."""
    return OrganisationTold.of(means.access.groups.organisation(name, by))


@put(
    "/organisations/{name:str}", tags=_TAGS, summary="Give an organisation a title", responses=problems(404, body=True), sync_to_thread=True
)
def rename_organisation(means: With, by: Asker, name: Name, data: JSONBody[NewTitle]) -> OrganisationTold:
    """Give an organisation another title; its name stays. Admins may."""
    means.access.groups.rename(name, data.title, by)
    return OrganisationTold.of(means.access.groups.organisation(name, by))


@delete("/organisations/{name:str}", tags=_TAGS, summary="Delete an organisation", responses=problems(404, 409), sync_to_thread=True)
def delete_organisation(means: With, by: Asker, name: Name) -> None:
    """Delete an organisation that holds no packages and no collections any more. Owners may."""
    means.access.groups.delete(name, by)


HANDLERS = (list_organisations, create_organisation, get_organisation, rename_organisation, delete_organisation)
