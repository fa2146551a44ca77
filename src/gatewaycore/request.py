"""Request: what a client asked for, free of any server's vocabulary.

Adapters make it from an ASGI scope or a WSGI environ; everything above reads only this.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import quote, unquote_to_bytes

from attrs import define, field

from gatewaycore.errors import RequestError
from gatewaycore.headers import Headers
from gatewaycore.marks import Mark

_EPOCH = datetime.fromtimestamp(0, UTC)
_LIKE_IPV4 = re.compile(r"\d\.\d{1,3}\.\d{1,3}\.\d")
_PORT = re.compile(r":(\d{0,5})\Z")
_ABSOLUTE = re.compile(r"https?://([^/?#]*)", re.IGNORECASE)
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
# What a client may have sent unescaped is left so: only blanks, controls and what is not ASCII are spelled out.
_AS_SENT = "/!$&'()*+,;=:@%-._~\\|^`{}<>\"[]"
_DECODED = _AS_SENT.replace("%", "")
_IN_SEGMENTS = "/!$&'()*+,;=:@"
_LONGEST = 253
_HOST = re.compile(r"[a-z0-9_]([a-z0-9_.-]{0,252}[a-z0-9_])?|\[[0-9a-f:.]{2,45}\]")


@define(slots=True, eq=True)
class Request:
    """One request. Never subclassed, never changed once made (mutable only because frozen slots cost a microsecond each).

    Attributes:
        method: upper-case (RFC 9110 §9.1).
        host: lower-case, no port, no trailing dot, IDNA A-label; see `normalise_host`.
        path: as on the wire: percent-encoded ASCII, begins with "/".
        query: raw, without "?"; "" when there is none.
        headers: the field lines.
        client_ip: who really called, as text without a port; "" when unknown. Never written anywhere.
        scheme: "http" or "https".
        received_at: when it came in, UTC.
        port: the one that the client asked for; None where it named none.
        mount: the path below which the gateway stands, as `mount_of` writes it; "" at the root of the host. It is no part of `path`.
        mark: by what a trusted proxy tells this request from all others; None where none does. It is no part of what is decided.
    """

    method: str
    host: str
    path: str
    query: str = ""
    headers: Headers = field(factory=Headers)
    client_ip: str = ""
    scheme: str = "https"
    received_at: datetime = _EPOCH
    port: int | None = None
    mount: str = ""
    mark: Mark | None = None

    @property
    def origin(self) -> str:
        """Scheme and authority as the client sees them: "https://docker.acme.com:8443"."""
        return f"{self.scheme}://{self.host}" + ("" if self.port is None else f":{self.port}")

    @property
    def base(self) -> str:
        """What a link to the gateway begins with that cannot be relative: the origin, and the mount behind it."""
        return self.origin + self.mount


def parse_host(text: str) -> tuple[str, int | None]:
    """Return host and port of a ``Host`` field (RFC 9110 §7.2): lower-case, no trailing dot, IDNA A-label; None where no port is named.

    Raises:
        RequestError: 400, when it is no host at all.
    """
    # A client may write its own address there, which is not remembered.
    is_name = text[:1] != "[" and (text.count(".") < 3 or _LIKE_IPV4.search(text) is None)
    return _remembered(text) if is_name else _parse_host(text)


def _parse_host(text: str) -> tuple[str, int | None]:
    host = text.strip().lower()
    found = _PORT.search(host)
    port = int(found[1]) if found is not None and found[1] else None
    host = host if found is None else host[: found.start()]
    if not host.isascii():
        host = a_labels(host)
    host = host.removesuffix(".")
    if not _HOST.fullmatch(host):
        raise RequestError(f"not a host name: {text[:80]!r}")
    return host, port


def a_labels(name: str) -> str:
    """Return a name in A-labels, as browsers ask for it (IDNA 2008 with UTS 46, non-transitional). What is ASCII in it stays as it is.

    Raises:
        RequestError: it has none.
    """
    import idna

    if len(name) > _LONGEST:
        # Reading one takes longer than it is long, and anybody may send it.
        raise RequestError(f"not a host name: {name[:80]!r}")
    try:
        # Python's own codec is of 2003: it takes "faß.de" for "fass.de", which is somebody else's.
        labels = idna.uts46_remap(name, std3_rules=False, transitional=False).split(".")
        return ".".join(label if label.isascii() else idna.alabel(label).decode() for label in labels)
    except (idna.IDNAError, UnicodeError) as error:
        raise RequestError(f"not a host name: {name[:80]!r}") from error


# What is no host raises, and is not kept: so no text that is kept is much longer than a name may be.
_remembered = lru_cache(maxsize=4096)(_parse_host)


def normalise_host(text: str) -> str:
    """Return the host of a ``Host`` field, without its port; see `parse_host`.

    Raises:
        RequestError: 400, when it is no host at all.
    """
    return parse_host(text)[0]


def spell(path: bytes) -> str:
    """Return a decoded path as on the wire. What an escape stood for is lost: "%2F" has become a "/"."""
    return quote(path, safe=_DECODED)


def escape(target: str) -> str:
    """Return a request target, its bytes held as latin-1, with everything percent-encoded that is not ASCII."""
    return target if target.isascii() else quote(target.encode("latin-1", "replace"), safe=_AS_SENT)


def origin_form(target: str) -> tuple[str, str | None]:
    """Return the path of a request target, and the authority of one in absolute form, which overrides the ``Host`` field (RFC 9112 §3.2.2).

    Args:
        target: without its query. What is neither form, such as the "*" of OPTIONS, becomes a path under which nothing is served.
    """
    absolute = _ABSOLUTE.match(target)
    if absolute is not None:
        return target[absolute.end() :] or "/", absolute[1]
    return (target if target[:1] == "/" else f"/{target}"), None


def mount_of(prefix: bytes) -> str:
    """Return the decoded prefix of a mount as it stands in links: "/downloads", percent-encoded whatever it holds; "" for none."""
    bare = prefix.strip(b"/")
    # Anybody's text may stand in it, where a framework mounts at a pattern: a quote would end the text that a link stands in.
    return quote(b"/" + bare, safe=_IN_SEGMENTS) if bare else ""


def below(mount: bytes, path: str) -> str:
    """Return what of a wire `path` lies below the decoded prefix `mount`, however that is spelled; `path` itself when it is elsewhere."""
    prefix = mount.rstrip(b"/")
    if not unquote_to_bytes(path).startswith(prefix):
        return path
    rest = behind(path, len(prefix))
    if rest and rest[0] != "/":
        return path
    return rest or "/"


def behind(path: str, count: int) -> str:
    """Return what of a wire `path` follows its first `count` decoded bytes."""
    position = 0
    for _ in range(count):
        position += 3 if _ESCAPE.match(path, position) else 1
    return path[position:]
