"""Domains: whose they are, and the records that prove it."""

from __future__ import annotations

from typing import Any

from litestar import Request, Response, delete, get, post
from litestar.params import JSONBody

from gatewaycore.access import Domain
from gatewaycore_asgi.console.api.describing import problems
from gatewaycore_asgi.console.api.means import Asker, Means, Name, With
from gatewaycore_asgi.console.api.models.holdings import DomainPage, DomainTold, NewDomain
from gatewaycore_asgi.console.api.paging import Cursor, Limit, page_of

_TAGS = ["domains"]


@get("/domains", tags=_TAGS, summary="List domains", responses=problems(), sync_to_thread=True)
def list_domains(request: Request[Any, Any, Any], means: With, by: Asker, limit: Limit = 50, cursor: Cursor = None) -> Response[DomainPage]:
    """List the domains of the organisations that you have a role in, and how far each is proved."""
    mine = [organisation.id for organisation, _ in means.access.groups.organisations(by)]
    found, names = means.access.domains.seen_by(by, mine), means.names()
    shown = means.looks.records_for
    return page_of(request, DomainPage, found, lambda one: one.name, lambda one: DomainTold.of(one, names, shown(one)), limit, cursor)


@post("/domains", tags=_TAGS, summary="Say whose a domain is", responses=problems(404, 409, body=True), sync_to_thread=True)
def create_domain(means: With, by: Asker, data: JSONBody[NewDomain]) -> DomainTold:
    """Say that a domain is an organisation's, and tell the records that prove it. Admins of the organisation may."""
    found = means.looks.create(data.name, data.organisation, by)
    return _told(means, found)


@get("/domains/{name:str}", tags=_TAGS, summary="Look at a domain", responses=problems(404), sync_to_thread=True)
def get_domain(means: With, by: Asker, name: Name) -> DomainTold:
    """Tell how far a domain is proved, and what its records have to hold."""
    found = means.access.domains.look(name, by)
    return _told(means, found)


@post(
    "/domains/{name:str}/look", tags=_TAGS, summary="Look at the records of a domain", status_code=200, responses=problems(404, 409),
    sync_to_thread=True,
)  # fmt: skip
def look_at_domain(means: With, by: Asker, name: Name) -> DomainTold:
    """Look at the records of a domain now, instead of when it is due, and tell what was seen. Takes as long as DNS servers do, and not more
    than some seconds; a domain that was looked at a moment ago is answered with 429, and so is one too many at once. Admins of the
    organisation may."""
    return _told(means, means.looks.look_now(name, by))


@delete("/domains/{name:str}", tags=_TAGS, summary="Say no more whose a domain is", responses=problems(404), sync_to_thread=True)
def delete_domain(means: With, by: Asker, name: Name) -> None:
    """Say no more that a domain is an organisation's. Packages on it are served no more, but for those that operators have made. Admins of
    the organisation may."""
    means.access.domains.delete(name, by)


def _told(means: Means, found: Domain) -> DomainTold:
    return DomainTold.of(found, means.names(), means.looks.records_for(found))


HANDLERS = (list_domains, create_domain, get_domain, look_at_domain, delete_domain)
