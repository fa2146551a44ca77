"""HTTP: rules from a URL, and the last good copy of them on the node's disk.

One process of a node asks. What it gets is handed over, and becomes the copy when it has turned out to be good; the others follow the copy,
and so does whoever starts while the URL cannot be reached.
"""

from __future__ import annotations

import json
import logging
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from attrs import field, frozen

from gatewaycore.errors import ConfigError, Problem, words_of
from gatewaycore.locks import Lock
from gatewaycore.pausing import next_pause_s
from gatewaycore.sources.copies import folder_of, make_folder, write_whole
from gatewaycore.sources.fetching import Fetched, FetchError, fetch, key_bytes, verifier
from gatewaycore.sources.files import look
from gatewaycore.sources.protocols import Document, version_of

if TYPE_CHECKING:
    pass

_SUFFIXES: Final = (".yaml", ".yml", ".json")

_log = logging.getLogger("gatewaycore.sources")


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
        try:
            parts = urlsplit(self.url)
        except ValueError:
            # A bracket that nobody closes.
            parts = urlsplit("")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError([Problem("url", f"{self.url[:80]!r} is no URL of https or http", "https://rules.acme.com/gateway.yaml")])
        if parts.username is not None or parts.password is not None:
            raise ConfigError([Problem("url", "it holds a user or a password", "token-env: takes a token out of the environment")])
        if self.token is not None and not (self.token.isascii() and self.token.isprintable()):
            raise ConfigError([Problem("token", "it holds what no field may hold", "printable ASCII, and no end of a line")])
        if self.public_key is not None:
            key_bytes(self.public_key)

    @property
    def place(self) -> str:
        """The URL, as it is told: what stands in its query may be a secret, and another query makes another place."""
        bare, mark, query = self.url.partition("?")
        return f"{bare}?{version_of(query.encode())[:6]}…" if mark else bare

    def folder(self, data: Path) -> Path:
        """Return where its copy lies. What was taken without a signature, or with another key's, is no copy of what this one has signed."""
        return folder_of(data, self.url if self.public_key is None else f"{self.url} {self.public_key}")

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
            verifier(self.public_key)


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
        self.place = source.place
        self._source = source
        self._lock = Lock(folder / "lock")
        suffix = next((one for one in _SUFFIXES if urlsplit(source.url).path.endswith(one)), "")
        self._copy = folder / f"good{suffix}"
        self._note = folder / "note.json"
        # What was fetched and is not known to be good, and what of it was handed over. Who asks, and who reads, may be two threads.
        self._candidate: Fetched | None = None
        self._handed: Fetched | None = None
        self._changing = threading.Lock()
        self._etag = ""
        self._refused = ""
        self._read: tuple[object, Document] | None = None
        self._trouble = ""
        # What stands in no file, because nobody may or can write it.
        self._noted_here: Mapping[str, Any] | None = None

    @classmethod
    def open(cls, source: HttpSource, data: Path) -> HttpFeed:
        """Make it, and ask for the first time, unless another process of this node does.

        Raises:
            ConfigError: there is neither an answer nor a copy.
        """
        source.check()
        folder = source.folder(data)
        make_folder(folder)
        feed = cls(source, folder)
        ends = time.monotonic() + source.timeout_s
        while not feed._lock.take():
            if feed._copy.exists():
                return feed
            if time.monotonic() > ends:
                raise ConfigError([Problem(source.place, "another process asks for it, and has nothing yet", "see what that one logs")])
            time.sleep(0.05)
        try:
            feed.ask()
        except FetchError as error:
            try:
                feed._demand_copy(error)
            except ConfigError:
                feed.close()
                raise
            _log.warning("%s: %s; the last good copy is served, which is stale", source.place, error)
            feed._trouble = str(error)
        return feed

    @classmethod
    def peek(cls, source: HttpSource, data: Path) -> HttpFeed:
        """Make it for whoever only wants to look: ask once, take no lock and write nothing.

        Raises:
            ConfigError: there is neither an answer nor a copy.
        """
        source.check()
        feed = cls(source, source.folder(data))
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
        """Why it cannot be looked at; or what is wrong with what it gives, as the process that asks has found."""
        noted = self._noted()
        return str(noted.get("error") or noted.get("refused") or "")

    @property
    def is_stale(self) -> bool:
        """Whether the copy is served because the URL gives nothing."""
        return bool(self._noted().get("error"))

    @property
    def checked_at(self) -> float | None:
        """When the URL was last asked with success, in seconds since the epoch; None when it never was."""
        found = self._noted().get("checked_at")
        return found if isinstance(found, float) else None

    def documents(self) -> Sequence[Document]:
        """Return what was fetched, and else the copy. What is bad is handed over again: it may be good beside what others say by now."""
        with self._changing:
            self._handed = self._candidate
        return [self._copied() if self._handed is None else self._handed.document]

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
        candidate = self._candidate
        if candidate is not None:
            return candidate.document.version
        try:
            return self._copied().version
        except ConfigError:
            return None

    def folders(self) -> Sequence[Path]:
        """Return where the copy lies."""
        return [self._copy.parent]

    def kept(self) -> Sequence[Document]:
        """Return the copy, if there is one."""
        return [self._copied()] if self._copy.exists() else []

    def settle(self, used: Sequence[Document], wrong: str) -> None:
        """Keep what was handed over as the copy, if it is good; else note what is wrong, for the other processes of this node."""
        handed, self._handed = self._handed, None
        if handed is None:
            return
        refused, self._refused = self._refused, wrong
        if not wrong:
            try:
                write_whole(self._copy, handed.document.text.encode())
            except OSError as error:
                # It is served all the same, by this process.
                _log.warning("%s: no copy of it can be kept: %s", self.place, error.strerror)
            self._read = look(self._copy), handed.document
            self._drop(handed)
        if refused != wrong:
            self._take_note(self._noted())

    def _drop(self, known: Fetched | None) -> bool:
        """Forget what was fetched, unless something else was fetched meanwhile; tell whether there was anything."""
        with self._changing:
            gone = self._candidate is not None
            if self._candidate is known:
                self._candidate = None
            return gone

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
        candidate = self._candidate
        if fetched is None:
            return False
        self._etag = fetched.etag
        if candidate is not None and fetched.document.version == candidate.document.version:
            return False
        if fetched.document.version == self._served_version():
            # It has what is served again: whoever said that it had not takes that back.
            self._refused = ""
            self._take_note({"checked_at": now})
            return self._drop(candidate)
        with self._changing:
            self._candidate = fetched
        return True

    def refresh(self) -> bool:
        """Ask now, whoever else does; tell whether there is something new. What goes wrong is logged."""
        try:
            return self.ask()
        except Exception as error:  # noqa: BLE001 - other sources are asked all the same; our own words, or its type, are logged
            self._log_trouble(error)
            return False

    def run(self, stop: Event, wake: Callable[[], None]) -> None:
        """Ask again and again, in the one process of this node that does."""
        pause_s = 0.0
        while True:
            # What may be done by one process of many is spread out, and what has failed even more so.
            wait_s = pause_s or self._source.every_s
            if stop.wait(wait_s * random.uniform(0.8, 1.2)):  # noqa: S311 - no secret
                return
            try:
                if not self._lock.is_ours and not self._lock.take():
                    continue
                found = self.ask()
            except Exception as error:  # noqa: BLE001 - whoever has the lock must go on asking: nobody else does
                self._log_trouble(error)
                pause_s = next_pause_s(pause_s)
                continue
            if self._trouble:
                _log.warning("%s can be fetched again", self.place)
            pause_s, self._trouble = 0.0, ""
            if found:
                wake()

    def _log_trouble(self, error: Exception) -> None:
        # Once for each reason, and not with every try.
        told = words_of(error)
        if told != self._trouble:
            _log.warning("%s: %s; what was served before stays", self.place, told)
        self._trouble = told

    def close(self) -> None:
        """Let another process ask."""
        self._lock.let_go()

    def _served_version(self) -> str:
        return self._copied().version if self._copy.exists() or self._read is not None else ""

    def _noted(self) -> Mapping[str, Any]:
        if self._noted_here is not None:
            return self._noted_here
        try:
            found = json.loads(self._note.read_bytes())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _take_note(self, note: Mapping[str, Any]) -> None:
        note = {key: value for key, value in note.items() if key != "refused"} | ({"refused": self._refused} if self._refused else {})
        try:
            write_whole(self._note, json.dumps(note).encode())
        except OSError:
            self._noted_here = note
        else:
            self._noted_here = None


__all__ = ["HttpFeed", "HttpSource"]
