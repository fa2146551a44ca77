"""Rulebook: the file that is served and all sources beside it, as one configuration; which version of each is served, and what is wrong.

A document that cannot be used is left as it was when it last could: neither the others nor the requests notice. A process that is started
meanwhile takes the copy that the source has kept. Of two documents that say
the same, the file comes first, then the sources in the order in which the file names them. What was made elsewhere comes last, and of that
alone is left out what cannot be served beside them.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final, Self

from attrs import define, evolve, field, frozen

from gatewaycore.config import Beside, Config, LeftOut, MadeRule, Reader, sift
from gatewaycore.errors import ConfigError, Problem
from gatewaycore.sources import Document, Feed, look, version_of

_log = logging.getLogger("gatewaycore.rulebook")

CONSOLE = "console"
_WORDS: Final = 200
# A file with nothing but a password in it, perhaps.
_FOUND: Final = re.compile(r"found ['\"].*")


@frozen
class Standing:
    """How it stands with one source.

    Attributes:
        kind: "file", "directory", "http" or "console". The file that is served is the first, and a "file".
        place: its path or its URL; the domain of the console.
        version: what is served of it, in short: the beginning of a SHA-256; of a directory, one of all its files. "" before anything is.
        loaded_at: since when that is served, in seconds since the epoch.
        is_stale: whether it is the last good copy of what cannot be reached.
        error: why what it has now is not served, with the place; "" when it is.
        error_at: since when.
        doubled: entries that are not served because another source says the same and comes first, each with both places; of the console,
            definitions that are left out, each with the reason.
    """

    kind: str
    place: str
    version: str = ""
    loaded_at: float | None = None
    is_stale: bool = False
    error: str = ""
    error_at: float | None = None
    doubled: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """The first words of the error, for whoever may see no secret: nothing that may stand in the query of a URL, nor what was found."""
        line = _FOUND.sub("found text", self.error.partition("\n")[0])
        return line.replace(self.place, self.place.partition("?")[0])[:_WORDS] if self.place else line[:_WORDS]

    def told(self, *, version: str | None = None, error: str = "", is_stale: bool = False, doubled: Sequence[str] = ()) -> Standing:
        """Return how it stands after another look.

        Args:
            version: what is served now; None for what was.
            error: why not more than that.
            is_stale, doubled: see the attributes.
        """
        now = time.time()
        new = version is not None and version != self.version
        return evolve(
            self,
            version=self.version if version is None else version,
            loaded_at=now if new else self.loaded_at,
            is_stale=is_stale,
            error=error,
            error_at=(self.error_at if error == self.error else now) if error else None,
            doubled=tuple(doubled),
        )


@define
class Reloads:
    """How often rules were read again. Counts only go up.

    Attributes:
        taken: what was read is served.
        refused: something of it could not be used, and what was served before stays.
        last_at: when the last one ended, in seconds since the epoch.
        last_s: how long it took, in seconds.
    """

    taken: int = 0
    refused: int = 0
    last_at: float | None = None
    last_s: float = 0.0


@define(eq=False)
class _Part:
    """A source: its feed, and the documents that were last good, by name."""

    feed: Feed
    good: dict[str, Document] = field(factory=dict)
    standing: Standing = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.standing = Standing(self.feed.kind, self.feed.place)


@frozen(eq=False)
class Trial:
    """What was read, before it is served.

    Attributes:
        config: the whole.
        left_out: of what was made elsewhere, what cannot be served beside the documents.
        used: for each source, the documents that are in it.
        errors: for each source, what is wrong with those that are not.
        version: of the file.
        signature: of everything, from before it was read.
    """

    config: Config
    left_out: tuple[LeftOut, ...]
    used: Sequence[Mapping[str, Document]]
    errors: Sequence[Sequence[Problem]]
    version: str
    signature: object


class Rulebook:
    """Reads the file and its sources together. One thread at a time takes what was read; any may look how it stands.

    `seen` is the `signature` of what is served, `reloads` counts.

    Args:
        path: the file that is served.
        reader: reads it.
        feeds: of the sources, in order.
        goes_back: whether what cannot be used is left as it was; otherwise it is told.
    """

    def __init__(self, path: str | Path, reader: Reader, feeds: Sequence[Feed] = (), *, goes_back: bool = True) -> None:
        self.path = Path(path)
        self.reloads = Reloads()
        self.seen: object = None
        self._reader = reader
        self._parts = [_Part(feed) for feed in feeds]
        self._file = Standing("file", str(path))
        self._console: Standing | None = None
        self._hashed: tuple[object, str] = (None, "")
        self._goes_back = goes_back
        self._has_read = False

    @classmethod
    def open(cls, path: str | Path, reader: Reader, data_dir: str | Path | None = None) -> Self:
        """Open all sources that a file names.

        Args:
            path: the file.
            reader: reads it.
            data_dir: where copies are kept, whatever the file says.

        Raises:
            ConfigError: one cannot be used, and there is no copy of it.
        """
        sources, data = reader.sources()
        feeds: list[Feed] = []
        with ExitStack() as opened:
            for source in sources:
                feeds.append(source.open(Path(data if data_dir is None else data_dir).absolute()))
                opened.callback(feeds[-1].close)
            opened.pop_all()
        return cls(path, reader, feeds)

    @classmethod
    def peek(cls, path: str | Path, reader: Reader, data_dir: str | Path | None = None, *, goes_back: bool = True) -> Self:
        """Look at a file and at all sources that it names, as `open` would find them now, once; nothing is left behind.

        Args:
            path, reader, data_dir: as those of `open`.
            goes_back: whether a copy is taken for what is there and cannot be used. It is for what cannot be reached.

        Raises:
            ConfigError: one cannot be used, and there is no copy of it.
        """
        sources, data = reader.sources()
        folder = Path(data if data_dir is None else data_dir).absolute()
        return cls(path, reader, [source.peek(folder) for source in sources], goes_back=goes_back)

    @property
    def feeds(self) -> list[Feed]:
        """The feeds of the sources."""
        return [part.feed for part in self._parts]

    @property
    def standings(self) -> tuple[Standing, ...]:
        """How it stands: the file first, then the sources in their order, then the console where there is one."""
        parts = tuple(_seen(part) for part in self._parts)
        return (self._file, *parts, *(() if self._console is None else (self._console,)))

    def read(self, made: Sequence[MadeRule] = ()) -> Trial:
        """Read everything as it is now. What cannot be used of a source is as it was; what was made and cannot be served is left out.

        Args:
            made: packages and collections that were made elsewhere.

        Raises:
            ConfigError: the file cannot be used, or there is nothing to go back to.
        """
        signature, version = self.signature(), self._version()
        errors: list[list[Problem]] = [[] for _ in self._parts]
        if not self._has_read and self._goes_back:
            for part in self._parts:
                part.good = {one.name: one for one in part.feed.kept()}
        used = [self._documents(part, wrong) for part, wrong in zip(self._parts, errors, strict=True)]
        while True:
            try:
                # Only what the documents are to blame for arrives here.
                config, left_out = sift(partial(self._reader.read, beside=self._beside(used)), made)
            except ConfigError as error:
                if not self._put_back(used, errors, error):
                    raise
            else:
                return Trial(config, left_out, used, errors, version, signature)

    def take(self, trial: Trial, *, is_reload: bool = True) -> None:
        """Take note that what was read is served.

        Args:
            trial: what was read.
            is_reload: whether it was read for the sake of the documents, and counts as a reload.
        """
        self._has_read, self.seen = True, trial.signature
        self._file = self._file.told(version=trial.version)
        for part, used, wrong in zip(self._parts, trial.used, trial.errors, strict=True):
            part.good = dict(used)
            told = "\n".join(map(str, wrong))
            part.feed.settle(list(used.values()), told)
            if told and told != part.standing.error:
                _log.error("what is new cannot be used, and what was served before stays:\n%s", told)
            those = [str(problem) for problem in trial.config.doubled if problem.document in used]
            for one in set(those) - set(part.standing.doubled):
                _log.warning("%s", one)
            part.standing = part.standing.told(version=_version(used), error=told, doubled=those)
        if is_reload:
            self._count(refused=any(trial.errors))

    def set_aside(self, trial: Trial) -> Iterator[Problem]:
        """Iterate over what is not in a trial as the sources have it now, and why: it is there as it was when it was last good."""
        for part, wrong in zip(self._parts, trial.errors, strict=True):
            if part.feed.is_stale:
                yield Problem(part.feed.place, part.feed.error)
            yield from wrong

    def refuse(self, error: ConfigError) -> None:
        """Take note that nothing of what is there now is served."""
        self._file = self._file.told(error=str(error), doubled=self._file.doubled)
        self._count(refused=True)

    def tell_console(self, place: str, version: str | None = None, error: str = "", *, is_stale: bool = False) -> None:
        """Take note of how it stands with what is made in the console.

        Args:
            place: its domain.
            version: what is served of it; None for what was.
            error: why not more than that.
            is_stale: whether that is because its database cannot be reached.
        """
        before = self._console or Standing(CONSOLE, place)
        self._console = before.told(version=version, error=error, is_stale=is_stale, doubled=before.doubled)

    def tell_left_out(self, words: Iterable[str]) -> None:
        """Take note of what was made in the console and is not served, a line each."""
        self._console = evolve(self._console or Standing(CONSOLE, ""), doubled=tuple(words))

    def signature(self) -> object:
        """Return what is another one when something may have changed. Cheap."""
        return (look(self.path), *(part.feed.signature() for part in self._parts))

    def close(self) -> None:
        """Let go of what the sources hold."""
        for part in self._parts:
            part.feed.close()

    # --- within ----------------------------------------------------------------------------------------------------------

    def _documents(self, part: _Part, wrong: list[Problem]) -> dict[str, Document]:
        """Return the documents of a source, those that cannot be read as they last could."""
        try:
            found = part.feed.documents()
        except ConfigError as error:
            if not self._has_read and not part.good:
                raise
            wrong += error.problems
            return dict(part.good)
        wrong += [Problem(one.name, one.error, document=one.name) for one in found if one.error]
        if not self._has_read and any(one.error and one.name not in part.good for one in found):
            raise ConfigError(wrong)
        as_they_can = ((one.name, part.good.get(one.name) if one.error else one) for one in found)
        return {name: one for name, one in as_they_can if one is not None}

    def _put_back(self, used: Sequence[dict[str, Document]], errors: Sequence[list[Problem]], error: ConfigError) -> bool:
        """Put the last good documents in the place of those that are at fault; tell whether there were any."""
        blamed = {problem.document for problem in error.problems}
        fresh = {name for part, those in zip(self._parts, used, strict=True) for name, one in those.items() if part.good.get(name) != one}
        # When what is at fault has not changed, something that has does not go with it.
        blamed = blamed & fresh or fresh
        if not self._has_read:
            # Whoever has only begun cannot leave one out: nobody knows what it ought to say.
            blamed &= {name for part in self._parts for name in part.good}
        if not blamed:
            return False
        for part, those, wrong in zip(self._parts, used, errors, strict=True):
            if not blamed.intersection(those):
                continue
            wrong += [problem for problem in error.problems if problem.document in those or not fresh.intersection({problem.document})]
            for name in blamed.intersection(those):
                if name in part.good:
                    those[name] = part.good[name]
                else:
                    del those[name]
        return True

    def _beside(self, used: Sequence[Mapping[str, Document]]) -> list[Beside]:
        pairs = [(part.feed, one) for part, those in zip(self._parts, used, strict=True) for one in those.values()]
        return [Beside(one.name, one.text, feed.has_environment) for feed, one in pairs]

    def _version(self) -> str:
        seen = look(self.path)
        if seen is None or self._hashed[0] != seen:
            try:
                self._hashed = seen, version_of(self.path.read_bytes())
            except OSError:
                # Who reads it says so.
                self._hashed = None, ""
        return self._hashed[1]

    def _count(self, *, refused: bool) -> None:
        if refused:
            self.reloads.refused += 1
        else:
            self.reloads.taken += 1
        self.reloads.last_at = time.time()


def named(standings: Sequence[Standing]) -> Iterator[tuple[str, Standing]]:
    """Iterate over sources with what they are called in metrics: their kind, with a number from the second of a kind on."""
    counts: dict[str, int] = {}
    for one in standings:
        counts[one.kind] = number = counts.get(one.kind, 0) + 1
        yield (one.kind if number == 1 else f"{one.kind}-{number}"), one


def _seen(part: _Part) -> Standing:
    """Return how a source stands, with what its feed has found out since."""
    standing, error = part.standing, part.feed.error
    if not error:
        return standing
    at = standing.error_at or time.time()
    placed = error if error.startswith(part.feed.place) else f"{part.feed.place}: {error}"
    return evolve(standing, is_stale=part.feed.is_stale, error=standing.error or placed, error_at=at)


def _version(documents: Mapping[str, Document]) -> str:
    versions = [document.version for document in documents.values()]
    return versions[0] if len(versions) == 1 else version_of(" ".join(versions).encode()) if versions else ""
