"""What a Config names outside of itself, opened; what cannot be is told with its place, as what is wrong with the configuration is."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.util import find_spec
from os import PathLike
from os.path import join

from gatewaycore.config.faults import Fault, Path, parse_path
from gatewaycore.config.model import Config
from gatewaycore.config.reading import place_faults
from gatewaycore.config.structure import keys_of
from gatewaycore.enrich import Caller, Column, Enricher, Enrichment, Refreshed
from gatewaycore.errors import ConfigError, GatewayError, MissingExtraError, Problem
from gatewaycore.sinks import JsonlStorage, Storage

_UNUSABLE = (GatewayError, OSError, ImportError, ValueError)
"""What opening may raise: a file that is missing or damaged, an extra that is not installed."""

_ITSELF = re.compile(r"sinks: [a-z0-9-]+")

_log = logging.getLogger("gatewaycore.config")


class Postponed:
    """An enricher that cannot be opened yet: it says nothing, and is tried again whenever somebody looks at files.

    Args:
        enrichment: its settings.
    """

    def __init__(self, enrichment: Enrichment) -> None:
        self._enrichment = enrichment
        self._enricher: Enricher | None = None

    def columns(self, caller: Caller) -> Mapping[str, Column]:
        """Return what is known of a caller: nothing, before it is opened."""
        return {} if self._enricher is None else self._enricher.columns(caller)

    def refresh(self) -> Refreshed:
        """Open it, if that is possible by now; let it look at its files, if it is open."""
        if self._enricher is None:
            try:
                self._enricher = self._enrichment.open()
            except _UNUSABLE:
                # It was told when the process started.
                return Refreshed()
            _log.warning("%s can be used now", type(self._enricher).__name__)
            return Refreshed(swapped=True)
        refresh: Callable[[], Refreshed] | None = getattr(self._enricher, "refresh", None)
        return Refreshed() if refresh is None else refresh()

    def close(self) -> None:
        """Let go of its files, if it has any."""
        if self._enricher is not None:
            close_enrichers([self._enricher])


def open_enrichers(config: Config, *, lenient: bool = False) -> list[Enricher]:
    """Open the enrichments of `config`, in its order.

    Args:
        config: what to run.
        lenient: those that cannot be opened are logged and `Postponed`.

    Raises:
        ConfigError: some cannot be; all that is wrong, each with its place, and nothing is left open.
    """
    enrichers: list[Enricher] = []
    faults: list[Fault] = []
    first: Exception | None = None
    for position, enrichment in enumerate(config.enrich):
        try:
            enrichers.append(enrichment.open())
        except _UNUSABLE as error:
            first = first or error
            faults += _faults(enrichment, ("enrich", position), error)
            enrichers.append(Postponed(enrichment))
    problems = place_faults(config, faults) if faults else []
    if problems and not lenient:
        close_enrichers(enrichers)
        raise ConfigError(problems) from first
    for problem in problems:
        _log.error("an enrichment cannot be used yet, and its columns stay empty: %s", problem)
    return enrichers


def check_outside(config: Config, data_dir: str | PathLike[str] | None = None, *, extras: bool = True) -> list[Problem]:
    """Find out whether all can be used that `config` names outside of itself: enrichments are opened and let go of, sinks only asked.

    Args:
        config: what to run.
        data_dir: where everything is kept, whatever the config says.
        extras: whether an extra that is not installed here, and that a section or a sink needs, is wrong.

    Returns:
        As `check_sinks`.

    Raises:
        ConfigError: something cannot be used; all that is wrong, each with its place.
    """
    problems: list[Problem] = []
    lacking: list[Problem] = []
    try:
        close_enrichers(open_enrichers(config))
    except ConfigError as error:
        problems += error.problems
    needed = list(_missing(config))
    if needed and extras:
        problems += place_faults(config, needed)
    elif needed:
        lacking += place_faults(config, needed)
    try:
        lacking += check_sinks(config, data_dir, extras=extras)
    except ConfigError as error:
        problems += error.problems
    if problems:
        raise ConfigError(problems)
    return lacking


def _missing(config: Config) -> Iterator[Fault]:
    """Iterate over the sections that need what is not installed here. Nothing of it is imported."""
    operations = config.operations
    if operations is not None and operations.metrics and not _is_installed("prometheus_client"):
        yield _lacks("operations", "metrics")
    if config.traces is not None and not (_is_installed("opentelemetry.sdk") and _is_installed("opentelemetry.exporter")):
        yield _lacks("traces", "otel")


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        # What it is in is not there either.
        return False


def _lacks(section: str, extra: str) -> Fault:
    (problem,) = MissingExtraError.of(section, extra).problems
    return Fault((section,), problem.what, problem.hint)


def check_sinks(config: Config, data_dir: str | PathLike[str] | None = None, *, extras: bool = True) -> list[Problem]:
    """Find out what is wrong with the settings of the sinks, as far as that can be told without opening one: it may make what it writes to.

    Args:
        config: what to run.
        data_dir: where everything is kept, whatever the config says.
        extras: whether an extra that is not installed here is wrong.

    Returns:
        The extras that are not installed here, each with the place of what needs it, when that is not wrong.

    Raises:
        ConfigError: some settings cannot be used; all that is wrong, each with its place.
    """
    wrong: list[Fault] = []
    lacking: list[Fault] = []
    journal = join(config.gateway.data_dir if data_dir is None else data_dir, "journal")
    for position, storage in enumerate(config.sinks or ()):
        # Those of other distributions need not have it.
        check: Callable[[], None] | None = getattr(storage, "check", None)
        if check is None:
            continue
        try:
            if isinstance(storage, JsonlStorage):
                storage.check_beside(journal)
            else:
                check()
        except _UNUSABLE as error:
            found = wrong if extras or not isinstance(error, MissingExtraError) else lacking
            found += _faults(storage, ("sinks", position), error)
    if wrong:
        raise ConfigError(place_faults(config, wrong))
    return place_faults(config, lacking) if lacking else []


def close_enrichers(enrichers: Iterable[Enricher]) -> None:
    """Let go of the files of those that hold some."""
    for enricher in enrichers:
        close = getattr(enricher, "close", None)
        if close is not None:
            close()


def _faults(settings: Enrichment | Storage, path: Path, error: Exception) -> Iterator[Fault]:
    if not isinstance(error, ConfigError):
        yield Fault(path, f"cannot be used: {str(error)[:400] or type(error).__name__}")
        return
    known = keys_of(type(settings))
    for problem in error.problems:
        # A sink that is opened by itself names its key as "sinks: kafka: options", and itself as "sinks: kafka".
        key = parse_path(problem.where)
        if _ITSELF.fullmatch(problem.where):
            yield Fault(path, problem.what, problem.hint)
        elif key and key[0] in known:
            yield Fault(path + key, problem.what, problem.hint)
        else:
            yield Fault(path, f"{problem.where}: {problem.what}", problem.hint)
