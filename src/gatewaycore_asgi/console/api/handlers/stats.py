"""Stats: the questions of ``gatewaycore report``, and the same answers."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

import msgspec
from attrs import frozen
from litestar import Response, get
from litestar.di import NamedDependency, Provide
from litestar.params import QueryParameter, SkipValidation

from gatewaycore.access import Principal
from gatewaycore.enrich.agent import Agent
from gatewaycore.errors import ConfigError, Problem
from gatewaycore.stats import Comparison, Filter, Period, against, plain, read_dimension, read_only, read_period, zone_of
from gatewaycore.stats.periods import WEEK_STARTS, Unit
from gatewaycore.stats.policy import AGENTS, USES, Measure
from gatewaycore.stats.questions import Breakdown, Companies, Retention, Series, Totals
from gatewaycore_asgi.console.api.describing import problems
from gatewaycore_asgi.console.api.means import Asker, Means, With
from gatewaycore_asgi.console.api.paging import MOST
from gatewaycore_asgi.console.asking import steady

_TAGS = ["stats"]

Packages: TypeAlias = Annotated[
    list[str] | None, QueryParameter(name="package", description="Of this package; may be repeated. Of all that you may see without.")
]
Wanted: TypeAlias = Annotated[int, QueryParameter(ge=1, le=MOST, description="How many at most.")]


@frozen
class Asked:
    """What a question is of.

    Attributes:
        period: when.
        filter: which events.
    """

    period: Period
    filter: Filter


About: TypeAlias = NamedDependency[SkipValidation[Asked]]


def numbers_seen(means: Means, by: Principal, packages: list[str] | None) -> tuple[str, ...]:
    """Return the packages whose numbers are asked for; empty for all there are.

    Raises:
        UnknownError: one is none that they may see.
        AccessError: their token is not for that.
    """
    if packages:
        for key in packages:
            means.access.holdings.look(key, by)
        return tuple(dict.fromkeys(packages))
    pulled = [one.name for one in means.service.packages()]
    return means.access.holdings.numbers_seen_by(by, pulled) or ()


def asked_of(
    means: With,
    by: Asker,
    package: Packages = None,
    period: Annotated[
        str,
        QueryParameter(description="today, yesterday, 30d, week, last-week, month, last-month, year, 2026-11, A..B, all.", max_length=100),
    ] = "30d",
    compare: Annotated[
        Comparison, QueryParameter(description="What it is compared with: the period before, the same days a year before, or nothing.")
    ] = "before",
    tz: Annotated[str, QueryParameter(description="Whose days they are: Europe/Berlin.", max_length=100)] = "UTC",
    measure: Annotated[
        list[Measure] | None, QueryParameter(description="What counts; may be repeated. By the counting policy without.")
    ] = None,
    agent: Annotated[list[Agent] | None, QueryParameter(description="Who counts; may be repeated. By the counting policy without.")] = None,
    only: Annotated[list[str] | None, QueryParameter(description="With this value of a column or a variable: country=DE.")] = None,
) -> Asked:
    """Return what a question is of, for those who may see it."""
    wanted = Filter(
        packages=numbers_seen(means, by, package),
        measures=tuple(measure or USES),
        agents=tuple(agent or AGENTS),
        only=read_only(only or (), "only"),
    )
    zone = zone_of(tz, "tz")
    first = means.statistics().first_event(wanted.packages) if period == "all" else None
    try:
        return Asked(against(read_period(period, steady(means.now()), zone, first), compare), wanted)
    except ConfigError as error:
        raise ConfigError([Problem("period", one.what, one.hint) for one in error.problems]) from error


_ASKED = {"asked": Provide(asked_of, sync_to_thread=True)}


def _plain(answer: Any) -> Response[Any]:
    return Response(msgspec.json.encode(plain(answer)), media_type="application/json")


@get("/stats/totals", tags=_TAGS, summary="Count a period", responses=problems(404), dependencies=_ASKED, sync_to_thread=True)
def get_totals(means: With, asked: About) -> Response[Totals]:
    """Count what was fetched in a period, and in the one that it is compared with."""
    return _plain(means.statistics().totals(asked.period, asked.filter))


@get("/stats/series", tags=_TAGS, summary="Count pieces of a period", responses=problems(404), dependencies=_ASKED, sync_to_thread=True)
def get_series(
    means: With,
    asked: About,
    unit: Annotated[Unit | None, QueryParameter(description="Into what the period is cut; by its length without.")] = None,
    week_start: Annotated[
        str, QueryParameter(description="The first day of the week: monday, sunday, saturday.", max_length=10)
    ] = "monday",
) -> Response[Series]:
    """Count each hour, day, week or month of a period; those in which there was nothing too."""
    if week_start not in WEEK_STARTS:
        raise ConfigError([Problem("week_start", f"{week_start[:80]!r} is no first day of a week", ", ".join(WEEK_STARTS))])
    return _plain(means.statistics().series(asked.period, unit, asked.filter, week_start=WEEK_STARTS[week_start]))


@get("/stats/breakdown", tags=_TAGS, summary="Count by a column", responses=problems(404), dependencies=_ASKED, sync_to_thread=True)
def get_breakdown(
    means: With,
    asked: About,
    by_dimension: Annotated[str, QueryParameter(name="by", description="A column, or variables.NAME.", max_length=300)] = "version",
    limit: Wanted = 20,
) -> Response[Breakdown]:
    """Count each value of a column or a variable, the most frequent first, and the same values in the period that it is compared with."""
    return _plain(means.statistics().breakdown(asked.period, read_dimension(by_dimension, "by"), asked.filter, limit))


@get("/stats/companies", tags=_TAGS, summary="Tell the companies", responses=problems(404), dependencies=_ASKED, sync_to_thread=True)
def get_companies(means: With, asked: About, limit: Wanted = 20) -> Response[Companies]:
    """Tell the companies of a period, the most frequent first."""
    return _plain(means.statistics().companies(asked.period, asked.filter, limit))


@get("/stats/retention", tags=_TAGS, summary="Tell who moved on", responses=problems(404), dependencies=_ASKED, sync_to_thread=True)
def get_retention(means: With, asked: About, package: Packages = None, limit: Wanted = 20) -> Response[Retention]:
    """Tell, for each version of one package, how many endpoints have fetched it, and how many have fetched another one since."""
    if package is None or len(package) != 1:
        raise ConfigError([Problem("package", "is missing, or there are several", "of exactly one package")])
    return _plain(means.statistics().retention(asked.period, package[0], asked.filter, limit))


HANDLERS = (get_totals, get_series, get_breakdown, get_companies, get_retention)
