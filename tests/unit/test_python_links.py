"""Links of HTML pages: what browsers would find, and never more than one look at anything."""

from __future__ import annotations

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
    ["<!-- <a href=y>", "<a href=y", "<a href='y", "<a href='y>", '<p class="<a href=y>', "<script><a href=y>", "<!x", "</a", "<", "<a "],
)
def test_what_ends_in_the_middle_ends_there(end: str) -> None:
    assert [attributes["href"] for name, attributes in tags(f"<a href=x>{end}")] == ["x"]


@pytest.mark.parametrize("repeated", [' x="1"', '<a x="1">', "<p x>", "<p>"])
def test_tags_and_attributes_without_end_are_refused(repeated: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "MOST_ATTRIBUTES", 1000)
    found("<a" + repeated * 100 + ">")
    with pytest.raises(PageError):
        found("<a" + repeated * 1001 + ">")
