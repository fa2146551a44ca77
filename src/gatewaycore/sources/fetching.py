"""Fetching: one question to a URL with rules, and whether its answer is what its owner has published."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, overload
from urllib.parse import urlsplit, urlunsplit

from attrs import frozen

from gatewaycore.errors import ConfigError, GatewayError, MissingExtraError, Problem
from gatewaycore.sources.protocols import Document, version_of

if TYPE_CHECKING:
    import httpx

    from gatewaycore.sources.http import HttpSource

_OK: Final = 200
_NOT_MODIFIED: Final = 304
_SIDE_BYTES: Final = 4096
_KEY_BYTES: Final = 32


class FetchError(GatewayError):
    """A URL that gives no rules now."""


@frozen
class Fetched:
    """An answer. `etag` is "" where the server has none."""

    document: Document
    etag: str


@overload
def fetch(source: HttpSource) -> Fetched: ...
@overload
def fetch(source: HttpSource, etag: str) -> Fetched | None: ...
def fetch(source: HttpSource, etag: str = "") -> Fetched | None:
    """Ask for the rules; None when they are what `etag` stands for.

    Raises:
        FetchError: there is no answer, or none that can be used.
        MissingExtraError: signatures cannot be verified here.
    """
    # With the first question: whoever has no such source does not pay for it.
    import httpx

    from gatewaycore.connecting import Deadline, open_client

    deadline = Deadline()
    headers = {"accept-encoding": "identity", "accept": "application/yaml, application/json, text/plain;q=0.9, */*;q=0.1"}
    if source.token is not None:
        headers["authorization"] = f"Bearer {source.token}"
    try:
        with open_client(private=True, deadline=deadline) as client:
            deadline.begin(source.timeout_s)
            found = _get(client, source.url, {**headers, **({"if-none-match": etag} if etag else {})}, source.max_bytes)
            if found is None and not etag:
                raise FetchError("the answer is 304, and nothing was said to be known")
            if found is None:
                return None
            body, tag = found
            if source.checksum:
                told = _get(client, _beside(source.url, ".sha256"), headers, _SIDE_BYTES)
                _compare(body, told[0] if told else b"")
            if source.public_key is not None:
                told = _get(client, _beside(source.url, ".sig"), headers, _SIDE_BYTES)
                _verify(source.public_key, body, told[0] if told else b"")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise FetchError(f"it cannot be fetched: {type(error).__name__}") from error
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FetchError(f"the answer is not UTF-8 at byte {error.start}") from error
    return Fetched(Document(source.place, text, version_of(body)), tag)


def _get(client: httpx.Client, url: str, headers: Mapping[str, str], limit: int) -> tuple[bytes, str] | None:
    name = url.rpartition("/")[2].partition("?")[0] or "it"
    with client.stream("GET", url, headers=dict(headers)) as answer:
        if answer.status_code == _NOT_MODIFIED:
            return None
        if answer.status_code != _OK:
            more = ", and redirects are not followed" if answer.has_redirect_location else ""
            raise FetchError(f"{name} is answered {answer.status_code}{more}")
        pieces: list[bytes] = []
        size = 0
        for piece in answer.iter_raw():
            size += len(piece)
            if size > limit:
                raise FetchError(f"{name} is larger than {limit} bytes")
            pieces.append(piece)
        tag = answer.headers.get("etag", "")
        # One may hold bytes beyond ASCII (RFC 9110 §8.8.3), which httpx does not send back: then the whole is asked for again.
        return b"".join(pieces), tag if tag.isascii() else ""


def _beside(url: str, suffix: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=parts.path + suffix))


def _compare(body: bytes, told: bytes) -> None:
    words = told.split()
    if not words or words[0].decode("latin-1").lower() != hashlib.sha256(body).hexdigest():
        raise FetchError("the checksum is not that of the answer")


def key_bytes(text: str) -> bytes:
    """Return a public key.

    Raises:
        ConfigError: it is none.
    """
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != _KEY_BYTES:
        raise ConfigError([Problem("public-key", "is no Ed25519 key", "its 32 bytes in base64")])
    return key


def verifier(public_key: str) -> Any:
    """Return what verifies signatures.

    Raises:
        MissingExtraError: the extra is not installed.
    """
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError as error:
        raise MissingExtraError.of("sources: http: public-key", "signatures") from error
    return Ed25519PublicKey.from_public_bytes(key_bytes(public_key))


def _verify(public_key: str, body: bytes, told: bytes) -> None:
    from cryptography.exceptions import InvalidSignature

    try:
        verifier(public_key).verify(base64.b64decode(told.strip(), validate=True), body)
    except (InvalidSignature, binascii.Error, ValueError) as error:
        raise FetchError("the signature is not that of the answer") from error
