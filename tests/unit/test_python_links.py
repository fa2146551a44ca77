"""Links of HTML pages: what browsers would find, and never more than one look at anything."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

from gatewaycore.rules.indexes import PageError
from gatewaycore.rules.python import links
from gatewaycore.rules.python.links import tags


def found(text: str) -> list[tuple[str, Mapping[str, str]]]:
    return list(tags(text))


@pytest.mark.parametrize(
    ("text", "attributes"),
    [
        ('<a href="x">y</a>', {"href": "x"}),
        ("<a href='x'>y</a>", {"href": "x"}),
        ("<a href=x>y</a>", {"href": "x"}),
        ("<A HREF = x\n DATA-Yanked>y</A>", {"href": "x", "data-yanked": ""}),
        ('<a\thref="a>b" rel=internal/>', {"href": "a>b", "rel": "internal/"}),
        ('<a href="x"data-yanked="">', {"href": "x", "data-yanked": ""}),
        ('<a href="1" href="2">', {"href": "1"}),
        ("<a href='1' href=2>", {"href": "1"}),
        ('<a data-requires-python="&gt;=3.8&comma;&lt;4">', {"data-requires-python": ">=3.8,<4"}),
        ('<a data-requires-python=">=3.8">', {"data-requires-python": ">=3.8"}),
        ("<a data-yanked='it&#39;s broken'>", {"data-yanked": "it's broken"}),
        ("<a / href=x / >", {"href": "x"}),
        ("<a =x href=y>", {"=x": "", "href": "y"}),
        ("<a href= >", {"href": ""}),
        (f"<a href='&#{'9' * 5000};'>", {"href": f"&#{'9' * 5000};"}),
        (f'<a href="&lt;{"x" * 300}">', {"href": f"<{'x' * 300}"}),
        ("<a href=>", {"href": ""}),
        ("<a>", {}),
    ],
)
def test_attributes(text: str, attributes: Mapping[str, str]) -> None:
    assert found(text) == [("a", attributes)]


def test_tags_that_are_wanted_in_the_order_in_which_they_stand() -> None:
    page = '<head><base href="b/"><meta name=x content="y"></head><p class="<a href=no>"><a href=1><b>t</b></a><abbr title=n><a href=2>'
    assert found(page) == [("base", {"href": "b/"}), ("meta", {"name": "x", "content": "y"}), ("a", {"href": "1"}), ("a", {"href": "2"})]


@pytest.mark.parametrize(
    "before",
    [
        "<!-- <a href=no> -->",
        "<!-->-->",
        "<!-->",
        "<!--->",
        "<!----!>",
        "<!--!> <a href=no> --!>",
        "<!--[if !IE]><!-->",
        "<!DOCTYPE html>",
        "<?xml <a href=no?>",
        "</a href=no>",
        "<script>'<a href=no>'</script>",
        "<STYLE><a href=no></Style >",
        "<title><a href=no></title>",
        "< <3 <<",
        "&lt;a href=no>",
    ],
)
def test_what_looks_like_a_link_and_is_none(before: str) -> None:
    assert found(f"{before}<a href=x>") == [("a", {"href": "x"})]


@pytest.mark.parametrize(
    "end",
    [
        "<!-- <a href=y>",
        "<a href=y",
        "<a href='y",
        "<a href='y>",
        '<p class="<a href=y>',
        "<script><a href=y>",
        "<!x",
        "</a",
        "<",
        "<a ",
        "<a",
        "<title>x",
        "<!-- x --",
        "<p x='",
    ],
)
def test_what_ends_in_the_middle_is_no_page(end: str) -> None:
    """It was cut short: what stood behind would be missing, and nobody told."""
    with pytest.raises(PageError, match="ends too soon"):
        found(f"<a href=x>{end}")


def test_no_cut_inside_of_a_tag_is_taken_for_an_end() -> None:
    page = "<!DOCTYPE html><title>t</title><!-- c --><a href=\"x\" data-yanked='1'>x</a><p class=y><a rel=z href=2 />2</a></p>"
    inside = [text.span() for text in re.finditer(r"<title>t</title>|<!--.*?-->|<[^>]*>", page)]
    for cut in range(len(page)):
        if any(start < cut < end for start, end in inside):
            with pytest.raises(PageError):
                found(page[:cut])
        else:
            found(page[:cut])


@pytest.mark.parametrize(
    "end",
    [
        "",
        "</a>",
        "</a><br>",
        " 1 < 2 ",
        "<\n",
        "\x00",
        "</body>",
        "</html>\n<!--TIMESTAMP 1700000000-->\n",
        "<p>it's \"odd",
        "<p x'>",
        '<p x="">',
    ],
)
def test_what_is_odd_is_whole_all_the_same(end: str) -> None:
    """No end tag is needed, and neither quotes nor angles in text make a tag (HTML §13.1.2.4)."""
    assert found(f"<a href=x>{end}") == [("a", {"href": "x"})]


@pytest.mark.parametrize("repeated", [' x="1"', '<a x="1">', "<p x>", "<p>", "></p>", "><!-->", "><", "><?x>"])
def test_tags_and_attributes_without_end_are_refused(repeated: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "MOST_ATTRIBUTES", 1000)
    found("<a" + repeated * 100 + ">")
    with pytest.raises(PageError):
        found("<a" + repeated * 1001 + ">")
