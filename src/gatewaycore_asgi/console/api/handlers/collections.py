"""Collections: images that fit a pattern, each a package from its first pull."""

from __future__ import annotations

from typing import Any

from litestar import Request, Response, delete, get, post, put
from litestar.params import JSONBody

from gatewaycore_asgi.console.api.describing import problems
from gatewaycore_asgi.console.api.handlers import holding
from gatewaycore_asgi.console.api.handlers.holding import ETAG, IfMatch
from gatewaycore_asgi.console.api.means import Asker, Key, With
from gatewaycore_asgi.console.api.models.holdings import NewDefinition, NewOwner, NewPackage, PackagePage, PackageTold
from gatewaycore_asgi.console.api.paging import Cursor, Limit

_TAGS = ["collections"]


@get("/collections", tags=_TAGS, summary="List collections", responses=problems(), sync_to_thread=True)
def list_collections(
    request: Request[Any, Any, Any], means: With, by: Asker, limit: Limit = 50, cursor: Cursor = None
) -> Response[PackagePage]:
    """List the collections that you have a role for. Their keys are their domain and pattern, with a space between."""
    return holding.listed(request, means, by, "collection", limit, cursor)


@post(
    "/collections",
    tags=_TAGS,
    summary="Make a collection",
    responses=problems(404, 409, body=True),
    response_headers=ETAG,
    sync_to_thread=True,
)
def create_collection(request: Request[Any, Any, Any], means: With, by: Asker, data: JSONBody[NewPackage]) -> Response[PackageTold]:
    """Make a collection, which is served from then on. Admins of the organisation may."""
    return holding.created(request, means, by, "collection", data)


@get(
    "/collections/{key:str}",
    tags=_TAGS,
    summary="Look at a collection",
    responses=problems(404),
    response_headers=ETAG,
    sync_to_thread=True,
)
def get_collection(means: With, by: Asker, key: Key) -> Response[PackageTold]:
    """Tell about a collection that you have a role for."""
    return holding.looked(means, by, "collection", key)


@put(
    "/collections/{key:str}",
    tags=_TAGS,
    summary="Define a collection anew",
    responses=problems(404, 409, 412, 428, body=True),
    response_headers=ETAG,
    sync_to_thread=True,
)
def replace_collection(means: With, by: Asker, key: Key, data: JSONBody[NewDefinition], if_match: IfMatch = None) -> Response[PackageTold]:
    """Define a collection anew; its domain and pattern stay. One of the configuration file is changed there. Admins may."""
    return holding.replaced(means, by, "collection", key, data.definition, if_match)


@delete("/collections/{key:str}", tags=_TAGS, summary="Delete a collection", responses=problems(404, 409, 412), sync_to_thread=True)
def delete_collection(means: With, by: Asker, key: Key, if_match: IfMatch = None) -> None:
    """Serve a collection no more. What was counted stays. Admins may."""
    holding.deleted(means, by, "collection", key, if_match)


@put(
    "/collections/{key:str}/organisation",
    tags=_TAGS,
    summary="Give a collection to another organisation",
    responses=problems(404, 409, body=True),
    response_headers=ETAG,
    sync_to_thread=True,
)
def move_collection(means: With, by: Asker, key: Key, data: JSONBody[NewOwner]) -> Response[PackageTold]:
    """Give a collection to another organisation. Its owners may, who are admins of the other one too."""
    return holding.moved(means, by, "collection", key, data.organisation)


HANDLERS = (list_collections, create_collection, get_collection, replace_collection, delete_collection, move_collection)
