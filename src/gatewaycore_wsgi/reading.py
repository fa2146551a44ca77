"""WSGI environ -> `Request`, and the body behind it."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import unquote_to_bytes

from gatewaycore.clientip import TrustedProxies
from gatewaycore.headers import Headers, RawHeaders, length
from gatewaycore.request import Request, below, escape, mount_of, origin_form, parse_host, spell
from gatewaycore_wsgi.types import Environ

_CHUNK_BYTES = 65_536
_now = datetime.now


class ClientGoneError(Exception):
    """The body ended before it was whole: the client has gone away."""


class LengthUnknownError(Exception):
    """A body without a length, which this server does not say the end of."""


def read_request(environ: Environ, trusted: TrustedProxies) -> Request:
    """Make a `Request` of an environ.

    WSGI hands out the path decoded. Its wire form is taken from ``REQUEST_URI`` or ``RAW_URI``, which nearly every server gives, as far as
    it says the same: a middleware that rewrote ``PATH_INFO`` left them as they were. Elsewhere it is rebuilt from ``PATH_INFO`` (PEP 3333
    §"URL Reconstruction"), and what an escape stood for is lost: "%2F" has become "/", "%61" has become "a". The mount's prefix
    (``SCRIPT_NAME``) is left out.

    Repeated header lines arrive joined with ",", and nothing can be done about it: rules read such fields as lists.

    Raises:
        RequestError: 400, when the ``Host`` field names no host.
    """
    headers = Headers.from_raw(_lines(environ))
    mount = _bytes(environ.get("SCRIPT_NAME", ""))
    path, host = _wire_path(environ, mount)
    if host is None:
        # HTTP/1.0 has no Host field: the server's own name is all there is.
        host = environ.get("HTTP_HOST", environ.get("SERVER_NAME", "localhost"))
    address, scheme = environ.get("REMOTE_ADDR") or "", environ["wsgi.url_scheme"]
    mark = None
    if trusted:
        mark = trusted.mark(address, headers)
        origin = trusted.origin(address, headers)
        address, scheme, host = origin.address, origin.scheme or scheme, origin.host or host
    name, port = parse_host(host or "")
    return Request(
        environ["REQUEST_METHOD"].upper(),
        name,
        path,
        escape(environ.get("QUERY_STRING", "")),
        headers,
        address,
        scheme,
        _now(UTC),
        port,
        mount_of(mount) if mount else "",
        mark,
    )


def _lines(environ: Environ) -> RawHeaders:
    """Return the header lines: ``HTTP_*``, and the two fields that WSGI sets apart, which servers leave empty where there is none.

    "_" and "-" cannot be told apart here: a server that passed on names with "_" would let anybody send ``X_Real_IP``. All of them refuse.
    """
    raw = [
        (name[5:].replace("_", "-").lower().encode("latin-1", "replace"), value.encode("latin-1", "replace"))
        for name, value in environ.items()
        if name.startswith("HTTP_") and name not in ("HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH")
    ]
    for key, field in (("CONTENT_TYPE", b"content-type"), ("CONTENT_LENGTH", b"content-length")):
        value = environ.get(key)
        if value:
            raw.append((field, value.encode("latin-1", "replace")))
    return raw


def _wire_path(environ: Environ, mount: bytes) -> tuple[str, str | None]:
    """Return the path below the mount, and the authority of a request target in absolute form."""
    info = _bytes(environ.get("PATH_INFO", ""))
    target = environ.get("REQUEST_URI") or environ.get("RAW_URI")
    if target:
        path, authority = origin_form(escape(target.partition("?")[0]))
        if unquote_to_bytes(path) == mount + info:
            return below(mount, path) if mount else path, authority
    return origin_form(spell(info) or "/")


def _bytes(text: str) -> bytes:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        # Against PEP 3333 §"Unicode Issues", by some middleware: then it is text, and UTF-8 is what it would have been on the wire.
        return text.encode("utf-8", "replace")


def read_body(environ: Environ, limit: int) -> bytes | None:
    """Return the body, or None when it is larger than `limit`; a length announced too large is not read at all.

    Never asks for more than was announced: a server need not say where the body ends (PEP 3333 §"Input and Error Streams"), and a read
    beyond it would wait for ever. One that does say so (``wsgi.input_terminated``) can take a chunked body.

    Raises:
        ClientGoneError: it ended before its length.
        LengthUnknownError: it has no length, and the server does not say its end.
    """
    announced = length((environ.get("CONTENT_LENGTH") or "").encode("latin-1", "replace"))
    if announced is None:
        if not environ.get("wsgi.input_terminated"):
            if environ.get("HTTP_TRANSFER_ENCODING"):
                raise LengthUnknownError
            return b""
        body = _read(environ, limit + 1)
        return None if len(body) > limit else body
    if announced > limit:
        return None
    body = _read(environ, announced)
    if len(body) < announced:
        raise ClientGoneError
    return body


def _read(environ: Environ, most: int) -> bytes:
    stream, chunks, left = environ["wsgi.input"], [], most
    while left:
        chunk = stream.read(min(left, _CHUNK_BYTES))
        if not chunk:
            break
        chunks.append(chunk)
        left -= len(chunk)
    return b"".join(chunks)
