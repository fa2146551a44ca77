"""Proxying a registry: what is sent to the backend, and what of its answer reaches the client.

The client speaks to the backend through the gateway under the same names, so almost everything passes untouched: the backend's
challenge, its digests, its errors. Redirects are passed on and never followed: a followed redirect would let a backend's
answer choose where the gateway connects to, with the client's fields attached, and would carry image bytes through the gateway.
"""

from __future__ import annotations

import re
from typing import Literal
from urllib.parse import urljoin, urlsplit

from gatewaycore.decision import Relay, Respond, Upstream
from gatewaycore.headers import Headers, end_to_end
from gatewaycore.request import Request
from gatewaycore.rules.container.answers import NONSENSE, TOO_LATE, UNREACHABLE

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
    # Every server says when it answers, most of them beside a date that is there already. `Age`, which is passed on, tells caches the rest.
    b"date".split()
)
_STATUSES = range(200, 600)
_UNSAFE = re.compile(rb"[^\x21-\x7e]")
_CONTROLS = frozenset(b"\r\n\0")
_FAILURES = {"connect": UNREACHABLE, "timeout": TOO_LATE, "protocol": NONSENSE}


class RegistryConversation:
    """One request, proxied (see `gatewaycore.decision.Conversation`).

    Args:
        request: the client's request; GET or HEAD.
        url: the URL at the backend, its authority the configured one.
        own: the path under which the same image is found here and there: "/v2/acme/x/".
    """

    __slots__ = ("_own", "_request", "_url")

    def __init__(self, request: Request, url: str, own: str) -> None:
        self._request = request
        self._url = url
        self._own = own

    def start(self) -> Upstream:
        """Return the client's request for the backend: repeated lines apart, `Authorization` with it, and nobody's address.

        `Authorization` goes nowhere but to the configured backend: there is no second request that could take it elsewhere.
        """
        address = self._request.client_ip.encode("latin-1", "replace")
        lines = [line for line in end_to_end(self._request.headers).raw if _may_be_sent(line, address)]
        return Upstream(self._request.method, self._url, Headers.from_raw(lines))

    def receive(self, status: int, headers: Headers) -> Relay | Respond:
        """Pass the answer on, its end-to-end fields with it."""
        if status not in _STATUSES:
            # Interim answers are none, and what is beyond 599 is no status (RFC 9110 §15).
            return NONSENSE
        lines: list[tuple[bytes, bytes]] = []
        for name, value in end_to_end(headers).raw:
            # A line break that a lenient parser let through would become a field of our own answer.
            if name in _NOT_RELAYED or not _CONTROLS.isdisjoint(value):
                continue
            if status == 204 and name == b"content-length":
                # RFC 9110 §8.6 forbids it, and who believes it waits for a body.
                continue
            seen = self._locate(value) if name == b"location" else value
            if seen is None:
                return NONSENSE
            lines.append((name, seen))
        return Relay(status, Headers.from_raw(lines))

    def fail(self, reason: Literal["connect", "timeout", "protocol"]) -> Respond:
        """Answer for a backend that did not."""
        return _FAILURES[reason]

    def _locate(self, value: bytes) -> bytes | None:
        """Return the Location as the client must see it, or None where it is no http(s) URL (RFC 9110 §10.2.2).

        A relative one that stays with the same image means the same path here; any other means a path of the backend's, which the
        client would look for at the gateway.
        """
        text = _UNSAFE.sub(_escape, value).decode("ascii")
        absolute = text.lower().startswith(("http://", "https://"))
        try:
            # Not joined where it is absolute: "http:///x" would take the backend's own host.
            resolved = text if absolute else urljoin(self._url, text)
            target, backend = urlsplit(resolved), urlsplit(self._url)
        except ValueError:
            return None
        if target.scheme not in ("http", "https") or not target.hostname:
            return None
        if absolute:
            return resolved.encode("ascii")
        same_host = (target.scheme, target.netloc) == (backend.scheme, backend.netloc)
        if same_host and not text.startswith("//") and target.path.startswith(self._own):
            # From the root, for the client may have asked under another spelling of this path ("/v2" for "/v2/").
            resolved = resolved.removeprefix(f"{backend.scheme}://{backend.netloc}")
        return resolved.encode("latin-1", "replace")


def _escape(found: re.Match[bytes]) -> bytes:
    return b"%%%02X" % ord(found[0])


def _may_be_sent(line: tuple[bytes, bytes], address: bytes) -> bool:
    name, value = line
    if name in _NOT_SENT or name.startswith(_NOT_SENT_PREFIXES):
        return False
    # Proxies in front of a gateway put the client's address into fields of names that no list can foresee.
    return not address or name in _MAY_HOLD_NUMBERS or address not in value
