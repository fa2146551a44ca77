"""Templates against oracles: a regular expression with back-references for matching, `uritemplate` for expansion."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from tests.examples import many
from uritemplate import URITemplate

from gatewaycore.errors import TemplateError
from gatewaycore.template import Matcher, Open, Tail, UrlTemplate, escape, normalise
from gatewaycore.template.sample import samples

settings.register_profile("template", deadline=None, max_examples=many(400))
PROFILE = settings.get_profile("template")

LITERALS = ["-", ".", "x", "/", "/x/", "-x", "x-", "/-", "a"]
SIMPLE = ["{a}", "{b}", "{c}", "{+a}", "{+b}"]
OPTIONAL = ["{/d}", "{.e}", "{/f,g}", "{.h,i}", "{;j}"]
NAMES = re.compile(r"\{([+/.;]?)([a-z,]+)\}")


@st.composite
def template_parts(draw: st.DrawFn, optional: bool = True) -> list[str]:
    """A template that can be matched: variables have something between them, optional expressions come once each."""
    parts = ["/"]
    spare = list(OPTIONAL) if optional else []
    for _ in range(draw(st.integers(0, 6))):
        choices = list(LITERALS)
        if not parts[-1].startswith("{"):
            choices += SIMPLE * 2
        choices += spare
        part = draw(st.sampled_from(choices))
        if part in spare:
            spare.remove(part)
        parts.append(part)
    return parts


def oracle(parts: Sequence[str]) -> re.Pattern[str]:
    """Write the regular expression that means the same."""
    # the occurrences of a variable are equal, so that one that cannot hold "/" forbids it to all of them
    narrow = {name for part in parts for operator, name in NAMES.findall(part) if operator != "+"}
    seen: set[str] = set()
    written = []
    for part in parts:
        found = NAMES.fullmatch(part)
        if found is None:
            written.append(re.escape(part))
            continue
        operator, names = found.groups()
        for name in names.split(","):
            if operator == ";":
                written.append(f"(?:;{name}(?:=(?P<{name}>[^/;]*?)|(?P<{name}_bare>)))?")
            elif operator in ("/", "."):
                written.append(f"(?:{re.escape(operator)}(?P<{name}>[^/]+?))?")
            elif name in seen:
                written.append(f"(?P={name})")
            else:
                seen.add(name)
                written.append(f"(?P<{name}>[^/]+?)" if name in narrow else f"(?P<{name}>.+?)")
    return re.compile("".join(written))


@st.composite
def fillings(draw: st.DrawFn, parts: Sequence[str]) -> str:
    """A path that is likely to match."""
    values: dict[str, str] = {}
    path = []
    for part in parts:
        found = NAMES.fullmatch(part)
        if found is None:
            path.append(part)
            continue
        operator, names = found.groups()
        for name in names.split(","):
            value = values.setdefault(name, draw(st.text("-.xab/" if operator == "+" else "-.xab", min_size=1, max_size=4)))
            if operator in ("", "+"):
                path.append(value)
            elif draw(st.booleans()):
                path.append(f";{name}={value}" if operator == ";" else operator + value)
    return "".join(path)


paths = st.text("-.x/ab", max_size=12).map(lambda text: f"/{text}")


def matched(matcher: Matcher, path: str, query: str = "") -> dict[str, str] | None:
    return matcher.match(path, path.split("/")[1:], query)


@settings(PROFILE)
@given(st.data())
def test_matches_what_a_regex_with_back_references_matches(data: st.DataObject) -> None:
    parts = data.draw(template_parts())
    path = data.draw(paths | fillings(parts))
    found = oracle(parts).fullmatch(path)
    expected = None
    if found is not None:
        expected = {name.removesuffix("_bare"): value for name, value in found.groupdict().items() if value is not None}
    assert UrlTemplate.parse("".join(parts)).match(path) == expected


@settings(PROFILE)
@given(st.data())
def test_what_matches_is_reachable_through_the_elements(data: st.DataObject) -> None:
    parts = data.draw(template_parts())
    matcher = UrlTemplate.parse("".join(parts)).matcher()
    path = data.draw(fillings(parts))
    assume(matched(matcher, path) is not None)
    segments = path.split("/")[1:]
    for index, element in enumerate(matcher.elements):
        if isinstance(element, Tail):
            assert index == len(matcher.elements) - 1
            rest = "/".join(segments[index:])
            assert rest.startswith(element.prefix)
            assert rest.endswith(element.suffix)
            assert len(rest) >= len(element.prefix) + len(element.suffix)
            return
        if isinstance(element, Open):
            assert segments[index].startswith(element.prefix)
            assert segments[index].endswith(element.suffix)
            assert len(segments[index]) > len(element.prefix) + len(element.suffix)
        else:
            assert segments[index] == element
    assert len(segments) == len(matcher.elements)


@settings(PROFILE)
@given(template_parts(), st.sampled_from(["", "?k={k}", "?k=v{a}", "?k=1&l={l}{&m}", "{?k}", "?k={k}-{k}"]))
def test_a_template_matches_its_own_samples(parts: list[str], query: str) -> None:
    matcher = UrlTemplate.parse("".join(parts) + query).matcher()
    for path, asked in samples(matcher):
        assert normalise(path) == path
        assert matched(matcher, path, asked) is not None
        assert matcher.explain(path, asked) == ""


@settings(PROFILE)
@given(st.data())
def test_no_escape_is_cut_in_two(data: st.DataObject) -> None:
    """With literals made of hexadecimal digits, against a regular expression whose characters are whole escapes."""
    parts = data.draw(st.lists(st.sampled_from(["2", "C", "F2", "/"]), min_size=1, max_size=4))
    names = "abcde"
    template = "/{a}" + "".join(f"{part}{{{names[number + 1]}}}" for number, part in enumerate(parts))
    template += data.draw(st.sampled_from(["", "2", "C", "/F2"]))
    path = "/" + "".join(data.draw(st.lists(st.sampled_from(["%2C", "%2F", "2", "C", "F", "/", "x"]), max_size=10)))
    unit = "(?:%[0-9A-F]{2}|[^/%])"
    pattern = re.sub(r"\\?\{([a-e])\\?\}", rf"(?P<\1>{unit}+?)", re.escape(template))
    found = re.fullmatch(pattern, path)
    decoded = found and {name: value.replace("%2C", ",").replace("%2F", "/") for name, value in found.groupdict().items()}
    assert UrlTemplate.parse(template).match(path) == decoded
    searched = f"{template}{{/z}}"  # the same, through the search
    if found is not None:
        assert UrlTemplate.parse(searched).match(path) == decoded


# --- expansion ----------------------------------------------------------------------------------------------

names = st.sampled_from(["a", "b", "long_name", "x.y", "%41", "1"])
expressions = st.builds(
    lambda operator, chosen: f"{{{operator}{','.join(chosen)}}}",
    st.sampled_from(["", "+", "#", ".", "/", ";", "?", "&"]),
    st.lists(names, min_size=1, max_size=3),
)
literals = st.text("abc/-._~:?#[]@!$&'()*+,;=", max_size=5) | st.just("%41")
templates = st.lists(expressions | literals, max_size=6).map("".join)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
values = st.dictionaries(names, texts | st.text("ab%41/ ?&é", max_size=6), max_size=6)


@settings(PROFILE)
@given(templates, values)
@example("{+a}{#b}", {"a": "50%", "b": "%2F"})
@example("{a,b}{;a,b}{?a,b}{&b}{.a}{/a,b}", {"a": ""})
def test_expands_as_uritemplate_does(template: str, given_values: dict[str, Any]) -> None:
    parsed = UrlTemplate.parse(template)
    assert parsed.expander().expand(given_values) == parsed.expand(given_values) == URITemplate(template).expand(given_values)
    assert "".join(text for text, _ in parsed.expander().pieces(given_values)) == parsed.expand(given_values)


composites = st.lists(texts, max_size=3) | st.dictionaries(texts, texts, max_size=3) | st.none() | texts
modified = st.builds(
    lambda operator, name, modifier: f"{{{operator}{name}{modifier}}}",
    st.sampled_from(["", "+", "#", ".", "/", ";", "?", "&"]),
    names,
    st.sampled_from(["", "*", ":3"]),
)


@settings(PROFILE)
@given(st.lists(modified | literals, max_size=4).map("".join), st.dictionaries(names, composites, max_size=6))
def test_composite_values_and_modifiers_are_uritemplates(template: str, given_values: dict[str, Any]) -> None:
    try:
        expected = URITemplate(template).expand(given_values)
    except Exception:
        assume(False)  # it raises for a prefix of a mapping, which RFC 6570 §2.4.1 does not define
    assert UrlTemplate.parse(template).expand(given_values) == expected


@settings(PROFILE)
@given(template_parts(optional=False), st.data())
def test_what_was_expanded_matches_and_expands_again(parts: list[str], data: st.DataObject) -> None:
    template = UrlTemplate.parse("".join(parts))
    chosen = {name: data.draw(st.text(min_size=1, max_size=5).filter(encodable)) for name in template.variables}
    target = template.expand(chosen)
    assume("?" not in target and "#" not in target)
    found = template.match(target)
    assert found is not None
    assert normalise(template.expand(found)) == normalise(target)
    if "-" not in target.replace("{", "") and all(part in ("/", "/x/", "{a}", "{b}", "{c}") for part in parts):
        assert found == chosen  # with only "/" between simple variables there is one way to cut


def encodable(text: str) -> bool:
    # `{+x}` copies escapes as they are, and matching decodes them: such values do not come back
    return "%" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


# --- totality -----------------------------------------------------------------------------------------------


def inside(error: TemplateError, text: str) -> bool:
    start, end = error.span
    return error.source == text and 0 <= start <= end <= len(text)


anything = st.text(max_size=30) | st.text("{}+#./;?&,:*ab%1=", max_size=20).map(lambda text: f"/{text}")


@settings(PROFILE)
@given(anything, anything, values)
def test_nothing_but_a_template_error_is_raised(text: str, target: str, given_values: dict[str, Any]) -> None:
    try:
        template = UrlTemplate.parse(text)
    except TemplateError as error:
        assert inside(error, text)  # noqa: PT017 - most texts are templates
        return
    assert escape(template.expand(given_values)).isascii()
    try:
        matcher = template.matcher()
    except TemplateError as error:
        assert inside(error, text)  # noqa: PT017
        return
    assert isinstance(matcher.elements, tuple)
    assert matcher.is_exact == (matcher.path != "")
    template.match(target)
    matcher.match(target, target.split("/")[1:], target)
    matcher.explain(target, target)


@settings(PROFILE)
@given(st.text() | st.text("%4142cCfF/~ é"))
def test_normalising_is_idempotent(text: str) -> None:
    once = normalise(text)
    assert normalise(once) == once
    assert once.isascii()
    assert escape(escape(text)) == escape(text)


@pytest.mark.parametrize("query", ["k=1", "k=1&k=2", "z=0&k=1", ""])
def test_other_parameters_never_stand_in_the_way(query: str) -> None:
    template = UrlTemplate.parse("/x{?k}")
    found = template.match(f"/x?{query}")
    assert found == ({"k": "1"} if "k" in query else {})
