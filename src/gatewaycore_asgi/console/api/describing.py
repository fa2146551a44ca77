"""Describing: the OpenAPI 3.1 document, put together from the handlers by the framework, and completed here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from attrs import has
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Components, SecurityScheme, Server, Tag
from litestar.types import Method
from msgspec.json import schema_components

from gatewaycore._version import __version__
from gatewaycore_asgi.console.api.examples import EXAMPLES
from gatewaycore_asgi.console.api.models import happenings, holdings, people
from gatewaycore_asgi.console.api.problems import CODES, MEDIA, Told
from gatewaycore_asgi.console.cookies import name_of
from gatewaycore_asgi.console.doors import COOKIE

PREFIX: Final = "/api/v1"
OPENAPI: Final = "/openapi.json"

ALWAYS: Final = (400, 401, 403, 406, 422, 429, 500, 503)
"""Problems that any request may be answered with."""

WITH_BODY: Final = (413, 415)
"""Those of requests with a body beside."""

TAKEN: Final = ("application/x-ndjson", "text/csv", "application/gzip", "application/octet-stream", "application/json")
"""Forms of what is sent to be imported: which of them it is shows in itself."""

_DESCRIPTION: Final = """\
What the dashboard shows and does, for programs.

- **Who asks**: `Authorization: Bearer gwc_…`. Tokens are made in the dashboard, with `POST /tokens`, or by `gatewaycore token`.
- **Problems** are `application/problem+json` (RFC 9457): `errors` says all that is wrong, where, and what to write instead.
- **Keys** of packages hold slashes. In a path, `~1` stands for `/` and `~0` for `~` (RFC 6901); `%2F` does too, where no proxy decodes it.
- **Lists** come in pages: `next` in the body, and `Link: <…>; rel="next"`, say where the next one is.
- **Once**: a `POST` with `Idempotency-Key` is done once, however often it comes within a day.
- **Changes** of a package say which version they are of: `If-Match` with the `ETag` that was read.
- **Limits**: `RateLimit` says how many requests are left, `Retry-After` when the next may come.
"""
_TAGS: Final = {
    "me": "Who asks.",
    "packages": "What is served, and who may see its numbers.",
    "collections": "Images that fit a pattern, each a package from its first pull.",
    "pixels": "Images that are fetched where a page is read.",
    "domains": "Domains, and the records that prove whose they are.",
    "organisations": "Packages, domains and people that belong together.",
    "users": "Who can sign in.",
    "tokens": "What programs sign in with.",
    "audit": "Who has changed what.",
    "stats": "Numbers, by the counting policy whose version each carries.",
    "events": "What was fetched, event by event.",
    "imports": "Files of events, brought in.",
}
_SECURITY: Final[Mapping[str, SecurityScheme]] = {
    "token": SecurityScheme(type="http", scheme="bearer", description="A token: `gwc_…`."),
    "session": SecurityScheme(
        type="apiKey",
        name=name_of(COOKIE, "", is_secure=True),
        security_scheme_in="cookie",
        description="A page's session; changes need `X-CSRF-Token`. Below a path it begins with `__Secure-`, without TLS with neither.",
    ),
}


def problems(*statuses: int, body: bool = False) -> dict[int, ResponseSpec]:
    """Return the problems that an operation may be answered with, beside those of all."""
    found = sorted({*ALWAYS, *statuses, *(WITH_BODY if body else ())})
    return {one: ResponseSpec(Told, generate_examples=False, description=CODES[one], media_type=MEDIA) for one in found}


def describe() -> OpenAPIConfig:
    """Return how the framework is to describe the handlers."""
    return OpenAPIConfig(
        title="gatewaycore",
        version=__version__,
        description=_DESCRIPTION,
        components=Components(security_schemes=dict(_SECURITY)),
        security=[{"token": []}, {"session": []}],
        tags=[Tag(name=name, description=words) for name, words in _TAGS.items()],
        servers=[Server(url="/")],
        operation_id_creator=_operation_id,
        create_examples=False,
        use_handler_docstrings=True,
    )


def _operation_id(handler: Any, _: Method, __: Any) -> str:
    """Return the name of the handler: it is unique, and says what it does."""
    return str(handler.handler_name)


def complete(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document with what the framework does not say of itself."""
    made = dict(document)
    for operation in operations(made):
        _mend(operation)
    schemas = made["components"]["schemas"]
    known = {name: model for room in (people, holdings, happenings) for name, model in vars(room).items()}
    taken = [model for name, model in known.items() if name.startswith("New") and has(model)]
    # Their bounds; and what is not known is refused, and not left out.
    _, strict = schema_components(taken, ref_template="#/components/schemas/{name}")
    schemas |= {name: {**schema, "additionalProperties": False} for name, schema in strict.items()}
    schemas["Period"] = _PERIOD
    return made


def operations(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Iterate over the operations of a document."""
    for path in document.get("paths", {}).values():
        for method in ("get", "put", "post", "delete", "patch"):
            if method in path:
                yield path[method]


def _mend(operation: dict[str, Any]) -> None:
    name, answers = operation["operationId"], operation["responses"]
    if name in _SENT:
        operation["requestBody"] = {
            "content": {media: {"schema": _BINARY} for media in _SENT[name]},
            "description": "A file: NDJSON or CSV, packed with gzip or not.",
            "required": True,
        }
    if name in _FILES:
        there = answers["200"].get("content", {}) if name != "export_events" else {}
        answers["200"]["content"] = {**there, **{media: {"schema": _BINARY} for media in _FILES[name]}}
    for status, answer in answers.items():
        if status in _DONE:
            answer["description"] = _DONE[status]
        if status in _FIELDS:
            answer["headers"] = {**answer.get("headers", {}), **_FIELDS[status]}
    for one in (operation.get("requestBody"), *answers.values()):
        for content in (one or {}).get("content", {}).values():
            model = str(content["schema"].get("$ref", "")).rpartition("/")[2]
            if model in EXAMPLES:
                content["examples"] = {"usual": {"value": EXAMPLES[model]}}


def _header(description: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": "string"}}


_BINARY: Final = {"type": "string", "format": "binary"}
_SENT: Final = {"create_import": TAKEN}
_FILES: Final = {
    "list_events": ("application/x-ndjson",),
    "export_events": ("application/x-ndjson", "text/csv", "application/vnd.apache.parquet"),
}
_DONE: Final = {"200": "What was asked for.", "201": "It was made.", "202": "It was taken on.", "204": "It was done."}
_FIELDS: Final[Mapping[str, Mapping[str, Any]]] = {
    "401": {"WWW-Authenticate": _header("How to say who asks (RFC 6750).")},
    "429": {"Retry-After": _header("Seconds until the next request may come.")},
}
_MOMENT: Final = {"type": "string", "format": "date-time"}
_PERIOD: Final = {
    "title": "Period",
    "type": "object",
    "description": "From when to when, in whose days; and the one before. What ends stands outside.",
    "properties": {
        "name": {"type": "string"},
        "zone": {"type": "string", "description": "Of the IANA database."},
        **dict.fromkeys(("since", "until", "before_since", "before_until"), _MOMENT),
    },
    "required": ["name", "zone", "since", "until", "before_since", "before_until"],
}
