"""Whatever a badge is asked to say or to look like: it is well-formed, runs nothing, loads nothing, and says it."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import many

from gatewaycore.badges import CHARTS, STYLES, Badges, BadgeSettings, Figures, FixedNumbers, Listing, Package, chart, render
from gatewaycore.badges.colors import read_color
from gatewaycore.badges.text import clean
from gatewaycore.decision import Respond
from gatewaycore.gateway import Gateway
from gatewaycore.headers import Headers
from gatewaycore.request import Request

SVG = "{http://www.w3.org/2000/svg}"
ELEMENTS = {"svg", "title", "g", "rect", "path", "text", "linearGradient", "stop", "clipPath", "style", "circle"}
markup = st.lists(
    st.sampled_from(["<", ">", "&", '"', "'", "]]>", "<script>", "<!--", "&#0;", "\0", "\ud800", "\u202e", "👩‍🚀", "é"]), max_size=6
)
anything = st.text(max_size=40) | markup.map("".join)
colors = st.none() | anything | st.sampled_from(["red", "#fff", "rgb(1,2,3)", "hsl(1,2%,3%)", "url(#x)", "rgb(1,2,3);x"])
thorough = settings(deadline=None, max_examples=many(200))


def harmless(svg: str) -> ElementTree.Element:
    """Parse it, and look at every element and attribute."""
    root = ElementTree.fromstring(svg)
    for node in root.iter():
        assert node.tag.startswith(SVG)
        assert node.tag.removeprefix(SVG) in ELEMENTS
        for name, value in node.attrib.items():
            assert not name.lower().startswith("on")
            assert "href" not in name
            if name != "aria-label":
                assert "url(" not in value or re.fullmatch(r"url\(#[a-z][0-9a-f]{8}\)", value)
    return root


@thorough
@given(anything, anything, st.sampled_from([*STYLES, "x"]), colors, colors, st.none() | anything | st.just("python"), colors)
def test_every_badge_is_harmless_and_says_what_it_is_told(
    label: str, message: str, style: str, color: str | None, label_color: str | None, logo: str | None, logo_color: str | None
) -> None:
    svg = render(label, message, color=color, label_color=label_color, style=style, logo=logo, logo_color=logo_color)
    root = harmless(svg)
    said = "".join(root.itertext())
    # A parser reads every end of a line as "\n" (XML 1.0 §2.11).
    for text in (clean(label), clean(message)):
        assert text.replace("\r\n", "\n").replace("\r", "\n").casefold() in said.casefold() or style == "for-the-badge"
    assert float(root.attrib["width"]) < 10_000


@thorough
@given(
    st.lists(st.floats() | st.integers(), max_size=200),
    anything,
    anything,
    st.sampled_from([*CHARTS, "x"]),
    colors,
    st.integers(),
    st.integers(),
)
def test_every_chart_is_harmless(
    values: list[float], label: str, message: str, kind: str, color: str | None, width: int, height: int
) -> None:
    harmless(chart(values, label, message, kind=kind, color=color, width=width, height=height))


@thorough
@given(anything)
def test_a_colour_is_a_colour_and_nothing_else(text: str) -> None:
    found = read_color(text)
    assert found is None or re.fullmatch(r"[a-z]+|#[0-9a-f]{3,8}|(rgb|hsl)a?\([0-9.,%deg\s]+\)", found)


FIGURES = Figures()
GATEWAY = Gateway.compile(
    BadgeSettings(domains=("b.example",), packages=("a", "img/*")).compile(
        Listing((Package("a", "a", "file"), Package("b", "b", "file")), ("a", "img/*"), None, (lambda name: name.startswith("img/"),)),
        FIGURES,
    )
)
FIGURES.refresh(FixedNumbers({("downloads", "a", "all"): 7, ("companies", "a", "month"): 7}), 0.0)
forms = st.sampled_from(["/package/installs-badge/", "/installs-badge/", "/package/company-badge/", "/company-badge/", "/downloads-chart/"])
names = st.sampled_from(["a", "b", "x/a", "img/x", "%2e%2e/a", "a%00", "%ff", "a?", ""]) | st.text("abc%/.-", max_size=10)
queries = st.text(st.characters(max_codepoint=126, min_codepoint=33), max_size=60) | st.lists(
    st.sampled_from(
        ["style=social", "&", "label=%3Cb%3E", "format=json", "period=week", "color=%22", "logo=python", "width=99", "kind=line", "="]
    ),
    max_size=9,
).map("".join)


@thorough
@given(forms, names, queries, st.sampled_from(["GET", "HEAD", "POST"]), st.text('"*,W/ab', max_size=9))
def test_every_request_is_answered(form: str, name: str, query: str, method: str, held: str) -> None:
    outcome = GATEWAY.decide(Request(method, "b.example", form + name, query, Headers({"if-none-match": held})))
    answer = outcome.decision
    assert isinstance(answer, Respond)
    assert answer.status in (200, 304, 404, 405)
    if "svg" in (answer.headers.get("content-type") or ""):
        harmless(answer.body.decode())
    assert not any(re.search(r"[\r\n\0]", line) for pair in answer.headers.items() for line in pair)


@given(st.integers(min_value=0, max_value=4))
def test_no_badge_tells_few_from_fewer(count: int) -> None:
    def answered(companies: int) -> Respond:
        figures = Figures()
        badges = Badges(lambda _: "a", figures, minimum_companies=5)
        figures.expect(badges.expected("a"))
        figures.refresh(FixedNumbers({("companies", "a", "month"): companies}), 0.0)
        return badges.answer(Request("GET", "b.example", "/"), "companies", "a", True)

    assert answered(count) == answered(0)
