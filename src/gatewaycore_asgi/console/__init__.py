"""The console: a dashboard over `gatewaycore.stats`, in pages that need no script and nothing from elsewhere.

| room | knows |
|---|---|
| `asking` | the query of a URL -> what is asked, and back |
| `viewing` | who looks, and what they may see: what pages ask of those who know |
| `catalogue` | which packages there are |
| `sheets`, `shelves` | the answers that a page is made of |
| `reference` | the OpenAPI document -> a page |
| `panels`, `charts`, `world`, `badging` | answers -> tables and CSV, SVG and specifications, a map, badges to copy |
| `rendering`, `failing`, `assets` | templates, errors, files |
| `requests`, `cookies`, `forms` | where a request has come from, and what a browser sends with it |
| `doors`, `signing` | who it is that asks |
| `managing`, `making` | what is changed |
| `pages` | requests -> pages |
| `api` | the same for programs: an application of its own, under ``/api/v1`` |
| `app` | one ASGI application |
"""

from __future__ import annotations

from importlib.util import find_spec

from gatewaycore.errors import MissingExtraError

if any(find_spec(name) is None for name in ("litestar", "jinja2", "altair", "vl_convert", "sqlalchemy", "alembic")):
    raise MissingExtraError.of("the console", "console")

from gatewaycore_asgi.console.app import Console
from gatewaycore_asgi.console.viewing import Anybody, Group, Viewer

__all__ = ["Anybody", "Console", "Group", "Viewer"]
