"""Service: the composition root. Config -> gateway, recorder, journal, shipper; the only place that puts them together."""

from __future__ import annotations

import logging
import platform
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from gatewaycore.badge_numbers import StoreNumbers
from gatewaycore.badges import Numbers
from gatewaycore.badges.figures import StillAskingError
from gatewaycore.clientip import TrustedProxies
from gatewaycore.config import Config, LeftOut, MadeRule, Reader, close_enrichers, open_enrichers, read_config, words_of
from gatewaycore.counting import PullCounter
from gatewaycore.decision import Failure, Upstream
from gatewaycore.errors import ConfigError, GatewayError, Problem
from gatewaycore.gateway import Gateway, Outcome
from gatewaycore.gently import let_go
from gatewaycore.intake import open_import
from gatewaycore.journal import Journal
from gatewaycore.keeping import NUMBERS, event_source, numbers_of, statistics_of, storages
from gatewaycore.operations.desk import METRICS, Desk
from gatewaycore.operations.health import Health, SourceHealth
from gatewaycore.operations.metering import MeteredRecorder, count_asked
from gatewaycore.operations.meters import Meters
from gatewaycore.operations.tracing import TracedRecorder, Tracer, open_tracer
from gatewaycore.plugins import rosters
from gatewaycore.recorder import Recorder
from gatewaycore.rulebook import Rulebook, Standing, Trial, named
from gatewaycore.rules import CollectionRule, ContainerRule
from gatewaycore.salts import Salts
from gatewaycore.shipper import Shipper
from gatewaycore.sinks import JsonlStorage, Sink
from gatewaycore.sinks.set_aside import SET_ASIDE
from gatewaycore.state import PulledPackage, State
from gatewaycore.stats import StoppedError

if TYPE_CHECKING:
    import httpx

_log = logging.getLogger("gatewaycore.service")
_HOUSE_S = 60.0
_SOON_S = 1.0
STATE = "state.sqlite3"
"""Where, under the data-dir, it is kept which images were pulled."""


def load(source: str | Path | Mapping[str, Any], scarf_hosts: bool = False) -> Gateway:
    """Return a gateway that decides, and keeps nothing.

    Args:
        source: a path to a gateway.yaml (or JSON, or a Scarf manifest), or what such a file holds, as a mapping.
        scarf_hosts: add that product's built-in hosts: its pixel and its install events.

    Raises:
        ConfigError: with every problem found.
    """
    if isinstance(source, Mapping):
        return read_config(source, scarf_hosts=scarf_hosts, rosters=rosters()).compile()
    book = Rulebook.peek(source, Reader(source, scarf_hosts=scarf_hosts, rosters=rosters), goes_back=False)
    trial = book.read()
    for one in book.set_aside(trial):
        _log.warning("%s; the last good copy is read", one)
    return trial.config.compile()


class Service:
    """A gateway with everything around it. Threads share it; `gateway` and `recorder` are swapped whole on a reload.

    Args:
        config: what to run.
        gateway: its rules, compiled.
        recorder: where events go.
        journal: what the recorder appends to.
        state: which images were pulled.
        counter: counts pulls, as a lane of the shipper; None when there is no image to pull.
        shipper: feeds the sinks and the counter; None when there are none.
        numbers: count for badges; None when there are none.
        meters: count requests, for whoever runs this; None when nobody asks.
        tracer: traces some of them; None when nobody asks.

    Attributes:
        is_draining: whether this process is about to end.
    """

    def __init__(
        self,
        config: Config,
        gateway: Gateway,
        recorder: Recorder,
        journal: Journal,
        state: State,
        counter: PullCounter | None = None,
        shipper: Shipper | None = None,
        numbers: Numbers | None = None,
        meters: Meters | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        self.config = config
        self.gateway = gateway
        self.recorder = recorder
        self.journal = journal
        self.counter = counter
        self.shipper = shipper
        self.figures = config.figures
        self.numbers = numbers
        self._state = state
        self.trusted = TrustedProxies.parse(config.gateway.trusted_proxies, config.gateway.request_id_header)
        self.own_traffic = config.gateway.own_traffic
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self.rulebook: Rulebook | None = None
        self.made: tuple[MadeRule, ...] = ()
        self.left_out: tuple[LeftOut, ...] = ()
        self.held_back: tuple[LeftOut, ...] = ()
        self._swapping = threading.Lock()
        self.is_draining = False
        self.tracer = tracer
        self._reload_failed = False
        self._domains: tuple[Mapping[str, int], Mapping[str, int]] = ({}, {})
        self.desk: Desk | None = None
        if meters is not None and config.operations is not None:
            sinks = [name for name, _ in storages(config, self.data)]
            self.desk = Desk(config.operations, self.data, sinks, meters, self.health)

    @classmethod
    def open(cls, config: Config, data_dir: str | Path | None = None, numbers: Numbers | None = None, *, lenient: bool = False) -> Self:
        """Compile the rules and open everything that lies under the data-dir.

        Args:
            config: what to run.
            data_dir: keep everything here, whatever the config says.
            numbers: those who count, for badges; without, it is what `gatewaycore.stats` says of the events.
            lenient: enrichments whose files cannot be used are logged, say nothing, and are opened as soon as they can be.

        Raises:
            ConfigError: rules, sinks, enrichments or the data-dir cannot be used.
        """
        settings = config.gateway
        # Absolute, so that a process which changes its directory later keeps what it keeps in one place.
        data = Path(settings.data_dir if data_dir is None else data_dir).absolute()
        gateway = config.compile()
        own = settings.own_traffic.compile()
        sinks: dict[str, Sink] = {}
        with ExitStack() as opened:
            enrichers = open_enrichers(config, lenient=lenient)
            opened.callback(close_enrichers, enrichers)
            for name, storage in storages(config, data):
                if isinstance(storage, JsonlStorage):
                    storage.check_beside(data / "journal")
                sink = sinks[name] = storage.open()
                opened.callback(sink.close)
            store = None if settings.shared_salts is None else settings.shared_salts.open()
            with _usable(data):
                journal = Journal(data / "journal", platform.node(), settings.journal)
                salts = Salts(data / "salts", settings.salt_rotation, store)
                state = State(data / STATE)
                # Images may be made in the console at any time.
                counts = serves_images(config) or config.console is not None
                counter = PullCounter(journal.append, state) if counts else None
                lanes = [] if counter is None else [counter]
                shipping = sinks or lanes or settings.journal.keep_days is not None
                folders = data / "journal", data / "cursors", data / SET_ASIDE
                shipper = Shipper(*folders, sinks, lanes, settings.journal) if shipping else None
            opened.pop_all()
        recorder = Recorder(journal.append, enrichers, salts, journal.append_all).leaving_out(own)
        meters = None
        if config.operations is not None:
            meters = Meters(data / METRICS, journal.node)
            recorder = MeteredRecorder(recorder, meters, packages=config.operations.packages)
        tracer = None
        if config.traces is not None:
            tracer = open_tracer(config.traces)
            recorder = TracedRecorder(recorder, tracer)
        if numbers is None and config.badges is not None:
            numbers = numbers_of(config, data, config.badges.max_age_s)
        return cls(config, gateway, recorder, journal, state, counter, shipper, numbers, meters, tracer)

    @classmethod
    def from_file(
        cls, path: str | Path, data_dir: str | Path | None = None, numbers: Numbers | None = None, *, lenient: bool = False
    ) -> Self:
        """Open the service that a gateway.yaml describes.

        Args:
            path: the file; `reload` reads it again.
            data_dir: keep everything here, whatever the file says.
            numbers: those who count, for badges; without, it is what `gatewaycore.stats` says of the events.
            lenient: as in `open`: for a process that is started in the place of another, when the files were looked at before.

        Raises:
            ConfigError: with every problem found.
        """
        rulebook = Rulebook.open(path, Reader(path, rosters=rosters), data_dir)
        with ExitStack() as opened:
            opened.callback(rulebook.close)
            trial = rulebook.read()
            service = cls.open(trial.config, data_dir, numbers, lenient=lenient)
            opened.pop_all()
        rulebook.take(trial)
        service.rulebook = rulebook
        return service

    @property
    def sources(self) -> tuple[Standing, ...]:
        """Where the rules come from, and how it stands with each: the file, its sources, the console."""
        return () if self.rulebook is None else self.rulebook.standings

    def reload(self) -> bool:
        """Read the file and its sources again and swap the rules; False, with the reason logged, when the file cannot be used: the old
        rules stay. What cannot be used of a source stays as it was; see `sources`.

        Sinks, enrichments, the data-dir and which sources there are take effect at the next start.
        """
        book = self.rulebook
        if book is None:
            return False
        began = time.monotonic()
        with self._swapping:
            try:
                trial = book.read(self.made)
                self._swap(trial, self.made)
            except ConfigError as error:
                book.refuse(error)
                _log.error("the new configuration cannot be used, and the old one stays:\n%s", error)
                self._note_reload(failed=True, refused=True)
                return False
            book.take(trial)
            book.reloads.last_s = time.monotonic() - began
            self._note_reload(failed=False, refused=any(trial.errors))
        return True

    def _note_reload(self, *, failed: bool, refused: bool) -> None:
        """Take note of a reload: whether it has failed as a whole, and whether anything, be it one document of a source, was refused."""
        self._reload_failed = failed
        if self.desk is not None:
            self.desk.meters.count("reloads", "refused" if refused else "done")
            self.desk.wake()

    def check_rules(self, made: Sequence[MadeRule]) -> Trial:
        """Find out which packages and collections that were made elsewhere can be served beside the file and its sources.

        Args:
            made: all of them.

        Returns:
            the configuration with those that can be; those that cannot are `left_out`.

        Raises:
            ConfigError: the file cannot be used by itself; or the service was not opened from a file.
        """
        with self._swapping:
            return self._book().read(made)

    def _book(self) -> Rulebook:
        if self.rulebook is None:
            raise ConfigError([Problem("console", "packages can be made only where the configuration is a file", "Service.from_file")])
        return self.rulebook

    def take_rules(self, made: Sequence[MadeRule], held_back: tuple[LeftOut, ...] = ()) -> bool:
        """Serve packages and collections that were made elsewhere beside those of the file and its sources, from the next request on.

        Those that cannot be served are left out, and logged; `left_out` holds them.

        Args:
            made: all of them.
            held_back: definitions that nobody has asked to be served as things are, for whoever looks for them.

        Returns:
            False, with the reason logged, when the file cannot be used by itself: what was served before stays.
        """
        with self._swapping:
            try:
                book = self._book()
                trial = book.read(made)
                self._swap(trial, made)
            except ConfigError as error:
                _log.error("what was made in the console cannot be served, and what was served before stays:\n%s", error)
                return False
            book.take(trial, is_reload=False)
            new = [one for one in held_back if one not in self.held_back]
            self.held_back = held_back
        if new:
            _log.warning("of what was made in the console, this is not served before its domain is proved:\n%s", words_of(new))
        return True

    def _leave_out(self, left_out: tuple[LeftOut, ...]) -> None:
        before, self.left_out = self.left_out, left_out
        new = [one for one in left_out if one not in before]
        if new:
            _log.error("of what was made in the console, this cannot be served and is left out:\n%s", words_of(new))

    def _swap(self, trial: Trial, made: Sequence[MadeRule]) -> None:
        config = trial.config
        gateway = config.compile()
        settings = config.gateway.own_traffic
        recorder = self.recorder if settings == self.own_traffic else self.recorder.leaving_out(settings.compile())
        self.trusted = TrustedProxies.parse(config.gateway.trusted_proxies, config.gateway.request_id_header)
        self.recorder, self.own_traffic = recorder, settings
        config.figures.inherit(self.figures)
        self.figures = config.figures
        gateway.inherit(self.gateway)
        pieces: list[object] = [] if config is self.config else [*self.gateway.router.pieces(gateway.router), *self.config.rules]
        # Before the configuration: whoever sees that it is another one finds what is left out of it.
        self.made = tuple(made)
        self._leave_out(trial.left_out)
        self.config = config
        self.gateway = gateway
        let_go(pieces)

    def health(self) -> Health:
        """Return how this process is."""
        shipper = self.shipper
        taken = {} if shipper is None else {name.removeprefix("sink "): numbers for name, numbers in shipper.taken.items()}
        return Health(
            routes=self.gateway.router.count,
            is_draining=self.is_draining,
            is_reload_failed=self._reload_failed,
            is_losing=self.journal.is_failing,
            appended=self.journal.tally.appended,
            lost=self.journal.tally.lost,
            failures=self.recorder.failed,
            shipped={name: shipped for name, (shipped, _) in taken.items()},
            set_aside={name: count for name, (_, count) in taken.items()},
            failing=frozenset(name.removeprefix("sink ") for name in (() if shipper is None else shipper.failing)),
            # That of the file itself is that of the reload.
            sources=tuple(SourceHealth(name, is_stale=one.is_stale, error=one.words) for name, one in named(self.sources[1:])),
            domains=self._domains[0],
            looked=self._domains[1],
        )

    def tell_domains(self, states: Mapping[str, int], looked: Mapping[str, int]) -> None:
        """Take note of the domains of organisations, for whoever runs this.

        Args:
            states: how many are in which; all zero where this process looks at their records no more.
            looked: how often it has looked, by what was seen.
        """
        self._domains = states, looked

    def watch(self, outcome: Outcome, upstream: Upstream, began_ns: int, answer: httpx.Response | Failure) -> None:
        """Take note of a request to an upstream; see `gatewaycore.upstreams.Watch`."""
        if self.desk is not None:
            count_asked(self.desk.meters, began_ns, answer)
        if self.tracer is not None:
            self.tracer.asked(outcome, upstream, began_ns, answer)

    def drain(self) -> int:
        """Say from now on that this process is about to end; return for how many seconds it is still to take requests."""
        self.is_draining = True
        if self.desk is not None:
            self.desk.wake()
        return 0 if self.config.operations is None else self.config.operations.drain_s

    @property
    def data(self) -> Path:
        """The data-dir."""
        return self.journal.directory.parent

    def packages(self) -> list[PulledPackage]:
        """Return the images that were pulled, those of collections among them, as far as pulls have been counted.

        Raises:
            GatewayError: the state cannot be read.
        """
        return self._state.packages()

    def start(self) -> None:
        """Begin to keep house and to ship, in threads. Safe to call twice; every process of a node may, and one of them ships."""
        if self._threads:
            return
        self._stop.clear()
        self._threads.append(threading.Thread(target=self._keep_house, name="gatewaycore-house", daemon=True))
        if self.shipper is not None:
            self._threads.append(threading.Thread(target=self.shipper.run, args=(self._stop,), name="gatewaycore-shipper", daemon=True))
        if self.numbers is not None:
            ask = threading.Thread(target=self._ask_for_numbers, args=(self.numbers,), name="gatewaycore-badges", daemon=True)
            self._threads.append(ask)
        for thread in self._threads:
            thread.start()
        if self.desk is not None:
            self.desk.start()

    def keep_house(self, now_ns: int) -> None:
        """Do what is due about once a minute: take the salt of a new period, look at files, forget. No part of answering a request."""
        self.recorder.keep_house(now_ns)
        # Python remembers the last URLs that were taken apart: those of upstreams among them, with whatever their clients wrote into them.
        urlsplit.cache_clear()  # type: ignore[attr-defined]

    def _keep_house(self) -> None:
        while True:
            self.keep_house(time.time_ns())
            if self._stop.wait(_HOUSE_S):
                return

    def _ask_for_numbers(self, numbers: Numbers) -> None:
        """Let badges know what has been counted; while nobody can say, they show what was known before. Counting may take its time."""
        failing = False
        while True:
            pause_s = _HOUSE_S
            try:
                self.figures.refresh(numbers, time.monotonic())
                failing = False
            except StillAskingError:
                pause_s = min(_SOON_S, _HOUSE_S)
            except StoppedError:
                return
            except Exception as error:  # noqa: BLE001 - another's code, asked again in a minute; its type is logged, once until it is well
                # Our own errors say what to do, and hold no address.
                told = error if isinstance(error, GatewayError) else type(error).__name__
                if not failing:
                    _log.error("the numbers of badges cannot be asked for, and the old ones stay: %s", told)
                failing = True
            if self._stop.wait(pause_s):
                return

    def close(self) -> None:
        """Ship what is left, and close files. Nothing that was answered is lost: it is in the journal already."""
        self._stop.set()
        if isinstance(self.numbers, StoreNumbers):
            # A lake of years is read for minutes.
            self.numbers.stop()
        for thread in self._threads:
            thread.join(timeout=10)
        self._threads.clear()
        if self.shipper is not None:
            self.shipper.close()
        if self.rulebook is not None:
            self.rulebook.close()
        # Not before: pulls that are complete by now have been appended to it.
        self.journal.close()
        if self.desk is not None:
            # Whoever asks is answered to the end.
            self.desk.close()
        if self.tracer is not None:
            self.tracer.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def serves_images(config: Config) -> bool:
    """Tell whether there are images to count pulls of."""
    return any(isinstance(rule, ContainerRule | CollectionRule) for rule in config.rules)


@contextmanager
def _usable(data: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        what, hint = f"{data} cannot be used: {error.strerror}", "a folder that this process may write to"
        raise ConfigError([Problem("gateway.data-dir", what, hint)]) from error


__all__ = [
    "NUMBERS",
    "STATE",
    "Service",
    "event_source",
    "load",
    "numbers_of",
    "open_import",
    "rosters",
    "serves_images",
    "statistics_of",
    "storages",
]
