"""Service: the composition root. Config -> gateway, recorder, journal, shipper; the only place that puts them together."""

from __future__ import annotations

import logging
import platform
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self
from urllib.parse import urlsplit

import attrs

from gatewaycore.clientip import TrustedProxies
from gatewaycore.config import Config, Rosters, close_enrichers, open_enrichers, read_config
from gatewaycore.counting import PullCounter
from gatewaycore.enrich import ENRICHMENTS
from gatewaycore.errors import ConfigError, Problem
from gatewaycore.exporting import JournalSource, LakeSource, Source
from gatewaycore.gateway import Gateway
from gatewaycore.importing import ImportSession
from gatewaycore.importing.packages import Packages
from gatewaycore.journal import Journal
from gatewaycore.recorder import Recorder
from gatewaycore.rules import RULES, CollectionRule, ContainerRule
from gatewaycore.salts import Salts
from gatewaycore.shipper import Shipper
from gatewaycore.sinks import SINKS, JsonlStorage, LakeStorage, Sink, Storage
from gatewaycore.sinks.lake import is_installed, is_usable
from gatewaycore.sinks.set_aside import SET_ASIDE
from gatewaycore.state import PulledPackage, State

_log = logging.getLogger("gatewaycore.service")
_HOUSE_S = 60.0
STATE = "state.sqlite3"
"""Where, under the data-dir, it is kept which images were pulled."""

_ROSTERS: Mapping[str, tuple[Mapping[str, type[Any]], str]] = {
    "rules": (RULES, "compile"),
    "sinks": (SINKS, "open"),
    "enrichments": (ENRICHMENTS, "open"),
}
"""Our own types, by the last word of the entry point group that other distributions add to, and the verb that a type has."""


def rosters() -> Rosters:
    """Return the types that a configuration may name: our own, and those of the distributions that are installed beside us.

    They join through the entry point groups ``gatewaycore.rules``, ``gatewaycore.sinks`` and ``gatewaycore.enrichments``: the name is the
    tag, the object an attrs class with the verb of its protocol.

    Raises:
        ConfigError: one cannot be loaded, is no such class, or its tag is taken; says which distribution it is of.
    """
    installed = entry_points()
    return _rosters(tuple(point for group in _ROSTERS for point in installed.select(group=f"gatewaycore.{group}")))


# One object for the same distributions: what reads configurations is made once for each `Rosters`.
@lru_cache(maxsize=4)
def _rosters(points: tuple[EntryPoint, ...]) -> Rosters:
    joined = {group: dict(roster) for group, (roster, _) in _ROSTERS.items()}
    problems: list[Problem] = []
    for point in points:
        group = point.group.rpartition(".")[2]
        distribution = point.dist.name if point.dist is not None else "an unnamed distribution"
        where, hint = f"{point.group}: {point.name}", f"mend or uninstall {distribution}"
        if point.name in joined[group]:
            problems.append(Problem(where, f"{distribution} adds a type whose tag is taken", hint))
            continue
        try:
            found = point.load()
        except Exception as error:  # noqa: BLE001 - another distribution's code: whatever it raises is told with its name
            problems.append(Problem(where, f"{distribution} adds a type that cannot be loaded: {type(error).__name__}: {error}", hint))
            continue
        verb = _ROSTERS[group][1]
        if not isinstance(found, type) or not attrs.has(found) or not callable(getattr(found, verb, None)):
            problems.append(Problem(where, f"{distribution} adds {point.value}, which is no attrs class with {verb}()", hint))
            continue
        joined[group][point.name] = found
    if problems:
        raise ConfigError(problems)
    return Rosters(**{group: MappingProxyType(roster) for group, roster in joined.items()})


def load(source: str | Path | Mapping[str, Any], scarf_hosts: bool = False) -> Gateway:
    """Return a gateway that decides, and keeps nothing.

    Args:
        source: a path to a gateway.yaml (or JSON, or a Scarf manifest), or what such a file holds, as a mapping.
        scarf_hosts: add that product's built-in hosts: its pixel and its install events.

    Raises:
        ConfigError: with every problem found.
    """
    return read_config(source, scarf_hosts=scarf_hosts, rosters=rosters()).compile()


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
    ) -> None:
        self.gateway = gateway
        self.recorder = recorder
        self.journal = journal
        self.counter = counter
        self.shipper = shipper
        self._state = state
        self.trusted = TrustedProxies.parse(tuple(config.gateway.trusted_proxies))
        self.own_traffic = config.gateway.own_traffic
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._source: str | Path | None = None

    @classmethod
    def open(cls, config: Config, data_dir: str | Path | None = None, *, lenient: bool = False) -> Self:
        """Compile the rules and open everything that lies under the data-dir.

        Args:
            config: what to run.
            data_dir: keep everything here, whatever the config says.
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
                counter = PullCounter(journal.append, state) if serves_images(config) else None
                lanes = [] if counter is None else [counter]
                shipping = sinks or lanes or settings.journal.keep_days is not None
                folders = data / "journal", data / "cursors", data / SET_ASIDE
                shipper = Shipper(*folders, sinks, lanes, settings.journal) if shipping else None
            opened.pop_all()
        recorder = Recorder(journal.append, enrichers, salts, journal.append_all).leaving_out(own)
        return cls(config, gateway, recorder, journal, state, counter, shipper)

    @classmethod
    def from_file(cls, path: str | Path, data_dir: str | Path | None = None, *, lenient: bool = False) -> Self:
        """Open the service that a gateway.yaml describes.

        Args:
            path: the file; `reload` reads it again.
            data_dir: keep everything here, whatever the file says.
            lenient: as in `open`: for a process that is started in the place of another, when the files were looked at before.

        Raises:
            ConfigError: with every problem found.
        """
        service = cls.open(read_config(path, rosters=rosters()), data_dir, lenient=lenient)
        service._source = path
        return service

    def reload(self) -> bool:
        """Read the file again and swap the rules; False, with the reason logged, when it cannot be used: the old rules stay.

        Sinks, enrichments and the data-dir take effect at the next start.
        """
        if self._source is None:
            return False
        try:
            config = read_config(self._source, rosters=rosters())
            gateway = config.compile()
            settings = config.gateway.own_traffic
            recorder = self.recorder if settings == self.own_traffic else self.recorder.leaving_out(settings.compile())
        except ConfigError as error:
            _log.error("the new configuration cannot be used, and the old one stays:\n%s", error)
            return False
        self.trusted = TrustedProxies.parse(tuple(config.gateway.trusted_proxies))
        self.recorder, self.own_traffic = recorder, settings
        gateway.inherit(self.gateway)
        self.gateway = gateway
        return True

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
        for thread in self._threads:
            thread.start()

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

    def close(self) -> None:
        """Ship what is left, and close files. Nothing that was answered is lost: it is in the journal already."""
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=10)
        self._threads.clear()
        if self.shipper is not None:
            self.shipper.close()
        # Not before: pulls that are complete by now have been appended to it.
        self.journal.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def storages(config: Config, data: Path) -> Iterator[tuple[str, Storage]]:
    """Iterate over the sinks with their names: those of `config`; a lake in the data-dir where it speaks of none and the extra is there."""
    if config.sinks is not None:
        yield from ((config.sink_name(position), storage) for position, storage in enumerate(config.sinks))
    elif is_installed() and is_usable(str(data)):
        yield "lake", LakeStorage(str(data / "lake"))


def serves_images(config: Config) -> bool:
    """Tell whether there are images to count pulls of."""
    return any(isinstance(rule, ContainerRule | CollectionRule) for rule in config.rules)


@contextmanager
def open_import(config: Config, data: Path, package: str | None = None) -> Iterator[ImportSession]:
    """Put together what imports into the journal under `data`, and let go of it afterwards. Sinks are not opened, and no request is served.

    Args:
        config: of the gateway.
        data: the data-dir.
        package: of lines that name none.

    Raises:
        ConfigError: enrichments cannot be used, or there is no such package.
    """
    settings = config.gateway
    tags = {cls: tag for tag, cls in rosters().rules.items()}
    packages = Packages(((rule, tags.get(type(rule), "")) for rule in config.rules), package)
    enrichers = open_enrichers(config)
    try:
        yield ImportSession(
            packages=packages,
            enrichers=enrichers,
            own=settings.own_traffic.compile(),
            data=data,
            node=platform.node(),
            journal=settings.journal,
            rotation=settings.salt_rotation,
            ships=any(storages(config, data)),
        )
    finally:
        close_enrichers(enrichers)


def event_source(config: Config, data: Path, seen: Callable[[bytes], int]) -> Source:
    """Return where events are read from: the first lake that is kept and the journal under `data`, or the journal alone.

    Args:
        config: of the gateway.
        data: the data-dir.
        seen: tells what was read before, where no engine does; see `JournalSource`.
    """
    lake = next((storage for _, storage in storages(config, data) if isinstance(storage, LakeStorage)), None)
    if lake is not None or is_installed():
        return LakeSource(lake, data / "journal")
    return JournalSource(data / "journal", seen)


@contextmanager
def _usable(data: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        what, hint = f"{data} cannot be used: {error.strerror}", "a folder that this process may write to"
        raise ConfigError([Problem("gateway.data-dir", what, hint)]) from error
