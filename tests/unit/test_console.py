"""The console's pages of numbers: what they say, what they let through, and that nothing hostile gets out of them."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote

import pytest

from gatewaycore.errors import GatewayError
from gatewaycore.stats import Filter, read_period, zone_of
from gatewaycore.stats.report.charts import draw_series
from gatewaycore_asgi.console import Anybody, Console
from gatewaycore_asgi.console.app import POLICY
from gatewaycore_asgi.console.asking import Asked, read_asked
from gatewaycore_asgi.console.charts import spark_svg
from gatewaycore_asgi.console.requests import local
from gatewaycore_asgi.console.world import SHADES, country_name, shade_of, world
from tests.consoles import NASTY, NOW, Browser, config, serving
from tests.unit.test_cli import run, write

PAGES = ("/", "/package?name=cli", f"/package?name={quote(NASTY)}", "/company?name=acme.example", f"/company?name={quote(NASTY)}")


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    with serving(tmp_path_factory.mktemp("console"), viewer=Anybody()) as found:
        yield found


@pytest.fixture
def browser(console: Console) -> Browser:
    return Browser(console)


class Page(HTMLParser):
    """A page as a browser reads it: elements with their attributes, and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())


def tiles(text: str) -> dict[str, int]:
    found = re.findall(r"<li><span>([^<]*)</span><b>([\d,]*)</b>", text)
    return {name: int(number.replace(",", "")) for name, number in found}


def table(browser: Browser, path: str, name: str) -> list[dict[str, str]]:
    answer = browser.get(f"{path}{'&' if '?' in path else '?'}format=csv&table={name}")
    assert answer.status_code == 200, answer.text
    return list(csv.DictReader(io.StringIO(answer.text)))


# --- what they say ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_there_and_asks_nothing_of_anybody_else(browser: Browser, path: str) -> None:
    answer = browser.get(path)
    assert answer.status_code == 200, answer.text
    page = Page(answer.text)
    for tag, attributes in page.elements:
        for name in ("src", "href", "action", "data-chart", "data-feed", "data-vega"):
            target = attributes.get(name)
            assert target is None or target.startswith(("/", "#", "data:image/svg+xml,", "?")), (tag, target)
            assert not (target or "").startswith("//")
        assert "style" not in attributes
        assert not [name for name in attributes if name.startswith("on")], tag
    assert [tag for tag, _ in page.elements if tag == "script"] == ["script"]
    assert "style" not in [tag for tag, _ in page.elements]


@pytest.mark.parametrize("path", [*PAGES, "/nothing", "/package?name=nothing", "/static/nothing", "/package?name=cli&format=csv"])
def test_every_answer_has_the_policy(browser: Browser, path: str) -> None:
    headers = browser.get(path).headers
    assert headers["content-security-policy"] == POLICY
    assert "unsafe" not in POLICY
    assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "same-origin")


def test_the_home_page_tells_of_all_packages(browser: Browser) -> None:
    text = browser.get("/").text
    assert tiles(text)["Pulls"] == 30
    names = [unescape(name) for name in re.findall(r'<a href="/package\?[^"]*"[^>]*>([^<]*)</a>', text)]
    assert names[0] == "cli"
    rows = {row["package"]: row for row in table(browser, "/", "package")}
    assert (rows["acme/app"]["count"], rows["acme/app"]["type"]) == ("30", "file")


def test_a_search_finds_packages_by_a_part_of_their_names(browser: Browser) -> None:
    assert "acme/app" in browser.get("/?q=ACME").text
    assert ">cli</a>" not in browser.get("/?q=ACME").text
    assert "No package has" in browser.get("/?q=nowhere").text


def test_numbers_are_those_of_the_report(console: Console, browser: Browser, tmp_path: Path) -> None:
    file = write(tmp_path / "gateway.yaml", json.dumps(config(console.service.data.parent)))
    options = ["--period", "2026-10-01..2026-11-14", "--tz", "Europe/Berlin", "--package", "cli", "--agent", "human", "--json"]
    told = run("report", file, *options)
    assert told.exit_code == 0, told.output
    report = json.loads(told.output)
    path = "/package?name=cli&period=2026-10-01..2026-11-14&tz=Europe/Berlin&agent=human"
    now = report["totals"]["now"]
    shown = tiles(browser.get(path).text)
    assert (shown["Downloads"], shown["Unique sources"], shown["Endpoints"]) == (now["downloads"], now["sources"], now["endpoints"])
    versions = next(one for one in report["breakdowns"] if one["by"] == "version")["shares"]
    rows = table(browser, path, "version")
    assert [(row["version"], int(row["count"]), int(row["sources"])) for row in rows] == [
        (one["value"], one["count"], one["sources"]) for one in versions
    ]
    series = [int(row["count"]) for row in table(browser, path, "series")]
    assert series == [point["figures"]["count"] for point in report["series"]["points"]]


def test_filters_are_in_the_address(console: Console, browser: Browser) -> None:
    stats = console.statistics()
    period = read_period("30d", NOW, zone_of("UTC"))
    expected = stats.totals(period, Filter(packages=("cli",), only=(("country", "DE"),))).now.downloads
    text = browser.get("/package?name=cli&only=country%3DDE").text
    assert tiles(text)["Downloads"] == expected
    assert "country: DE" in text
    # Everything that is chosen is in every link of the page.
    assert all("only=country%3DDE" in unescape(link) for link in re.findall(r'class="csv" href="([^"]*)"', text))


def test_what_is_not_understood_is_told_and_left_out(browser: Browser) -> None:
    answer = browser.get("/package?name=cli&period=soon&tz=Mars&only=x&agent=robot&unit=year&compare=x&by=nothing&measure=likes")
    assert answer.status_code == 200
    assert answer.text.count('role="alert"') == 8
    assert tiles(answer.text) == tiles(browser.get("/package?name=cli").text)


def test_one_more_dimension_is_shown_when_it_is_asked_for(browser: Browser) -> None:
    for path in ("/?by=target", "/package?name=cli&by=target", "/company?name=acme.example&by=target"):
        assert '<h2 id="h-target">Targets' in browser.get(path).text, path


@pytest.mark.parametrize("by", ["country", "version", "company", "platform", "package", "variables.channel"])
def test_what_a_page_has_already_is_shown_once(browser: Browser, by: str) -> None:
    for path in PAGES:
        text = browser.get(f"{path}{'&' if '?' in path else '?'}by={by}").text
        ids = [one["id"] for _, one in Page(text).elements if "id" in one]
        assert len(ids) == len(set(ids)), path


def test_the_period_before_is_left_out_when_nobody_wants_it(browser: Browser) -> None:
    assert "Compared with" in browser.get("/package?name=cli").text
    assert "Compared with" not in browser.get("/package?name=cli&compare=none").text


def test_a_year_before_is_compared_with_where_somebody_wants_it(console: Console, browser: Browser, tmp_path: Path) -> None:
    path = "/package?name=cli&period=2026-11-01..2026-11-10&compare=year"
    text = browser.get(path).text
    assert "Compared with 2025-11-01 to 2025-11-10" in text
    assert '<option value="year" selected>' in text
    # It is in every link of the page, and the terminal compares with the same.
    assert all("compare=year" in unescape(link) for link in re.findall(r'class="csv" href="([^"]*)"', text))
    file = write(tmp_path / "gateway.yaml", json.dumps(config(console.service.data.parent)))
    told = run("report", file, "--period", "2026-11-01..2026-11-10", "--compare", "year", "--package", "cli", "--json")
    assert told.exit_code == 0, told.output
    report = json.loads(told.output)
    assert report["totals"]["period"]["before_since"] == "2025-11-01T00:00:00+00:00"
    befores = {row["version"]: int(row["before"]) for row in table(browser, path, "version")}
    assert befores == {one["value"]: one["before"] for one in report["breakdowns"][0]["shares"]}


def test_all_time_begins_with_the_first_event(browser: Browser) -> None:
    assert tiles(browser.get("/package?name=cli&period=all").text)["Downloads"] == 240


def test_an_empty_period_says_where_to_look(browser: Browser) -> None:
    assert "Show all time" in browser.get("/package?name=cli&period=2026-08").text
    assert "The first event is of 2026-10" in browser.get("/package?name=cli&period=2026-08").text
    assert "Show all time" in browser.get("/package?name=acme%2Fapp&period=2026-10").text
    assert "Show everything of this period" in browser.get("/package?name=cli&only=country%3DXX").text


def test_nothing_is_told_of_what_is_not_there(browser: Browser) -> None:
    for path in ("/package?name=nothing", "/package", "/company", "/organisation?name=x", "/nowhere"):
        assert browser.get(path).status_code == 404, path


def test_a_gateway_without_events_says_what_to_do(tmp_path: Path) -> None:
    with serving(tmp_path, [], viewer=Anybody()) as console:
        browser = Browser(console)
        assert "There are no events of these packages yet" in browser.get("/").text
        assert "curl -sSLo /dev/null https://get.acme.example/0/{version}" in unescape(browser.get("/package?name=cli").text)
    (tmp_path / "more").mkdir()
    with serving(tmp_path / "more", [], viewer=Anybody(), sections={"packages": []}) as console:
        assert "There are no packages yet" in Browser(console).get("/").text


# --- tables, charts, events ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("/", ["series", "package", "company", "country", "feed"]),
        ("/package?name=cli", ["series", "country", "version", "platform", "client", "agent", "page", "feed", "variables.from"]),
        ("/company?name=acme.example", ["series", "package", "version", "country"]),
    ],
)
def test_every_table_is_there_as_csv(browser: Browser, path: str, names: list[str]) -> None:
    for name in names:
        assert table(browser, path, name), name


def test_csv_holds_nothing_that_a_spreadsheet_would_run(browser: Browser) -> None:
    rows = table(browser, "/?only=version%3D" + quote("=1+1"), "series")
    assert rows
    versions = table(browser, f"/package?name={quote(NASTY)}", "version")
    assert versions[0]["version"] == NASTY
    assert all(not value.startswith(("=", "+", "-", "@")) for row in versions for value in row.values())


def test_a_table_that_is_not_there_is_refused_by_name(browser: Browser) -> None:
    answer = browser.get("/package?name=cli&format=csv&table=nothing")
    assert answer.status_code == 400
    assert "nothing" in answer.text


@pytest.mark.parametrize("of", ["series", "country", "version", "client"])
def test_charts_are_specifications_with_their_numbers(browser: Browser, of: str) -> None:
    answer = browser.get(f"/package?name=cli&format=chart&of={of}")
    assert answer.headers["content-type"].startswith("application/json")
    spec = answer.json()
    assert "vega-lite" in spec["$schema"]
    assert "http" not in json.dumps({name: value for name, value in spec.items() if name != "$schema"})
    assert browser.get("/package?name=cli&format=chart&of=nothing").status_code == 400


def test_the_last_events_are_renewed_only_when_there_are_others(browser: Browser) -> None:
    answer = browser.get("/package?name=cli&format=feed")
    assert "<table>" in answer.text
    assert "origin" not in answer.text
    again = browser.get("/package?name=cli&format=feed", headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_files_may_be_kept_for_ever(browser: Browser) -> None:
    page = Page(browser.get("/").text)
    names = [attributes.get("href") or attributes.get("src") or "" for tag, attributes in page.elements if tag in ("link", "script")]
    for name in names:
        answer = browser.get(name)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
        assert answer.headers["content-encoding"] == "gzip"
        plain = browser.get(name, headers={"accept-encoding": "identity"})
        assert plain.content == answer.content
    script = next(name for name in names if name.endswith(".js"))
    assert "eval(" not in browser.get(script).text


def test_the_charts_javascript_comes_from_here(browser: Browser) -> None:
    body = next(attributes for tag, attributes in Page(browser.get("/").text).elements if tag == "body")
    answer = browser.get(body["data-vega"] or "")
    assert answer.headers["content-type"].startswith("text/javascript")
    assert "gatewaycoreEmbed" in answer.text


# --- where it is, and how it is asked --------------------------------------------------------------------------------------


@pytest.mark.parametrize("keeps", [True, False])
def test_it_may_be_mounted_anywhere(console: Console, keeps: bool) -> None:
    async def mounted(scope: dict[str, object], receive: object, send: object) -> None:
        path = str(scope["path"])
        await console({**scope, "root_path": "/see/it", "path": path if keeps else path.removeprefix("/see/it")}, receive, send)  # type: ignore[arg-type]

    browser = Browser(mounted, "/see/it")
    page = Page(browser.get("/").text)
    links = [attributes["href"] or "" for tag, attributes in page.elements if tag in ("a", "link") and attributes.get("href")]
    assert links
    assert all(link.startswith(("/see/it/", "#")) for link in links)
    assert browser.get("/package?name=cli").status_code == 200
    assert 'href="/see/it/"' in browser.get("/nothing").text


def test_head_is_get_without_a_body(browser: Browser) -> None:
    answer = browser.ask("HEAD", "/package?name=cli")
    assert (answer.status_code, answer.content) == (200, b"")


def test_what_is_not_done_here_is_refused(browser: Browser) -> None:
    assert browser.ask("DELETE", "/").status_code == 405


def test_a_theme_is_kept_and_leads_back(browser: Browser) -> None:
    answer = browser.post("/theme", {"theme": "dark", "next": "/package?name=cli"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/package?name=cli")
    assert 'data-theme="dark"' in browser.get("/").text
    for path in ("/nothing", "/package?name=nothing", "/package?name=cli&format=csv&table=nothing"):
        assert 'data-theme="dark"' in browser.get(path).text
    browser.post("/theme", {"theme": "pink", "next": "https://evil.example/"})
    assert 'data-theme="auto"' in browser.get("/").text


@pytest.mark.parametrize("text", ["https://evil.example/", "//evil.example", "/\\evil.example", "x", "", "/a\nb", "javascript:alert(1)"])
def test_nobody_is_sent_elsewhere(text: str) -> None:
    assert local(text) == "/"


def test_a_store_that_does_not_answer_is_told(tmp_path: Path) -> None:
    class Broken:
        def __getattr__(self, name: str) -> object:
            if name == "close":
                return lambda: None

            def ask(*_: object, **__: object) -> object:
                raise GatewayError("the lake cannot be read: IOException")

            return ask

    with serving(tmp_path, [], viewer=Anybody(), statistics=Broken()) as console:
        answer = Browser(console).get("/package?name=cli")
        assert answer.status_code == 503
        assert "the lake cannot be read" in answer.text


def test_a_fault_of_ours_tells_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def __getattr__(self, name: str) -> object:
            raise RuntimeError("secret")

    with serving(tmp_path, [], viewer=Anybody(), statistics=None) as console:
        console._statistics = Broken()  # type: ignore[assignment]
        answer = Browser(console).get("/package?name=cli")
        console._statistics = None
    assert answer.status_code == 500
    assert "secret" not in answer.text + caplog.text
    assert "RuntimeError at " in caplog.text


def test_somebody_has_to_be_let_in_on_purpose(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="who may look"), serving(tmp_path, []):
        pass


# --- parts -----------------------------------------------------------------------------------------------------------------


def test_a_question_survives_its_address() -> None:
    query = {"period": ["7d"], "tz": ["Europe/Berlin"], "only": ["country=DE", "variables.a b=c&d"], "agent": ["bot,human"], "by": ["os"]}
    asked, problems = read_asked(query)
    assert not problems
    found: dict[str, list[str]] = {}
    for name, value in asked.pairs():
        found.setdefault(name, []).append(value)
    assert read_asked(found) == (asked, [])
    assert asked.agents == ("human", "bot")
    assert Asked().query() == ""
    assert asked.without(("country", "DE")) == (("variables.a b", "c&d"),)
    assert asked.narrowed("country", "DE") == asked.only
    assert read_asked({"only": ["x" * 600]})[1][0].what == "is too long"


def test_the_world_has_every_country_once() -> None:
    there = world()
    assert len(there.names) > 240
    assert country_name("DE") == "Germany"
    assert country_name("<b>") == "<b>"
    assert not set(there.outlines) & set(there.dots)
    assert {"US", "RU", "FJ"} <= set(there.outlines)
    assert {"SG", "MT"} <= set(there.dots)
    assert [shade_of(count, 1000) for count in (1, 1000)] == [1, SHADES]


def test_a_line_of_how_it_went() -> None:
    assert spark_svg([]) == spark_svg([0, 0]) == ""
    assert spark_svg([3]).count("points") == 2
    assert len(spark_svg(list(range(400)))) < 1500


def test_the_period_before_is_a_line_as_high_as_the_bars(console: Console) -> None:
    series = console.statistics().series(read_period("7d", NOW, zone_of("UTC")))
    assert "polyline" in draw_series(series, 900, 200, False, [1000] * 7)
    assert ">1k</text>" in draw_series(series, 900, 200, False, [1000] * 7)
    assert "polyline" not in draw_series(series, 900, 200, False)
