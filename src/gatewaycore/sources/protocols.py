"""Document, Feed and Source: what rules are handed over as, and by whom."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event
from typing import Protocol

from attrs import field, frozen

_SHOWN = 12


def version_of(body: bytes) -> str:
    """Return what a version of a text is called: the beginning of its SHA-256, the same everywhere."""
    return hashlib.sha256(body).hexdigest()[:_SHOWN]


@frozen
class Document:
    """A text with packages and collections.

    Attributes:
        name: its path or its URL, by which it is called where something is wrong with it.
        text: YAML or JSON.
        version: see `version_of`.
        error: why it cannot be read: then it has no text. "" when it can.
    """

    name: str
    text: str = field(repr=False)
    version: str
    error: str = ""


class Feed(Protocol):
    """Hands documents over, as they are now. One thread asks at a time.

    Attributes:
        kind: the tag of its source.
        place: a path or a URL.
        has_environment: whether secrets may be taken out of the environment for its documents.
        error: why it cannot be looked at, or what another process has found to be wrong with what it has; "" when nothing is.
        is_stale: whether `documents` are a copy of what was there once, because it cannot be looked at.
    """

    kind: str
    place: str
    has_environment: bool

    @property
    def error(self) -> str: ...
    @property
    def is_stale(self) -> bool: ...

    def documents(self) -> Sequence[Document]:
        """Return its documents, in order; those that cannot be read say why.

        Raises:
            ConfigError: it cannot even be told which there are.
        """
        ...

    def signature(self) -> object:
        """Return what is another one when documents may have changed. Cheap: it is asked every second."""
        ...

    def kept(self) -> Sequence[Document]:
        """Return copies of the documents that were good last, before this was opened; none where there are no copies."""
        ...

    def settle(self, used: Sequence[Document], wrong: str) -> None:
        """Take note of what is served, of what was handed over last.

        Args:
            used: its documents that are.
            wrong: why others are not, each with its place; "" when all are.
        """
        ...

    def refresh(self) -> bool:
        """Look elsewhere for something new, now; tell whether there is."""
        ...

    def run(self, stop: Event, wake: Callable[[], None]) -> None:
        """Look elsewhere for something new until told to stop, in a thread of its own, and wake whoever asks for documents."""
        ...

    def folders(self) -> Sequence[Path]:
        """Return the folders in which a change shows."""
        ...

    def close(self) -> None:
        """Let go of what it holds."""
        ...


class Source(Protocol):
    """Settings of a source."""

    def open(self, data: Path) -> Feed:
        """Make the feed of a service.

        Args:
            data: the data-dir, where last good copies are kept.

        Raises:
            ConfigError: it cannot be used, and there is no copy either.
        """
        ...

    def peek(self, data: Path) -> Feed:
        """Make a feed for whoever only wants to look: of what there is now, or of the copy where that cannot be had. Leaves nothing behind.

        Args:
            data: the data-dir, where copies may lie.

        Raises:
            ConfigError: it cannot be used, and there is no copy either.
        """
        ...
