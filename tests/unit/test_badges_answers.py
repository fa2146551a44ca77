"""Badges as they are asked for: who may see which number, what is known of it, and what caches are told."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

import pytest
from attrs import frozen

from gatewaycore.badges import PERIODS, Badges, Figures, FixedNumbers, Listing, Package, Period, Question, Reference
from gatewaycore.badges.answers import KEPT
from gatewaycore.badges.figures import StillAskingError, short
from gatewaycore.badges.options import Options, read_options
from gatewaycore.config import Config, read_config
from gatewaycore.decision import Respond
from gatewaycore.errors import ConfigError
from gatewaycore.headers import Headers
from gatewaycore.lint import lint
from gatewaycore.request import Request
from gatewaycore.route import Route
from gatewaycore.rules import CollectionRule, PixelRule

COUNTS = FixedNumbers(
    {
        ("downloads", "rs", "all"): 3_400_000,
        ("downloads", "rs", "month"): 12_345,
        ("companies", "rs", "month"): 38,
        ("companies", "rs", "week"): 4,
    },
    {"rs": range(400)},
)
PACKAGES = (Package("rs", "rocket-skates", "python"), Package("rs-files", "rocket-skates", "file"), Package("hidden", "hidden", "file"))


def listing(*public: str, username: str | None = "acme") -> Listing:
    return Listing(PACKAGES, public, username, (lambda name: name.startswith("img/"),))


@pytest.fixture
def badges() -> Badges:
    return Badges(listing("rs", "rs-files"), Figures())


def ask(badges: Badges, query: str = "", text: str = "rs", kind: Any = "downloads", by_id: bool = True, **more: Any) -> Respond:
    headers = Headers(more.pop("headers", {}))
    return badges.answer(Request(more.pop("method", "GET"), "b.acme.example", "/", query, headers), kind, text, by_id)


def known(badges: Badges, *args: Any, **more: Any) -> Respond:
    """Ask, let those who count be asked, and ask again."""
    ask(badges, *args, **more)
    badges.figures.refresh(COUNTS, 0.0)
    return ask(badges, *args, **more)


def said(answer: Respond) -> str:
    return ElementTree.fromstring(answer.body).attrib["aria-label"]


# --- numbers -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "wanted"),
    [
        (0, "0"), (999, "999"), (1000, "1k"), (1050, "1.1k"), (1200, "1.2k"), (9949, "9.9k"), (9950, "10k"), (12_345, "12k"),
        (999_499, "999k"), (999_500, "1M"), (3_400_000, "3.4M"), (2 * 10**9, "2G"), (10**12, "1T"), (7 * 10**15, "7P"),
    ],
)  # fmt: skip
def test_counts_are_short(count: int, wanted: str) -> None:
    assert short(count) == wanted


def test_downloads_are_of_all_time_unless_a_period_is_named(badges: Badges) -> None:
    assert said(known(badges)) == "downloads: 3.4M"
    assert said(known(badges, "period=month")) == "downloads: 12k/month"
    assert said(known(badges, "period=decade")) == "downloads: 3.4M"
    # What those who count do not mention was never downloaded.
    assert said(known(badges, "period=day")) == "downloads: 0/day"


def test_companies_are_of_a_month_and_few_where_they_could_be_guessed(badges: Badges) -> None:
    assert said(known(badges, kind="companies")) == "companies: 38/month"
    assert said(known(badges, "period=week", kind="companies")) == "companies: few"
    assert said(known(badges, "period=year", kind="companies")) == "companies: few"
    badges.minimum_companies = 0
    assert said(known(badges, "period=year&label=c", kind="companies")) == "c: 0/year"


def test_what_nobody_has_counted_yet_is_no_zero(badges: Badges) -> None:
    answer = ask(badges, "color=red")
    assert (answer.status, said(answer)) == (200, "downloads: not counted yet")
    assert answer.headers["cache-control"] == "public, max-age=60"
    assert b"#dd4343" not in answer.body


def test_a_package_that_is_not_public_looks_like_one_that_is_not_there(badges: Badges) -> None:
    hidden, missing = ask(badges, text="hidden"), ask(badges, text="no-such")
    assert hidden == missing
    assert (hidden.status, said(hidden)) == (404, "downloads: package not found")
    # Nobody is asked for its number.
    badges.figures.refresh(COUNTS, 0.0)
    assert ask(badges, text="hidden") == missing


def test_a_chart_has_the_days_of_its_period(badges: Badges) -> None:
    assert said(known(badges, kind="chart")) == f"downloads: {short(sum(range(370, 400)))}/month; 30 days, from 370 to 399 a day"
    assert "; 7 days, from 393 to" in said(known(badges, "period=day", kind="chart"))
    assert "; 365 days, " in said(known(badges, "period=all&kind=line", kind="chart"))
    wide = ElementTree.fromstring(known(badges, "width=600&height=90", kind="chart").body)
    assert (wide.attrib["width"], wide.attrib["height"]) == ("600", "90")
    assert said(known(badges, kind="chart", text="rs-files")) == "downloads: 0/month; nothing yet"


def test_a_chart_of_nobody_knows_what_is_a_badge(badges: Badges) -> None:
    assert said(ask(badges, kind="chart")) == "downloads: not counted yet"
    assert ask(badges, kind="chart", text="hidden").status == 404


# --- looks ---------------------------------------------------------------------------------------------------------------


def test_the_query_says_how_it_looks(badges: Badges) -> None:
    answer = known(badges, "label=pulls%20%26c&color=%23f00&label-color=00f&style=flat-square&logo=python&logo-color=yellow")
    assert said(answer) == "pulls &c: 3.4M"
    for color in ('"#f00"', '"#00f"', '"#d8b800"'):
        assert color.encode() in answer.body
    assert b"linearGradient" not in answer.body
    assert said(known(badges, "label=")) == "3.4M"


@pytest.mark.parametrize(
    "query",
    [
        "style=x",
        "color=x",
        "color=",
        "logo=no-such-brand",
        "logo=https://evil.example/a.svg",
        "period=x",
        "width=-1",
        "%",
        "&&=&",
        "a=" * 999,
    ],
)
def test_what_is_not_understood_is_passed_over(badges: Badges, query: str) -> None:
    assert known(badges, query) == known(badges)


def test_options_are_read_as_people_write_them() -> None:
    assert read_options("labelColor=red&logoColor=blue&style=social&style=flat&label=a+b") == Options(
        label="a b", label_color="red", logo_color="blue", style="social"
    )
    assert [read_options(f"period={period}").period for period in PERIODS] == list(PERIODS)
    assert read_options("&".join(f"a{number}=" for number in range(100)) + "&label=x").label is None
    assert len(read_options("label=" + "x" * 10_000).label or "") == 200
    assert read_options("width=12&height=٣") == Options(width=12)


def test_an_endpoint_for_shields(badges: Badges) -> None:
    answer = known(badges, "format=json&style=social&logo=python&logo-color=red&label-color=blue&label=pulls")
    assert answer.headers["content-type"] == "application/json"
    assert json.loads(answer.body) == {
        "schemaVersion": 1, "label": "pulls", "message": "3.4M", "color": "blue", "labelColor": "#007ec6", "namedLogo": "python",
        "logoColor": "#dd4343", "style": "social", "cacheSeconds": 300,
    }  # fmt: skip
    missing = ask(badges, "format=json&style=x", text="hidden")
    assert missing.status == 404
    assert json.loads(missing.body) == {
        "schemaVersion": 1, "label": "downloads", "message": "package not found", "color": "lightgrey",
        "cacheSeconds": 300, "isError": True,
    }  # fmt: skip


# --- what caches and browsers are told -----------------------------------------------------------------------------------


def test_a_badge_runs_and_loads_nothing(badges: Badges) -> None:
    headers = known(badges).headers
    assert headers["content-type"] == "image/svg+xml; charset=utf-8"
    assert headers["content-security-policy"] == "default-src 'none'; style-src 'unsafe-inline'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "public, max-age=300"


def test_who_has_it_already_is_told_so(badges: Badges) -> None:
    whole = known(badges)
    tag = whole.headers["etag"]
    for held in (tag, f'W/{tag}, "other"', "*"):
        again = ask(badges, headers={"If-None-Match": held})
        assert (again.status, again.body, again.headers["etag"], again.headers["cache-control"]) == (304, b"", tag, "public, max-age=300")
    assert ask(badges, headers={"If-None-Match": '"other"'}) == whole
    assert known(badges, "color=red").headers["etag"] != tag
    # Of what is not there, nobody has a copy.
    assert ask(badges, text="hidden", headers={"If-None-Match": "*"}).status == 404


def test_a_badge_is_only_looked_at(badges: Badges) -> None:
    answer = ask(badges, method="POST")
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
    assert ask(badges, method="HEAD").status == 200


def test_what_is_kept_is_bounded(badges: Badges) -> None:
    first = known(badges)
    assert ask(badges).body is first.body
    for number in range(KEPT + 10):
        ask(badges, f"label={number}")
    assert len(badges._kept) <= KEPT
    long = f"label={'x' * 600}"
    assert ask(badges, long) == ask(badges, long)
    assert ask(badges, long).body is not ask(badges, long).body


# --- who may see which ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "by_id", "kind", "wanted"),
    [
        ("rs", True, None, "rs"),
        ("rocket-skates", True, None, None),
        ("acme/rocket-skates", False, None, "rs"),
        ("acme/rocket-skates", False, "file", "rs-files"),
        ("acme/rocket-skates", False, "PyPI", "rs"),
        ("acme/rocket-skates", False, "container", None),
        ("rocket-skates", False, None, "rs"),
        ("other/rocket-skates", False, None, None),
        ("acme/hidden", False, None, None),
        ("hidden", True, None, None),
        ("img/shoes", True, None, "img/shoes"),
        ("img/shoes", False, "docker", "img/shoes"),
        ("acme/img/shoes", False, None, "img/shoes"),
        ("img/shoes", False, "python", None),
        ("acme/", False, None, None),
        ("evil/shoes", True, None, None),
        ("", True, None, None),
    ],
)
def test_packages_are_found_by_id_or_by_name(text: str, by_id: bool, kind: str | None, wanted: str | None) -> None:
    assert listing("rocket-skates", "img/*")(Reference(text, by_id, kind)) == wanted


def test_without_a_username_any_owner_may_be_named() -> None:
    found = listing("rs", username=None)
    assert found(Reference("anybody/rocket-skates", False)) == "rs"


def test_nothing_is_public_unless_it_is_said_to_be() -> None:
    assert listing()(Reference("rs", True)) is None
    assert list(listing().public_keys()) == []
    assert list(listing("*").public_keys()) == ["hidden", "rs-files", "rs"]


# --- figures -------------------------------------------------------------------------------------------------------------


class Asked:
    """Counts one for everything, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, list[str], Period]] = []

    def downloads(self, packages: Collection[str], period: Period) -> Mapping[str, int]:
        self.asked.append(("downloads", list(packages), period))
        return dict.fromkeys(packages, len(self.asked))

    def companies(self, packages: Collection[str], period: Period) -> Mapping[str, int]:
        self.asked.append(("companies", list(packages), period))
        return {}

    def series(self, packages: Collection[str], period: Period) -> Mapping[str, Sequence[int]]:
        self.asked.append(("series", list(packages), period))
        return {package: [1, 2] for package in packages}


ONE, TWO = Question("downloads", "a", "all"), Question("downloads", "b", "all")


def test_packages_are_asked_for_together_and_not_before_it_is_time() -> None:
    figures, numbers = Figures(ttl_s=100), Asked()
    figures.expect([ONE, TWO, Question("companies", "a", "month"), Question("series", "a", "week")])
    assert figures.get(ONE) is None
    figures.refresh(numbers, 1000)
    assert numbers.asked == [("downloads", ["a", "b"], "all"), ("companies", ["a"], "month"), ("series", ["a"], "week")]
    assert (figures.get(ONE), figures.get(Question("companies", "a", "month")), figures.get(Question("series", "a", "week"))) == (
        1,
        0,
        (1, 2),
    )
    figures.refresh(numbers, 1099)
    assert len(numbers.asked) == 3
    figures.refresh(numbers, 1100)
    assert len(numbers.asked) == 6
    assert figures.get(ONE) == 4


def test_what_is_old_is_shown_while_another_asks_and_asked_for_again_at_once() -> None:
    figures, week = Figures(ttl_s=100), Question("series", "a", "week")
    figures.expect([ONE, Question("companies", "a", "month"), week])

    class Waiting(FixedNumbers):
        def downloads(self, packages: Collection[str], period: Period) -> Mapping[str, int]:
            raise StillAskingError({"a": 7})

        def companies(self, packages: Collection[str], period: Period) -> Mapping[str, int]:
            raise StillAskingError

    with pytest.raises(StillAskingError):
        figures.refresh(Waiting(days={"a": [1, 2]}), 0)
    assert (figures.get(ONE), figures.get(Question("companies", "a", "month")), figures.get(week)) == (7, None, (1, 2))
    figures.refresh(FixedNumbers({("downloads", "a", "all"): 8}), 1)
    assert (figures.get(ONE), figures.get(Question("companies", "a", "month")), figures.get(week)) == (8, 0, (1, 2))


def test_what_nobody_asks_for_any_more_is_forgotten() -> None:
    figures, numbers = Figures(ttl_s=10, forget_s=100), Asked()
    figures.expect([ONE, TWO])
    for now in (0, 100, 150):
        figures.get(ONE)
        figures.refresh(numbers, now)
    figures.refresh(numbers, 210)
    assert numbers.asked[-1] == ("downloads", ["a"], "all")
    assert (figures.get(TWO), figures.get(ONE)) == (None, 4)


def test_what_is_remembered_is_bounded() -> None:
    figures, numbers = Figures(most=1), Asked()
    assert figures.get(ONE) is figures.get(TWO) is None
    figures.refresh(numbers, 0)
    assert (figures.get(ONE), figures.get(TWO)) == (1, None)


def test_while_nobody_can_say_the_old_numbers_stay() -> None:
    class Down(Asked):
        def downloads(self, packages: Collection[str], period: Period) -> Mapping[str, int]:
            raise OSError

    figures = Figures(ttl_s=1)
    figures.expect([ONE])
    figures.refresh(Asked(), 0)
    with pytest.raises(OSError):
        figures.refresh(Down(), 10)
    assert figures.get(ONE) == 1


def test_figures_are_inherited() -> None:
    old, new = Figures(), Figures()
    old.expect([ONE])
    old.refresh(Asked(), 0)
    new.inherit(old)
    assert new.get(ONE) == 1


# --- configurations ------------------------------------------------------------------------------------------------------


PIXEL = {"name": "docs", "id": "px-1", "type": "pixel", "domain": "px.acme.example"}
IMAGES = {"domain": "docker.acme.example", "pattern": "acme/*", "backend": "ghcr.example"}


def section(**keys: Any) -> dict[str, Any]:
    return {"packages": [PIXEL], "collections": [IMAGES], "badges": {"domains": ["b.acme.example"], **keys}}


def problems(data: Mapping[str, Any]) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        read_config(data)
    return [re.sub(r"^\S*:\d+: ", "", str(problem)) for problem in raised.value.problems]


def test_a_configuration_says_where_badges_are() -> None:
    config = read_config(section(packages=["docs", "acme/shoes", "acme/*", "px*"]))
    gateway = config.compile()
    config.figures.refresh(FixedNumbers({("downloads", "px-1", "all"): 5}), 0.0)
    outcome = gateway.decide(Request("GET", "b.acme.example", "/package/installs-badge/px-1"))
    assert isinstance(outcome.decision, Respond)
    # The usual questions are asked in advance.
    assert said(outcome.decision) == "downloads: 5"
    assert outcome.rule == "b.acme.example/package/installs-badge/{+package}"
    assert outcome.match is not None
    assert outcome.match.route.observe(outcome.request, outcome.match) is None


def test_a_configuration_made_by_hand_has_badges_too() -> None:
    made = Config(
        packages=(PixelRule(name="docs", domain="px.acme.example"),),
        collections=(CollectionRule(domain="d.acme.example", pattern="acme/*", backend="ghcr.example"),),
        badges=read_config(section(packages=["docs"])).badges,
    )
    answer = made.compile().decide(Request("GET", "b.acme.example", "/company-badge/acme/docs", "package-type=pixel")).decision
    assert isinstance(answer, Respond)
    assert answer.status == 200
    assert made.figures.ttl_s == 300


def test_a_type_without_names_has_no_badges() -> None:
    @frozen
    class Nameless:
        def compile(self) -> Sequence[Route]:
            return PixelRule(name="x", domain="x.acme.example").compile()

    made = Config(packages=(Nameless(),), badges=read_config(section(packages=["*"])).badges)
    answer = made.compile().decide(Request("GET", "b.acme.example", "/package/installs-badge/x")).decision
    assert isinstance(answer, Respond)
    assert answer.status == 404


@pytest.mark.parametrize(
    ("keys", "wanted"),
    [
        ({"packages": ["docz"]}, ["badges.packages[0]: there is no package 'docz' (did you mean 'docs'?)"]),
        (
            {"packages": ["docs", "zzz/*x", "", "acme/x/y"]},
            [
                "badges.packages[1]: 'zzz/*x' has a * before its end (acme/* stands for all that begin with acme/)",
                "badges.packages[2]: is empty",
            ],
        ),
        ({"domains": []}, ["badges.domains: is empty (a domain such as badges.acme.com)"]),
        ({"minimum-companies": -1}, ["badges.minimum-companies: -1 is too small (a whole number from 0)"]),
        ({"font": "x"}, ["badges.font: unknown key (known here: domains, max-age-s, minimum-companies, packages)"]),
    ],
)
def test_what_is_wrong_with_badges_is_told(keys: dict[str, Any], wanted: list[str]) -> None:
    assert problems(section(**keys)) == wanted


def test_a_package_of_no_collection_is_unknown() -> None:
    (problem,) = problems({"packages": [PIXEL], "badges": {"domains": ["b.example"], "packages": ["zz*", "docs", "d*"]}})
    assert problem.startswith("badges.packages[0]: there is no package 'zz*'")


def test_a_rule_that_takes_the_place_of_a_badge_is_found() -> None:
    taken = {
        "name": "x",
        "type": "file",
        "domain": "b.acme.example",
        "incoming-path": "/installs-badge/{+x}",
        "outgoing-url": "https://a.example",
    }
    findings = lint(read_config({**section(), "packages": [PIXEL, taken]}).compile().router)
    assert [finding.kind for finding in findings] == ["ambiguous"]
