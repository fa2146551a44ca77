"""What a Config names outside of itself, opened; what cannot be is told with its place, as what is wrong with the configuration is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gatewaycore.config.faults import Fault, Path, parse_path
from gatewaycore.config.model import Config
from gatewaycore.config.reading import place_faults
from gatewaycore.config.structure import keys_of
from gatewaycore.enrich import Enricher, Enrichment
from gatewaycore.errors import ConfigError, GatewayError

_UNUSABLE = (GatewayError, OSError, ImportError, ValueError)
"""What opening may raise: a file that is missing or damaged, an extra that is not installed."""


def open_enrichers(config: Config) -> list[Enricher]:
    """Open the enrichments of `config`, in its order.

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
    if faults:
        close_enrichers(enrichers)
        raise ConfigError(place_faults(config, faults)) from first
    return enrichers


def close_enrichers(enrichers: Iterable[Enricher]) -> None:
    """Let go of the files of those that hold some."""
    for enricher in enrichers:
        close = getattr(enricher, "close", None)
        if close is not None:
            close()


def _faults(enrichment: Enrichment, path: Path, error: Exception) -> Iterator[Fault]:
    if not isinstance(error, ConfigError):
        yield Fault(path, f"cannot be used: {str(error)[:400] or type(error).__name__}")
        return
    known = keys_of(type(enrichment))
    for problem in error.problems:
        key = parse_path(problem.where)
        if key and key[0] in known:
            yield Fault(path + key, problem.what, problem.hint)
        else:
            yield Fault(path, f"{problem.where}: {problem.what}", problem.hint)
