"""Drawing: widths, colours, styles, logos, and text that stays where it belongs."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest

from gatewaycore.badges import CHARTS, STYLES, chart, render
from gatewaycore.badges.colors import CSS_COLORS, brightness, contrast, is_bright, read_color, rgb
from gatewaycore.badges.logos import find_logo
from gatewaycore.badges.text import LONGEST, PLAIN, SOCIAL, clean

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "</text><script>alert(1)</script>\"'&<b onload=x>]]>"


def parse(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)


def texts(root: ElementTree.Element) -> list[str]:
    return ["".join(node.itertext()) for node in root.iter(f"{SVG}text")]


def size(svg: str) -> tuple[float, float]:
    root = parse(svg)
    return float(root.attrib["width"]), float(root.attrib["height"])


def fills(svg: str) -> list[str]:
    return [node.attrib["fill"] for node in parse(svg).iter(f"{SVG}rect") if "fill" in node.attrib]


# --- styles --------------------------------------------------------------------------------------------------------------


# What badge-maker 6.0 gives for the same arguments.
@pytest.mark.parametrize(
    ("style", "wanted"),
    [("flat", (138, 20)), ("flat-square", (138, 20)), ("plastic", (138, 18)), ("for-the-badge", (202.5, 28)), ("social", (137, 20))],
)
def test_a_badge_is_as_large_as_the_one_it_replaces(style: str, wanted: tuple[float, float]) -> None:
    assert size(render("downloads", "4.7k/week", style=style)) == wanted


def test_a_flat_badge_in_full() -> None:
    assert re.sub(r"(?<=[#\"])([rs])[0-9a-f]{8}", r"\1", render("a", "1", color="blue")) == (
        '<svg xmlns="http://www.w3.org/2000/svg" width="34" height="20" role="img" aria-label="a: 1"><title>a: 1</title>'
        '<linearGradient id="s" x2="0" y2="100%"><stop offset="0" stop-color="#bbb" stop-opacity=".1"/><stop offset="1" stop-opacity=".1"/>'
        '</linearGradient><clipPath id="r"><rect width="34" height="20" rx="3"/></clipPath><g clip-path="url(#r)">'
        '<rect width="17" height="20" fill="#555"/><rect x="17" width="17" height="20" fill="#007ec6"/>'
        '<rect width="34" height="20" fill="url(#s)"/></g>'
        '<g fill="#fff" text-anchor="middle" font-family="Verdana,Geneva,DejaVu Sans,sans-serif" text-rendering="geometricPrecision" '
        'font-size="110"><text x="95" y="150" transform="scale(.1)" fill="#010101" fill-opacity=".3" aria-hidden="true" textLength="70">a'
        '</text><text x="95" y="140" transform="scale(.1)" textLength="70">a</text>'
        '<text x="245" y="150" transform="scale(.1)" fill="#010101" fill-opacity=".3" aria-hidden="true" textLength="70">1</text>'
        '<text x="245" y="140" transform="scale(.1)" textLength="70">1</text></g></svg>'
    )


@pytest.mark.parametrize("style", STYLES)
def test_a_badge_says_what_it_shows_to_those_who_do_not_see_it(style: str) -> None:
    root = parse(render("downloads", "12k", style=style))
    title = root.find(f"{SVG}title")
    assert title is not None
    assert root.attrib["role"] == "img"
    assert root.attrib["aria-label"].lower() == (title.text or "").lower() == "downloads: 12k"


@pytest.mark.parametrize("style", STYLES)
def test_the_same_arguments_give_the_same_badge_and_ids_are_its_own(style: str) -> None:
    one, other = render("a", "1", style=style), render("a", "2", style=style)
    assert one == render("a", "1", style=style)
    ids = [set(re.findall(r'\bid="([^"]+)"', svg)) for svg in (one, other)]
    assert not ids[0] & ids[1]
    for svg, own in zip((one, other), ids, strict=True):
        assert set(re.findall(r"url\(#([^)]+)\)", svg)) == own


@pytest.mark.parametrize("style", STYLES)
def test_no_text_gets_out_of_its_place(style: str) -> None:
    svg = render(HOSTILE, HOSTILE, style=style, color=HOSTILE, label_color=HOSTILE, logo=HOSTILE, logo_color=HOSTILE)
    root = parse(svg)
    assert not list(root.iter(f"{SVG}script"))
    assert not [name for node in root.iter() for name in node.attrib if name.lower().startswith("on") or "href" in name]
    assert any(HOSTILE.lower() == text.lower() for text in texts(root))


@pytest.mark.parametrize("style", STYLES)
def test_a_badge_without_label_or_message_is_a_badge(style: str) -> None:
    for label, message in (("", "grown"), ("grown", ""), ("", "")):
        for logo in (None, "python"):
            for label_color in (None, "red"):
                width, _ = size(render(label, message, style=style, logo=logo, label_color=label_color))
                assert 10 < width < 150


def test_a_message_alone_has_one_colour_and_a_label_colour_makes_two() -> None:
    assert fills(render("", "grown", color="red", style="flat-square")) == ["#dd4343"]
    assert fills(render("", "grown", color="red", label_color="blue", style="flat-square")) == ["#007ec6", "#dd4343"]
    assert fills(render("", "grown", color="red", label_color="blue", logo="python", style="for-the-badge")) == ["#007ec6", "#dd4343"]


def test_an_unknown_style_is_flat() -> None:
    assert render("a", "1", style="baroque") == render("a", "1", style="flat")


def test_text_is_dark_where_white_could_not_be_read() -> None:
    def colors(background: str) -> list[str | None]:
        found = parse(render("", "1", color=background, style="flat-square")).find(f".//{SVG}text")
        assert found is not None
        return [found.get("fill")]

    assert colors("blue") == [None]
    assert colors("#e2ffe1") == colors("yellow") == ["#333"]


def test_widths_that_are_guessed_pull_no_script_apart() -> None:
    def fitted(text: str) -> bool:
        return 'textLength="' in render("", text)

    assert fitted("downloads")
    assert fitted("ダウンロード 한글")
    assert not fitted("تنزيلات")


# --- text ----------------------------------------------------------------------------------------------------------------


def test_letters_are_measured_as_browsers_do() -> None:
    assert PLAIN.measure("downloads") == pytest.approx(58.4, abs=0.1)
    assert PLAIN.measure("W") > 3 * PLAIN.measure("l")
    assert PLAIN.measure("日本") == 22
    assert PLAIN.measure("한") == pytest.approx(9.5, abs=0.1)
    assert PLAIN.measure("ｱ") == 5.5
    assert PLAIN.measure("e\u0301") == PLAIN.measure("e")
    assert PLAIN.measure("☺") == PLAIN.measure("👩\u200d🚀") == PLAIN.measure("👍🏽") == PLAIN.measure("🇨🇭") == 11
    # An "m", as nobody measured it.
    assert PLAIN.measure("ع") == PLAIN.measure("m")
    assert SOCIAL.measure("Star") < 30


def test_what_cannot_stand_in_xml_is_left_out_and_so_are_turns_of_direction() -> None:
    assert clean(" \x00a\x1b\u202eb\ud800\uffff ") == "ab"
    assert clean("a\tb") == "a\tb"


def test_a_long_text_is_cut() -> None:
    assert clean("x" * LONGEST) == "x" * LONGEST
    assert clean("x" * 100_000) == "x" * (LONGEST - 1) + "…"
    assert size(render("x" * 100_000, "y" * 100_000))[0] < 3000


# --- colours -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        ("brightgreen", "#4b0"),
        ("Critical", "#dd4343"),
        ("4c1", "#4c1"),
        ("ABC123", "#abc123"),
        (" #ABC ", "#abc"),
        ("#abcd", "#abcd"),
        ("#11223344", "#11223344"),
        ("papayawhip", "papayawhip"),
        ("rgb(0, 128, 255)", "rgb(0, 128, 255)"),
        ("rgb(100%, 200%, 222%)", "rgb(100%, 200%, 222%)"),
        ("rgba(1,2,3,.5)", "rgba(1,2,3,.5)"),
        ("hsl(120, 100%, 25%)", "hsl(120, 100%, 25%)"),
        (None, None),
        ("", None),
        ("#ab", None),
        ("abcd", None),
        ("not-a-color", None),
        ("rgb(-1, 2, 3)", None),
        ("rgb(1%, 2, 3)", None),
        ("hsl(122, 200, 222%)", None),
        ('red" onload="x', None),
        ("red" + " " * 100, None),
        ("url(#a)", None),
        ("var(--a)", None),
        ("#ٳٳٳ", None),
    ],
)
def test_colours(written: str | None, wanted: str | None) -> None:
    assert read_color(written) == wanted


def test_colours_have_parts() -> None:
    assert rgb("#fff") == rgb("#ffffff80") == rgb("white") == rgb("rgb(300,255,255)") == rgb("hsl(0,0%,100%)") == (255, 255, 255)
    assert rgb("rgb(100%,0%,0%)") == pytest.approx((255, 0, 0))
    assert rgb("hsl(480deg,100%,50%)") == pytest.approx((0, 255, 0))
    assert len(CSS_COLORS) == 148
    assert (brightness("#fff"), brightness("#000"), brightness("nothing")) == (1, 0, 0)
    assert contrast("#fff", "#000") == pytest.approx(21)
    assert contrast("#000", "nothing") == 1
    assert is_bright("#fff")
    assert not is_bright("blue")


# --- logos ---------------------------------------------------------------------------------------------------------------


def logo_colors(svg: str) -> Iterator[str | None]:
    return (
        node.get("fill") for node in parse(svg).iter(f"{SVG}path") if node.get("d", "").startswith("M") and len(node.get("d", "")) > 200
    )


@pytest.mark.parametrize("style", STYLES)
def test_a_logo_is_a_shape_and_makes_room_for_itself(style: str) -> None:
    plain, with_logo = (render("pulls", "1", style=style, logo=logo) for logo in (None, "docker"))
    assert 14 <= size(with_logo)[0] - size(plain)[0] <= 20
    assert len(list(logo_colors(with_logo))) == 1
    assert "href" not in with_logo
    assert "data:" not in with_logo


def test_a_logo_is_found_as_people_write_it() -> None:
    node = find_logo("node.js")
    assert node is not None
    assert find_logo("Node.js") == find_logo(" nodedotjs ") == node
    assert find_logo("C++") is not None


@pytest.mark.parametrize(
    "name", ["", "no such brand", "https://evil.example/x.svg", "data:image/svg+xml;base64,PHN2Zz4=", "../python", "x" * 99]
)
def test_no_logo_comes_from_anywhere_else(name: str) -> None:
    assert find_logo(name) is None
    assert render("a", "1", logo=name) == render("a", "1")


def test_a_logo_has_the_colour_that_is_wanted_else_its_own_where_it_is_seen() -> None:
    assert list(logo_colors(render("a", "1", logo="python", logo_color="f00"))) == ["#f00"]
    assert list(logo_colors(render("a", "1", logo="python", style="social"))) == ["#3776ab"]
    assert list(logo_colors(render("a", "1", logo="python"))) == ["#fff"]
    assert list(logo_colors(render("a", "1", logo="javascript", label_color="#fff"))) == ["#333"]


def test_without_the_extra_there_are_badges_without_logos(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "simple_icons_pack", None)
    assert find_logo.__wrapped__("python") is None


def test_what_the_package_holds_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    import simple_icons_pack

    for svg, color in (('<path d="M0"/>', "zz"), ("<path onload='x' d='M0'/>", "3776AB"), ('<path d="url(x)"/>', "3776AB")):
        icon = SimpleNamespace(svg=svg, hex=color)
        monkeypatch.setattr(simple_icons_pack, "get_icon", lambda slug, icon=icon: icon)
        assert find_logo.__wrapped__("python") is None


# --- charts --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", CHARTS)
def test_a_chart_is_deterministic_and_says_what_it_shows(kind: str) -> None:
    svg = chart([1, 5, 3], "downloads", "9/week", kind=kind)
    root = parse(svg)
    assert svg == chart([1, 5, 3], "downloads", "9/week", kind=kind)
    assert root.attrib["role"] == "img"
    assert root.attrib["aria-label"] == "downloads: 9/week; 3 days, from 1 to 5 a day"
    assert texts(root) == ["downloads", "9/week"]
    assert "prefers-color-scheme:dark" in svg


def bars(svg: str) -> list[float]:
    return [float(node.attrib["height"]) for node in parse(svg).iter(f"{SVG}rect")]


def test_bars_are_as_high_as_their_values() -> None:
    low, high = bars(chart([5, 0, 10], "x"))
    assert high == pytest.approx(2 * low)
    # What is small beside the largest is to be seen.
    assert bars(chart([1, 1_000_000], "x"))[0] == 1
    assert len(bars(chart([1] * 365, "x"))) == 52


@pytest.mark.parametrize("values", [[], [0], [0, 0], [float("nan"), float("inf"), -3]])
@pytest.mark.parametrize("kind", [*CHARTS, "pie"])
def test_a_chart_of_nothing_has_a_ground_line(values: list[float], kind: str) -> None:
    svg = chart(values, "downloads", kind=kind)
    assert bars(svg) == []
    assert "downloads; " in svg
    parse(svg)


def test_a_line_of_one_value_is_a_line() -> None:
    parse(chart([7], "x", kind="line"))


def test_a_chart_has_bounds() -> None:
    assert size(chart([1], "x", width=10**9, height=-5)) == (2000, 48)
    assert len(chart([1] * 10**5, "x")) < 100_000


def test_a_label_gives_way_to_the_message() -> None:
    label, message = texts(parse(chart([1], "a label that goes on and on", "12k/month", width=160)))
    assert label.endswith("…")
    assert message == "12k/month"
    assert texts(parse(chart([1], "label", "a message with no room left", width=80)))[0] == ""


def test_a_chart_keeps_text_and_colours_in_their_places() -> None:
    svg = chart([1, 2], HOSTILE, HOSTILE, color=HOSTILE, kind=HOSTILE, width=2000)
    assert texts(parse(svg)) == [HOSTILE, HOSTILE]
    assert not list(parse(svg).iter(f"{SVG}script"))
    assert "fill:#f00;" in chart([1], "x", color="f00")
