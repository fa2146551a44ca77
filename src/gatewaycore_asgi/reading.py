"""ASGI scope -> `Request`."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import unquote

from gatewaycore.clientip import TrustedProxies
from gatewaycore.headers import Headers
from gatewaycore.request import Request, behind, below, escape, mount_of, origin_form, parse_host, spell
from gatewaycore_asgi.types import Scope

_now = datetime.now


def read_request(scope: Scope, trusted: TrustedProxies) -> Request:
    """Make a `Request` of an HTTP scope.

    Under a mount the prefix (``root_path``) is left out of the path, whether the framework keeps it in ``path`` and ``raw_path`` or not.

    Raises:
        RequestError: 400, when the ``Host`` field names no host.
    """
    raw = scope["headers"]
    headers = Headers.from_raw(raw if type(raw) is list else list(raw))
    raw_path = scope.get("raw_path")
    path, cut = scope["path"], ""
    # Nearly always they are equal, and there is nothing to encode.
    if not path.isascii() or path.encode() != raw_path:
        path, cut = _wire_path(raw_path, path)
    sent_host = headers.first(b"host")
    if path[:1] != "/":
        # "*" of OPTIONS, or an absolute form that the server has not taken apart.
        path, authority = origin_form(path)
        if authority is not None:
            sent_host = authority.encode("latin-1", "replace")
    root = scope.get("root_path")
    if root:
        path = below(root.encode("utf-8", "replace"), path)
        # A proxy may have cut off the one, and a framework the other, which need not say so in "root_path".
        cut = cut if cut.startswith(root.rstrip("/")) else root + cut
    query = scope["query_string"].decode("latin-1")
    client = scope.get("client")
    address = client[0] if client else ""
    scheme = scope.get("scheme", "http")
    mark = None
    if trusted.networks:
        if trusted.marks:
            mark = trusted.mark(address, headers)
        origin = trusted.origin(address, headers)
        address, scheme = origin.address, origin.scheme or scheme
        if origin.host:
            sent_host = origin.host.encode("latin-1", "replace")
    if sent_host is None:
        # HTTP/1.0 has no Host field: the server's own name is all there is.
        server = scope.get("server")
        sent_host = str(server[0] if server else "localhost").encode()
    name, port = parse_host(sent_host.decode("latin-1"))
    return Request(
        scope["method"],
        name,
        path,
        query if query.isascii() else escape(query),
        headers,
        address,
        scheme,
        _now(UTC),
        port,
        mount_of(cut.encode("utf-8", "replace")) if cut else "",
        mark,
    )


def _wire_path(raw_path: bytes | None, path: str) -> tuple[str, str]:
    """Return `path` as on the wire, and what was cut off before it, decoded.

    A framework or a middleware that cuts off a mount's prefix, or rewrites `path`, may leave `raw_path` as it was: it counts only as far as
    it says the same, decoded. One framework also ends every path below a mount with a "/", which the client did not send.
    """
    if raw_path is not None:
        wire = escape(raw_path.decode("latin-1"))
        decoded = unquote(wire)
        if decoded == path:
            return wire, ""
        for tail in (path, path.removesuffix("/")):
            if decoded.endswith(tail):
                prefix = decoded[: len(decoded) - len(tail)]
                rest = behind(wire, len(prefix.encode()))
                # Not so where bytes that are no UTF-8 stand in the prefix, which cannot be counted.
                if unquote(rest) == tail:
                    return rest or "/", prefix
    return spell(path.encode("utf-8", "replace")), ""
