"""HTTP: rules from a URL, and the last good copy of them on the node's disk.

One process of a node asks. What it gets is handed over, and becomes the copy when it has turned out to be good; the others follow the copy,
and so does whoever starts while the URL cannot be reached.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, Final, overload
from urllib.parse import urlsplit, urlunsplit

from attrs import field, frozen

from gatewaycore.errors import ConfigError, GatewayError, MissingExtraError, Problem
from gatewaycore.locks import Lock
from gatewaycore.pausing import next_pause_s
from gatewaycore.sources.copies import FOLDER, folder_of, make_folder, write_whole
from gatewaycore.sources.files import look
from gatewaycore.sources.protocols import Document, version_of

if TYPE_CHECKING:
    import httpx

_OK: Final = 200
_NOT_MODIFIED: Final = 304
_SIDE_BYTES: Final = 4096
_KEY_BYTES: Final = 32
_SUFFIXES: Final = (".yaml", ".yml", ".json")

_log = logging.getLogger("gatewaycore.sources")


class FetchError(GatewayError):
    """A URL that gives no rules now."""


@frozen(kw_only=True)
class HttpSource:
    """Packages and collections from a URL, which is asked again and again.

    Attributes:
        url: https, or http where nobody sits between; with no user or password in it.
        token: sent as ``Authorization: Bearer``; to this URL's host and no other, for redirects are not followed.
        every_s: how often it is asked, in seconds.
        timeout_s: how long an answer may take as a whole, in seconds.
        max_bytes: the largest answer that is taken.
        checksum: demand that the URL with ``.sha256`` behind its path gives the SHA-256 of the answer, as sha256sum writes it.
        public_key: demand that the URL with ``.sig`` behind its path gives an Ed25519 signature of the answer, in base64, that this key
            (32 bytes, in base64) has made.
    """

    url: str
    token: str | None = field(default=None, repr=False)
    every_s: int = 30
    timeout_s: int = 10
    max_bytes: int = 64 * 1024 * 1024
    checksum: bool = False
    public_key: str | None = None

    def __attrs_post_init__(self) -> None:
        """Refuse what cannot be asked."""
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError([Problem("url", f"{self.url[:80]!r} is no URL of https or http", "https://rules.acme.com/gateway.yaml")])
        if parts.username is not None or parts.password is not None:
            raise ConfigError([Problem("url", "it holds a user or a password", "token-env: takes a token out of the environment")])
        if self.public_key is not None:
            _key_bytes(self.public_key)

    def open(self, data: Path) -> HttpFeed:
        """Make its feed, and ask for the first time."""
        return HttpFeed.open(self, data)

    def peek(self, data: Path) -> HttpFeed:
        """Make a feed of what it gives now, or of the copy."""
        return HttpFeed.peek(self, data)

    def check(self) -> None:
        """Find out whether signatures can be verified here.

        Raises:
            MissingExtraError: the extra is not installed.
        """
        if self.public_key is not None:
            _verifier(self.public_key)


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
    return Fetched(Document(source.url, text, version_of(body)), tag)


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
        return b"".join(pieces), answer.headers.get("etag", "")


def _beside(url: str, suffix: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=parts.path + suffix))


def _compare(body: bytes, told: bytes) -> None:
    words = told.split()
    if not words or words[0].decode("latin-1").lower() != hashlib.sha256(body).hexdigest():
        raise FetchError("the checksum is not that of the answer")


def _key_bytes(text: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != _KEY_BYTES:
        raise ConfigError([Problem("public-key", "is no Ed25519 key", "its 32 bytes in base64")])
    return key


def _verifier(public_key: str) -> Any:
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError as error:
        raise MissingExtraError.of("sources: http: public-key", "signatures") from error
    return Ed25519PublicKey.from_public_bytes(_key_bytes(public_key))


def _verify(public_key: str, body: bytes, told: bytes) -> None:
    from cryptography.exceptions import InvalidSignature

    try:
        _verifier(public_key).verify(base64.b64decode(told.strip(), validate=True), body)
    except (InvalidSignature, binascii.Error, ValueError) as error:
        raise FetchError("the signature is not that of the answer") from error


class HttpFeed:
    """Hands over what a URL gives, or the last good copy of it.

    Args:
        source: its settings.
        folder: where the copy lies, of this URL alone.
    """

    kind = "http"
    # Whoever answers for a URL is told no secret of this machine.
    has_environment = False

    def __init__(self, source: HttpSource, folder: Path) -> None:
        self.place = source.url
        self._source = source
        self._lock = Lock(folder / "lock")
        suffix = next((one for one in _SUFFIXES if urlsplit(source.url).path.endswith(one)), "")
        self._copy = folder / f"good{suffix}"
        self._note = folder / "note.json"
        self._candidate: Fetched | None = None
        self._etag = ""
        self._refused = ""
        self._read: tuple[object, Document] | None = None
        # What stands in no file, because nobody may or can write it.
        self._noted_here: Mapping[str, Any] | None = None

    @classmethod
    def open(cls, source: HttpSource, data: Path) -> HttpFeed:
        """Make it, and ask for the first time, unless another process of this node does.

        Raises:
            ConfigError: there is neither an answer nor a copy.
        """
        source.check()
        folder = folder_of(data, source.url)
        make_folder(folder)
        feed = cls(source, folder)
        ends = time.monotonic() + source.timeout_s
        while not feed._lock.take():
            if feed._copy.exists():
                return feed
            if time.monotonic() > ends:
                raise ConfigError([Problem(source.url, "another process asks for it, and has nothing yet", "see what that one logs")])
            time.sleep(0.05)
        try:
            feed.ask()
        except FetchError as error:
            try:
                feed._demand_copy(error)
            except ConfigError:
                feed.close()
                raise
            _log.warning("%s: %s; the last good copy is served, which is stale", source.url, error)
        return feed

    @classmethod
    def peek(cls, source: HttpSource, data: Path) -> HttpFeed:
        """Make it for whoever only wants to look: ask once, take no lock and write nothing.

        Raises:
            ConfigError: there is neither an answer nor a copy.
        """
        source.check()
        feed = cls(source, folder_of(data, source.url))
        try:
            feed._candidate, feed._noted_here = fetch(source), {}
        except FetchError as error:
            feed._noted_here = {"error": str(error)}
            feed._demand_copy(error)
        return feed

    def _demand_copy(self, error: FetchError) -> None:
        if not self._copy.exists():
            hint = "see what it answers; once it has given rules, a copy of them is kept"
            raise ConfigError([Problem(self.place, f"{error}, and there is no copy of it", hint)]) from error

    # --- what it says ----------------------------------------------------------------------------------------------------

    @property
    def error(self) -> str:
        """Why it cannot be looked at."""
        return str(self._noted().get("error", ""))

    @property
    def is_stale(self) -> bool:
        """Whether the copy is served because the URL gives nothing."""
        return bool(self.error)

    @property
    def is_refused(self) -> bool:
        """Whether the copy is served because what the URL gives has turned out not to be good."""
        return bool(self._refused)

    @property
    def checked_at(self) -> float | None:
        """When the URL was last asked with success, in seconds since the epoch; None when it never was."""
        found = self._noted().get("checked_at")
        return found if isinstance(found, float) else None

    def documents(self) -> Sequence[Document]:
        """Return what was fetched, and else the copy."""
        return [self._copied() if self._candidate is None else self._candidate.document]

    def _copied(self) -> Document:
        seen = look(self._copy)
        if self._read is None or self._read[0] != seen:
            try:
                body = self._copy.read_bytes()
            except OSError as error:
                raise ConfigError([Problem(self.place, f"its copy cannot be read: {error.strerror}")]) from error
            self._read = seen, Document(self.place, body.decode("utf-8", "replace"), version_of(body))
        return self._read[1]

    def signature(self) -> object:
        """Return which answer there is."""
        return self._candidate.document.version if self._candidate else (look(self._copy), self._refused)

    def folders(self) -> Sequence[Path]:
        """Return where the copy lies."""
        return [self._copy.parent]

    def kept(self) -> Sequence[Document]:
        """Return the copy, if there is one."""
        return [self._copied()] if self._copy.exists() else []

    def settle(self, used: Sequence[Document], *, good: bool) -> None:
        """Keep what was fetched as the copy, or forget it."""
        fetched, self._candidate = self._candidate, None
        if fetched is None:
            return
        self._etag = fetched.etag
        if not good:
            self._refused = fetched.document.version
            return
        try:
            write_whole(self._copy, fetched.document.text.encode())
        except OSError as error:
            # It is served all the same, by this process.
            _log.warning("%s: no copy of it can be kept: %s", self.place, error.strerror)
        self._refused, self._read = "", (look(self._copy), fetched.document)

    # --- asking ----------------------------------------------------------------------------------------------------------

    def ask(self) -> bool:
        """Ask once; tell whether there is something new.

        Raises:
            FetchError: there is no answer.
        """
        now = time.time()
        try:
            fetched = fetch(self._source, self._etag)
        except FetchError as error:
            self._take_note({**self._noted(), "error": str(error), "error_at": now})
            raise
        self._take_note({"checked_at": now})
        if fetched is None or fetched.document.version == self._refused:
            return False
        if fetched.document.version == self._served_version():
            self._etag = fetched.etag
            # It has what is served again: whoever said that it had not takes that back.
            gone, self._refused = self._refused, ""
            return bool(gone)
        self._candidate = fetched
        return True

    def run(self, stop: Event, wake: Callable[[], None]) -> None:
        """Ask again and again, in the one process of this node that does."""
        pause_s, failing = 0.0, False
        while True:
            # What may be done by one process of many is spread out, and what has failed even more so.
            wait_s = pause_s if failing else self._source.every_s
            if stop.wait(wait_s * random.uniform(0.8, 1.2)):  # noqa: S311 - no secret
                return
            if not self._lock.is_ours and not self._lock.take():
                continue
            try:
                found = self.ask()
            except (GatewayError, OSError) as error:
                if not failing:
                    _log.warning("%s: %s; what was served before stays", self.place, error)
                failing, pause_s = True, next_pause_s(pause_s)
                continue
            if failing:
                _log.warning("%s can be fetched again", self.place)
            failing, pause_s = False, 0.0
            if found:
                wake()

    def close(self) -> None:
        """Let another process ask."""
        self._lock.let_go()

    def _served_version(self) -> str:
        return self._copied().version if self._candidate is None and (self._copy.exists() or self._read is not None) else ""

    def _noted(self) -> Mapping[str, Any]:
        if self._noted_here is not None:
            return self._noted_here
        try:
            found = json.loads(self._note.read_bytes())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _take_note(self, note: Mapping[str, Any]) -> None:
        try:
            write_whole(self._note, json.dumps(dict(note)).encode())
        except OSError:
            self._noted_here = note
        else:
            self._noted_here = None


__all__ = ["FOLDER", "FetchError", "Fetched", "HttpFeed", "HttpSource", "fetch"]
