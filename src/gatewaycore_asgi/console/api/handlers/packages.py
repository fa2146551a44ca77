"""Packages: what is served, and who may see its numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from litestar import Request, Response, delete, get, post, put
from litestar.params import JSONBody

from gatewaycore.route import Rule, package_of
from gatewaycore.rules.catch_all import CatchAllRule
from gatewaycore.rules.container import ContainerRule
from gatewaycore.rules.npm import NpmRule
from gatewaycore.rules.python import PythonRule
from gatewaycore_asgi.console.api.describing import problems
from gatewaycore_asgi.console.api.handlers import holding
from gatewaycore_asgi.console.api.handlers.holding import ETAG, IfMatch
from gatewaycore_asgi.console.api.means import Asker, Key, With, read_key
from gatewaycore_asgi.console.api.models.holdings import (
    NewDefinition,
    NewOwner,
    NewPackage,
    NewSharing,
    PackagePage,
    PackageTold,
    RoutePage,
    RouteTold,
)
from gatewaycore_asgi.console.api.paging import Cursor, Limit, page_of

_TAGS = ["packages"]


@get("/packages", tags=_TAGS, summary="List packages", responses=problems(), sync_to_thread=True)
def list_packages(
    request: Request[Any, Any, Any], means: With, by: Asker, limit: Limit = 50, cursor: Cursor = None
) -> Response[PackagePage]:
    """List the packages that you have a role for: those of the configuration file, and those that were made here."""
    return holding.listed(request, means, by, "package", limit, cursor)


@post(
    "/packages", tags=_TAGS, summary="Make a package", responses=problems(404, 409, body=True), response_headers=ETAG, sync_to_thread=True
)
def create_package(request: Request[Any, Any, Any], means: With, by: Asker, data: JSONBody[NewPackage]) -> Response[PackageTold]:
    """Make a package, which is served from then on. Admins of the organisation may."""
    return holding.created(request, means, by, "package", data)


@get("/packages/{key:str}", tags=_TAGS, summary="Look at a package", responses=problems(404), response_headers=ETAG, sync_to_thread=True)
def get_package(means: With, by: Asker, key: Key) -> Response[PackageTold]:
    """Tell about a package that you have a role for, or that is public."""
    return holding.looked(means, by, "package", key)


@put(
    "/packages/{key:str}",
    tags=_TAGS,
    summary="Define a package anew",
    responses=problems(404, 409, 412, 428, body=True),
    response_headers=ETAG,
    sync_to_thread=True,
)
def replace_package(means: With, by: Asker, key: Key, data: JSONBody[NewDefinition], if_match: IfMatch = None) -> Response[PackageTold]:
    """Define a package anew, which is served at once. Its key stays. One of the configuration file is changed there. Admins may."""
    return holding.replaced(means, by, "package", key, data.definition, if_match)


@delete("/packages/{key:str}", tags=_TAGS, summary="Delete a package", responses=problems(404, 409, 412), sync_to_thread=True)
def delete_package(means: With, by: Asker, key: Key, if_match: IfMatch = None) -> None:
    """Serve a package no more. What was counted stays. Admins may."""
    holding.deleted(means, by, "package", key, if_match)


@put(
    "/packages/{key:str}/sharing",
    tags=_TAGS,
    summary="Share a package",
    responses=problems(404, body=True),
    response_headers=ETAG,
    sync_to_thread=True,
)
def share_package(means: With, by: Asker, key: Key, data: JSONBody[NewSharing]) -> Response[PackageTold]:
    """Let everybody see the numbers of a package, or no more. Admins may."""
    means.access.holdings.share(read_key(key), data.is_public, by)
    return holding.looked(means, by, "package", key)


@put(
    "/packages/{key:str}/organisation",
    tags=_TAGS,
    summary="Give a package to another organisation",
    responses=problems(404, 409, body=True),
    response_headers=ETAG,
    sync_to_thread=True,
)
def move_package(means: With, by: Asker, key: Key, data: JSONBody[NewOwner]) -> Response[PackageTold]:
    """Give a package to another organisation. Its owners may, who are admins of the other one too."""
    return holding.moved(means, by, "package", key, data.organisation)


@get("/packages/{key:str}/routes", tags=_TAGS, summary="List the ways into a package", responses=problems(404), sync_to_thread=True)
def list_routes(
    request: Request[Any, Any, Any], means: With, by: Asker, key: Key, limit: Limit = 50, cursor: Cursor = None
) -> Response[RoutePage]:
    """List where a package is asked for, and where that leads, as this process serves it now."""
    name = read_key(key)
    means.access.holdings.look(name, by)
    found = [way for rule in means.service.config.packages if package_of(rule) == name for way in _routes(rule)]
    return page_of(request, RoutePage, found, lambda one: f"{one.rule} {one.incoming}", lambda one: one, limit, cursor)


def _routes(rule: Rule) -> Iterator[RouteTold]:
    """Iterate over the ways into a package, as its settings have them: types of other distributions may have fields of other names."""
    domain = getattr(rule, "domain", None) or "*"
    for way in (rule, *getattr(rule, "routes", ())):
        path, regex = getattr(way, "incoming_path", None), getattr(way, "incoming_regex", None)
        if path or regex:
            incoming = path or f"~{regex}"
            yield RouteTold(domain=domain, incoming=incoming, outgoing=getattr(way, "outgoing_url", None), rule=f"{domain}{incoming}")
    if isinstance(rule, CatchAllRule):
        target = rule.redirect_target_domain
        yield RouteTold(
            domain=domain, incoming="/*", outgoing=f"{target if '://' in target else f'https://{target}'}/*", rule=f"{domain}/*"
        )
    elif isinstance(rule, ContainerRule):
        yield RouteTold(domain=domain, incoming=f"/v2/{rule.name}", outgoing=rule.backend, rule=f"{domain}/{rule.name}")
    elif isinstance(rule, PythonRule):
        yield RouteTold(domain=domain, incoming=f"/simple/{rule.name}/", outgoing=rule.index, rule=f"{domain}/simple/{rule.name}")
    elif isinstance(rule, NpmRule):
        yield RouteTold(domain=domain, incoming=f"/{rule.name}", outgoing=rule.registry, rule=f"{domain}/{rule.name}")


HANDLERS = (
    list_packages,
    create_package,
    get_package,
    replace_package,
    delete_package,
    share_package,
    move_package,
    list_routes,
)
