"""Passing: which fields of a request reach a registry, and which of its answer's reach the client.

Almost all do, as they are. What is left out concerns one connection, says who the client is, or is true of the registry's own host only.
"""

from __future__ import annotations

from collections.abc import Iterator

from gatewaycore.headers import Headers, RawHeaders, end_to_end
from gatewaycore.request import Request

_NOT_SENT = frozenset(
    # The backend's host and the empty body have fields of their own; cookies belong to the gateway's domain.
    b"host content-length content-type expect cookie cookie2 "
    # Who the client is concerns the backend as little as anybody: its address stays here.
    b"forwarded via client-ip true-client-ip remote-addr x-client-ip x-cluster-client-ip x-real-ip x-remote-addr x-remote-ip "
    b"x-original-forwarded-for x-originating-ip x-appengine-user-ip x-envoy-external-address x-azure-clientip x-azure-socketip "
    b"cf-connecting-ip cf-connecting-ipv6 cf-pseudo-ipv4 cf-ipcountry cf-ray do-connecting-ip fastly-client-ip fly-client-ip "
    b"cloudfront-viewer-address x-nf-client-connection-ip x-vercel-forwarded-for x-vercel-ip-city".split()
)
_NOT_SENT_PREFIXES = (b"x-forwarded-",)
_MAY_HOLD_NUMBERS = frozenset(b"accept accept-encoding authorization user-agent range if-match if-none-match if-range".split())
"""Sent whatever stands in them: a version number may look like an address, and without these nothing is pulled."""

_NOT_RELAYED = frozenset(
    # What a backend says about its own host, or asks a browser to do for it, is not true of the gateway's domain.
    b"set-cookie set-cookie2 alt-svc strict-transport-security public-key-pins expect-ct nel report-to reporting-endpoints "
    b"clear-site-data server "
    # These are written anew, where they belong: a client follows them.
    b"location www-authenticate proxy-authenticate "
    # Every server says when it answers, most of them beside a date that is there already. `Age`, which is passed on, tells caches the rest.
    b"date".split()
)
_CONTROLS = frozenset(b"\r\n\0")


def sent(request: Request) -> RawHeaders:
    """Return the lines of a client's request that its registry gets: repeated ones apart, and nobody's address."""
    address = request.client_ip.encode("latin-1", "replace")
    return [line for line in end_to_end(request.headers).raw if _may_be_sent(line, address)]


def _may_be_sent(line: tuple[bytes, bytes], address: bytes) -> bool:
    name, value = line
    if name in _NOT_SENT or name.startswith(_NOT_SENT_PREFIXES):
        return False
    # Proxies in front of a gateway put the client's address into fields of names that no list can foresee.
    return not address or name in _MAY_HOLD_NUMBERS or address not in value


def relayed(headers: Headers) -> Iterator[tuple[bytes, bytes]]:
    """Iterate over the lines of a registry's answer that its client may see."""
    for name, value in end_to_end(headers).raw:
        # A line break that a lenient parser let through would become a field of our own answer.
        if name not in _NOT_RELAYED and _CONTROLS.isdisjoint(value):
            yield name, value
