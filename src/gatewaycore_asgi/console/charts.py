"""Charts: what a page shows at once is SVG that is drawn here, in a millisecond; what a browser may put in its place is a specification.

Specifications are Altair's. They are drawn by the Vega of the installed vl-convert, in the browser, without `eval`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from gatewaycore.stats.questions import Breakdown, Series
from gatewaycore.stats.report.charts import COLORS, draw_series
from gatewaycore.stats.report.contents import MEASURE_NAMES, NOT_KNOWN, measures_of, start_of
from gatewaycore_asgi.console.world import country_name, features, world

WIDTH: Final = 960
HEIGHT: Final = 260
_SPARK_WIDTH, _SPARK_HEIGHT = 120, 28
_SPARK_MOST = 60
_ROW = 24
# About as wide as the map is beside its table.
_MAP = 640


def series_svg(series: Series, before: Series | None) -> str:
    """Return bars, with the period before as a line."""
    line = None if before is None else [point.figures.count for point in before.points]
    inside = draw_series(series, WIDTH, HEIGHT, series.period.goes_on, line)
    label = f"By {series.unit}; the same is in the table"
    return f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{inside}</svg>'


def legend_of(series: Series) -> list[tuple[int, str, str]]:
    """Return the measures that there is anything of: the number of its color, its name, and the color."""
    columns = zip(*(measures_of(point.figures) for point in series.points), strict=True)
    named = zip(range(len(COLORS)), MEASURE_NAMES, COLORS, columns, strict=False)
    return [(number, name, color) for number, name, color, column in named if any(column)]


def spark_svg(days: Sequence[int]) -> str:
    """Return a line that tells how something went, and no number."""
    values = list(days)
    if len(values) > _SPARK_MOST:
        each = -(-len(values) // _SPARK_MOST)
        # Whole pieces, counted from the end.
        values = [sum(values[max(0, end - each) : end]) for end in range(len(values), 0, -each)][::-1]
    values = values * 2 if len(values) == 1 else values
    most = max(values, default=0)
    if not most:
        return ""
    step = _SPARK_WIDTH / (len(values) - 1)
    points = " ".join(f"{place * step:.1f},{1 + (_SPARK_HEIGHT - 2) * (1 - value / most):.1f}" for place, value in enumerate(values))
    area = f'<polygon points="0,{_SPARK_HEIGHT} {points} {_SPARK_WIDTH},{_SPARK_HEIGHT}"/><polyline points="{points}"/>'
    return f'<svg class="spark" viewBox="0 0 {_SPARK_WIDTH} {_SPARK_HEIGHT}" preserveAspectRatio="none" aria-hidden="true">{area}</svg>'


# --- specifications --------------------------------------------------------------------------------------------------------


def series_spec(series: Series, before: Series | None) -> dict[str, Any]:
    """Return the same as a specification of Vega-Lite."""
    import altair as alt

    used = legend_of(series)
    names = [name for _, name, _ in used]
    rows = [
        {"at": start_of(point.start, series.unit), "measure": name, "count": measures_of(point.figures)[number], "place": place}
        for place, point in enumerate(series.points)
        for number, name, _ in used
    ]
    # Pieces stand beside each other by their names: those of a day on which clocks change too, whatever zone the browser is in.
    short = {"hour": "slice(datum.label, 11)", "month": "datum.label"}.get(series.unit, "slice(datum.label, 5)")
    x = alt.X("at:O", title=None, axis=alt.Axis(labelExpr=short, labelOverlap=True, labelAngle=0, ticks=False, grid=False))
    y = alt.Y("sum(count):Q", title=None, axis=alt.Axis(format="~s"))
    color = alt.Color("measure:N", title=None, legend=None, scale=alt.Scale(domain=names, range=[color for _, _, color in used]))
    tooltip = [
        alt.Tooltip("at:N", title=series.unit.capitalize()),
        alt.Tooltip("measure:N", title="Measure"),
        alt.Tooltip("sum(count):Q", title="Count", format=","),
    ]
    chart: Any = alt.Chart(alt.InlineData(values=rows)).mark_bar().encode(x=x, y=y, color=color, tooltip=tooltip)
    if before is not None and before.points:
        pairs = zip(series.points, before.points, strict=False)
        was = [
            {"at": start_of(now.start, series.unit), "before": old.figures.count, "then": start_of(old.start, series.unit)}
            for now, old in pairs
        ]
        line = alt.Chart(alt.InlineData(values=was)).mark_line(strokeDash=[4, 3], color="#8a8f98", point={"color": "#8a8f98", "size": 12})
        hints = [alt.Tooltip("then:N", title="Before"), alt.Tooltip("before:Q", title="Count", format=",")]
        chart = alt.layer(chart, line.encode(x="at:O", y="before:Q", tooltip=hints))
    return _finished(chart, HEIGHT)


def bars_spec(answer: Breakdown) -> dict[str, Any]:
    """Return the values of a dimension as a specification of Vega-Lite."""
    import altair as alt

    name = country_name if answer.by == "country" else str
    rows = [
        {"value": NOT_KNOWN if share.value is None else name(share.value), "count": share.count, "sources": share.sources}
        for share in answer.shares
    ]
    tooltip = [
        alt.Tooltip("value:N", title=answer.by.capitalize()),
        alt.Tooltip("count:Q", title="Count", format=","),
        alt.Tooltip("sources:Q", title="Sources", format=","),
    ]
    chart = alt.Chart(alt.InlineData(values=rows)).mark_bar(color=COLORS[0])
    return _finished(
        chart.encode(
            x=alt.X("count:Q", title=None, axis=alt.Axis(format="~s")), y=alt.Y("value:N", title=None, sort="-x"), tooltip=tooltip
        ),
        _ROW * max(1, len(rows)),
    )


def world_spec(answer: Breakdown) -> dict[str, Any]:
    """Return a map as a specification of Vega-Lite."""
    import altair as alt

    counts: Mapping[str, int] = {share.value: share.count for share in answer.shares if share.value is not None}
    there = world()
    high = round(_MAP * there.height / there.width)
    data = alt.InlineData(
        values={"type": "FeatureCollection", "features": features(counts)}, format={"type": "json", "property": "features"}
    )
    fill = alt.condition(
        "datum.properties.count > 0",
        alt.Color("properties.count:Q", legend=None, scale=alt.Scale(type="symlog", range=["#cfe0f2", "#174a85"])),
        alt.value("#8a8f9833"),
    )
    tooltip = [alt.Tooltip("properties.country:N", title="Country"), alt.Tooltip("properties.count:Q", title="Count", format=",")]
    chart = alt.Chart(data).mark_geoshape(stroke="#8a8f98", strokeWidth=0.4).encode(color=fill, tooltip=tooltip)
    return _finished(chart.project(type="identity"), high)


def _finished(chart: Any, height: int) -> dict[str, Any]:
    found: dict[str, Any] = chart.properties(width="container", height=height, background="transparent").to_dict(validate=False)
    config: dict[str, Any] = {
        "view": {"stroke": None},
        "axis": {"domain": False, "labelColor": "#7c8794", "labelFontSize": 12, "gridColor": "#8a8f9840"},
    }
    config["bar"] = {"discreteBandSize": {"band": 0.76}}
    return {**found, "config": config, "autosize": {"type": "fit-x", "contains": "padding"}}
