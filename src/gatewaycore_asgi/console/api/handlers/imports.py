"""Imports: files of events, sent and brought in one after another."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import anyio
from anyio.to_thread import run_sync
from litestar import Request, Response, delete, get, post
from litestar.params import QueryParameter

from gatewaycore.access import Principal, covers
from gatewaycore.access.trail import new_id
from gatewaycore.errors import AccessError, ConfigError, Problem, UnknownError
from gatewaycore.importing import PRESETS, ImportOptions, read_map
from gatewaycore_asgi.console.api.describing import TAKEN, problems
from gatewaycore_asgi.console.api.means import Asker, Means, Number, With
from gatewaycore_asgi.console.api.models.happenings import ImportPage, ImportTold
from gatewaycore_asgi.console.api.paging import Cursor, Limit, next_link, place_of, read_cursor, write_cursor
from gatewaycore_asgi.console.api.problems import StatusError
from gatewaycore_asgi.console.api.uploads import Upload

_TAGS = ["imports"]
_CHECKED = 16 * 1024 * 1024


@get("/imports", tags=_TAGS, summary="List imports", responses=problems(), sync_to_thread=True)
def list_imports(request: Request[Any, Any, Any], means: With, by: Asker, limit: Limit = 50, cursor: Cursor = None) -> Response[ImportPage]:
    """List what you have sent to be imported, the latest first; operators are told of all. What the command line imports is not here."""
    if not by.holds("read"):
        raise AccessError("this takes a token with the scope read")
    behind = read_cursor(cursor)
    found = [one for one in means.uploads.all() if _may_see(one, by) and (behind is None or one.id < behind)]
    following = write_cursor(found[limit - 1].id) if len(found) > limit else None
    headers = {} if following is None else {"Link": next_link(request, following)}
    return Response(ImportPage(items=[_told(means, one) for one in found[:limit]], next=following), headers=headers)


@post(
    "/imports",
    tags=_TAGS,
    summary="Import events",
    responses=problems(404, 409, body=True),
    status_code=202,
    request_max_body_size=None,
)
async def create_import(
    request: Request[Any, Any, Any],
    means: With,
    by: Asker,
    package: Annotated[str | None, QueryParameter(description="The package of lines that name none: its key.", max_length=500)] = None,
    preset: Annotated[
        str | None, QueryParameter(name="from", description=f"The product whose export it is: {', '.join(sorted(PRESETS))}.", max_length=40)
    ] = None,
    pairs: Annotated[
        list[str] | None, QueryParameter(name="map", description="What a column or a name means: NAME=FIELD; NAME= leaves it out.")
    ] = None,
    form: Annotated[Literal["ndjson", "csv"] | None, QueryParameter(name="format", description="Found out unless told.")] = None,
    delimiter: Annotated[str | None, QueryParameter(description="Between the cells of a CSV. Found out unless told.", max_length=1)] = None,
    encoding: Annotated[str, QueryParameter(description="Of the text.", max_length=40)] = "utf-8",
    dry_run: Annotated[bool, QueryParameter(description="Tell what would be taken, show the first events, and keep nothing.")] = False,
) -> Response[ImportTold]:
    """Send a file of events, which are imported in their turn; `GET` the `Location` for what has become of it. The same file is imported
    once, however often it is sent. Admins may, into their packages; operators may into all."""
    _check_media(request)
    options = await run_sync(_options, means, by, package, preset, pairs, form, delimiter, encoding)
    now = means.now()
    one = Upload(
        id=new_id(now),
        user_id=by.user.id,
        organisation_id=by.organisation_id,
        options=options,
        is_dry_run=dry_run,
        status="queued",
        created_at=now,
        changed_at=now,
    )
    with means.uploads.coming():
        await _spool(request, means, one)
    try:
        await run_sync(means.uploads.add, one)
    except BaseException:
        means.uploads.place(one.id).unlink(missing_ok=True)
        raise
    headers = {"Location": place_of(request, f"{request.scope['path']}/{one.id}")}
    return Response(_told(means, one), status_code=202, media_type="application/json", headers=headers)


@get("/imports/{number:str}", tags=_TAGS, summary="Look at an import", responses=problems(404), sync_to_thread=True)
def get_import(means: With, by: Asker, number: Number) -> ImportTold:
    """Tell what has become of an import: how many events were taken, and of what could not be, the first lines and the reasons."""
    return _told(means, _find(means, by, number, "read"))


@post(
    "/imports/{number:str}/abort", tags=_TAGS, summary="Abort an import", responses=problems(404, 409), status_code=202, sync_to_thread=True
)
def abort_import(means: With, by: Asker, number: Number) -> ImportTold:
    """Ask whoever imports it to end, which takes a second or so. What was imported stays."""
    one = _find(means, by, number, "write")
    means.uploads.abort(one)
    return _told(means, one)


@post(
    "/imports/{number:str}/resume",
    tags=_TAGS,
    summary="Go on with an import",
    responses=problems(404, 409),
    status_code=202,
    sync_to_thread=True,
)
def resume_import(means: With, by: Asker, number: Number) -> ImportTold:
    """Go on with an import that was aborted, or whose process has ended, where it was."""
    one = _find(means, by, number, "write")
    if not means.uploads.can_go_on(one):
        raise StatusError(409, f"this import is {one.status}, and cannot be gone on with")
    if one.options.only is not None and not by.runs_the_gateway and not one.options.only <= _mine(means, by):
        raise AccessError("you are no longer an admin of all packages that it may go into: send it again")
    means.uploads.add(one)
    return _told(means, one)


@delete("/imports/{number:str}", tags=_TAGS, summary="Forget an import", responses=problems(404, 409), sync_to_thread=True)
def delete_import(means: With, by: Asker, number: Number) -> None:
    """Forget an import that is over, and what was sent of it. What was imported stays."""
    means.uploads.remove(_find(means, by, number, "write"))


def _mine(means: Means, by: Principal) -> frozenset[str]:
    """Return the packages that somebody may import into."""
    return frozenset(one.holding.key for one in means.access.holdings.seen_by(by) if covers(one.role, "admin"))


def _may_see(one: Upload, by: Principal) -> bool:
    # What was sent with a token that reached further may be of other organisations.
    if by.organisation_id not in (None, one.organisation_id):
        return False
    return by.user.id == one.user_id or by.runs_the_gateway


def _find(means: Means, by: Principal, number: str, scope: Literal["read", "write"]) -> Upload:
    one = means.uploads.find(number)
    if not _may_see(one, by):
        raise UnknownError(f"there is no import {number[:80]!r} that you may see")
    if not by.holds(scope):
        raise AccessError(f"this takes a token with the scope {scope}")
    return one


def _told(means: Means, one: Upload) -> ImportTold:
    return ImportTold.of(one, means.uploads.can_go_on(one))


def _check_media(request: Request[Any, Any, Any]) -> None:
    media, _ = request.content_type
    if media and media not in TAKEN:
        raise StatusError(415, f"a body is one of {', '.join(TAKEN)} here")
    if request.headers.get("content-encoding", "identity").lower() not in ("identity", "gzip"):
        raise StatusError(415, "a body is packed with gzip, or not at all")


def _options(
    means: Means,
    by: Principal,
    package: str | None,
    preset: str | None,
    pairs: list[str] | None,
    form: Literal["ndjson", "csv"] | None,
    delimiter: str | None,
    encoding: str,
) -> ImportOptions:
    """Return how a file is to be understood, and into which packages it may go."""
    if preset is not None and preset not in PRESETS:
        raise ConfigError([Problem("from", f"{preset[:80]!r} is none", ", ".join(sorted(PRESETS)))])
    renamed = read_map(pairs or (), preset)
    if not by.holds("write"):
        raise AccessError("this takes a token with the scope write")
    only = None if by.runs_the_gateway else _mine(means, by)
    if only is not None and not only:
        raise AccessError("this takes the role admin of a package")
    if package is not None:
        seen = means.access.holdings.look(package, by)
        if not covers(seen.role, "admin"):
            raise AccessError("this takes the role admin of the package")
    return ImportOptions(package=package, renamed=renamed, form=form, delimiter=delimiter, encoding=encoding.lower(), only=only)


async def _spool(request: Request[Any, Any, Any], means: Means, one: Upload) -> None:
    """Write what is sent to disk, as it comes.

    Raises:
        StatusError: it is larger than may be.
        ConflictError: with what is there already it would be.
    """
    most, path = means.uploads.bounds.most_bytes, means.uploads.place(one.id)
    too_large = StatusError(413, f"an import has at most {most:,} bytes here: send it in pieces")
    text = request.headers.get("content-length", "")
    announced = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0
    if announced > most:
        raise too_large
    await run_sync(means.uploads.check_bytes, announced)
    path.touch(mode=0o600)
    checked = 0
    try:
        async with await anyio.open_file(path, "wb") as file:
            async for piece in request.stream():
                one.bytes += len(piece)
                if one.bytes > most:
                    raise too_large
                await file.write(piece)
                if one.bytes - checked >= _CHECKED:
                    # Others send at the same time, and not all say how much.
                    checked = one.bytes
                    await file.flush()
                    await run_sync(means.uploads.check_bytes)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


HANDLERS = (list_imports, create_import, get_import, abort_import, resume_import, delete_import)
