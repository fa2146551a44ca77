"""Pixels: where they are fetched, and what to put into a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from litestar import Request, Response, get

from gatewaycore.access import Seen
from gatewaycore.route import Rule, package_of
from gatewaycore.rules.pixel import PixelRule
from gatewaycore_asgi.console.api.describing import problems
from gatewaycore_asgi.console.api.means import Asker, With
from gatewaycore_asgi.console.api.models.holdings import PixelPage, PixelTold
from gatewaycore_asgi.console.api.paging import Cursor, Limit, page_of


@get("/pixels", tags=["pixels"], summary="List pixels", responses=problems(), sync_to_thread=True)
def list_pixels(request: Request[Any, Any, Any], means: With, by: Asker, limit: Limit = 50, cursor: Cursor = None) -> Response[PixelPage]:
    """List the pixels that you have a role for, with the HTML that fetches each. They are made as packages of the type `pixel`."""
    names = means.names()
    seen = {one.holding.key: one for one in means.access.holdings.seen_by(by)}
    found = [pixel for rule in means.service.config.packages for pixel in _pixels(rule, seen, names)]
    return page_of(request, PixelPage, found, lambda one: f"{one.key} {one.url}", lambda one: one, limit, cursor)


def _pixels(rule: Rule, seen: Mapping[str, Seen], names: Mapping[str, str]) -> Iterator[PixelTold]:
    key = package_of(rule)
    if not isinstance(rule, PixelRule) or key not in seen:
        return
    organisation = names.get(seen[key].holding.organisation_id, "")
    url = f"https://{rule.domain}{rule.incoming_path}"
    html = f'<img src="{escape(url)}" alt="" referrerpolicy="no-referrer-when-downgrade">'
    yield PixelTold(key=key, organisation=organisation, url=url, html=html)


HANDLERS = (list_pixels,)
