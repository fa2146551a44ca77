"""Lint: what is odd about compiled rules although every one of them can be used.

Rules that can never win, pairs that no order can tell apart, variables that stay empty, targets without TLS, credentials that nobody
checks. Asks the router itself who answers a sample request, so that it cannot disagree with it; knows nothing of files and their lines.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, combinations_with_replacement, islice
from typing import Any, Literal, TypeAlias

from attrs import frozen

from gatewaycore.request import Request
from gatewaycore.route import Api, Everything, Match, Regex, Route
from gatewaycore.router import Router
from gatewaycore.rules.container.registry import RegistryRoute
from gatewaycore.rules.container.route import ContainerRoute
from gatewaycore.template import Matcher, Open, Tail
from gatewaycore.template.overlap import ends, is_loose, overlap
from gatewaycore.template.sample import readable, samples
from gatewaycore.trie import Rank, rank, standing

Kind: TypeAlias = Literal["ambiguous", "shadowed", "unreachable-variable", "unnamed-variable", "insecure-target", "no-login"]

# How many partners each rule is compared with among those that might meet it on one path: it keeps the whole linear.
_PARTNERS = 64

# With how many of them a request is looked for that takes walking through both templates.
_WALKED = 8


@frozen
class Clash:
    """Two routes of which `loser` can never win ("shadowed"), or which rank equal and meet on some path ("ambiguous").

    Attributes:
        kind: "shadowed" or "ambiguous".
        winner: who answers `example`.
        loser: who matches it too.
        example: a path that both match, with its query.
    """

    kind: Literal["ambiguous", "shadowed"]
    winner: Route
    loser: Route
    example: str


@frozen
class Finding:
    """One thing that works and is most likely not what was meant.

    Attributes:
        kind: for machines.
        where: the label of the rule.
        package: whose rule it is, or None.
        what: what is odd.
        hint: what to write instead.
    """

    kind: Kind
    where: str
    package: str | None
    what: str
    hint: str


def lint(router: Router) -> Iterator[Finding]:
    """Iterate over everything odd about the rules of `router`."""
    for clash in clashes(router):
        yield _told(clash)
    yield from _variables(router.routes())
    yield from _targets(router.routes())
    yield from _logins(router.routes())


# --- rules against rules -------------------------------------------------------------------------------------------------


def clashes(router: Router) -> Iterator[Clash]:
    """Iterate over the rules that can never win, and the pairs that no order can tell apart: each rule once as the loser.

    Ambiguous is what `rank` does not tell apart; that `standing` decides it nevertheless, whatever the order in the file, nobody has asked
    for. Takes time in proportion to the number of rules, and is sound: whoever is reported loses. It is not complete: of many rules that
    may meet on some paths only, each is compared with the nearest by their literal beginning and end.
    """
    for domain in router.domains:
        routes = list(router.routes(domain))
        templates = [(route, route.pattern) for route in routes if isinstance(route.pattern, Matcher)]
        lost: set[int] = set()
        for route, matcher in templates:
            clash = _beaten(router, domain, route, matcher)
            if clash is not None:
                lost.add(id(route))
                yield clash
        left = [(route, matcher) for route, matcher in templates if id(route) not in lost]
        for clash in chain(_crossing(left), _overlapping(left)):
            if id(clash.loser) not in lost:
                lost.add(id(clash.loser))
                yield clash
        yield from _loose(routes)
        for route in routes:
            # A protocol's route may know pairs of its own: two packages that claim the same image.
            for first, second in getattr(route, "ambiguous", ()):
                yield Clash("ambiguous", first, second, second.label.removeprefix(domain))


def _find(router: Router, domain: str, path: str, query: str) -> Match | None:
    return router.find(Request("GET", domain, path, query))


def _beaten(router: Router, domain: str, route: Route, matcher: Matcher) -> Clash | None:
    """Return who answers everything that `route` could, if one rule does."""
    found: list[Route] = []
    path = query = ""
    for path, query in samples(matcher):
        match = _find(router, domain, path, query)
        if match is None or match.route is route or (found and match.route is not found[0]):
            return None
        found.append(match.route)
    winner = found[0]
    same = isinstance(winner.pattern, Matcher) and _standing(winner, winner.pattern) == _standing(route, matcher)
    return Clash("ambiguous" if same else "shadowed", winner, route, _target(path, query))


def _ambiguous(one: Route, other: Route, path: str, query: str) -> Clash:
    winner, loser = sorted((one, other), key=standing)
    return Clash("ambiguous", winner, loser, _target(path, query))


def _standing(route: Route, matcher: Matcher) -> tuple[bool, Rank]:
    return matcher.is_exact, rank(matcher, route.priority)


def _target(path: str, query: str) -> str:
    return f"{path}?{query}" if query else path


_Shape: TypeAlias = tuple[bool, ...]
_Template: TypeAlias = tuple[Route, Matcher]


def _crossing(templates: Sequence[_Template]) -> Iterator[Clash]:
    """Iterate over pairs that are equally specific, and of which each has paths of its own: ``/{a}/x`` and ``/x/{b}`` meet on ``/x/x``."""
    groups: dict[tuple[bool, Rank, int], dict[_Shape, list[_Template]]] = defaultdict(lambda: defaultdict(list))
    for route, matcher in templates:
        elements = matcher.elements
        if not any(isinstance(element, Tail) for element in elements):
            shape = tuple(isinstance(element, str) for element in elements)
            groups[*_standing(route, matcher), len(elements)][shape].append((route, matcher))
    for shapes in groups.values():
        lost: set[int] = set()
        for one, other in combinations_with_replacement(shapes, 2):
            yield from _meet(shapes[one], shapes[other], [a and b for a, b in zip(one, other, strict=True)], lost)


def _meet(ones: Iterable[_Template], others: Iterable[_Template], fixed: Sequence[bool], lost: set[int]) -> Iterator[Clash]:
    """Iterate over the pairs of two groups that meet; where `fixed`, both are literal and must be equal."""
    places = [place for place, literal in enumerate(fixed) if literal]

    def key(matcher: Matcher) -> tuple[object, ...]:
        elements = matcher.elements
        return tuple(elements[place] for place in places)

    buckets: dict[tuple[object, ...], list[_Template]] = defaultdict(list)
    for template in others:
        buckets[key(template[1])].append(template)
    for route, matcher in ones:
        for other, others_matcher in islice(buckets.get(key(matcher), ()), _PARTNERS):
            if other is route or id(other) in lost:
                continue
            met = _common(matcher, others_matcher)
            if met is None:
                continue
            clash = _ambiguous(route, other, *met)
            if id(clash.loser) not in lost:
                lost.add(id(clash.loser))
                yield clash
            break


def _overlapping(templates: Sequence[_Template]) -> Iterator[Clash]:
    """Iterate over pairs that are equally specific and meet, where for one of them it takes more than a look at each segment."""
    groups: dict[tuple[bool, Rank], list[_Template]] = defaultdict(list)
    for route, matcher in templates:
        groups[_standing(route, matcher)].append((route, matcher))
    for group in groups.values():
        if len(group) > 1 and any(is_loose(matcher) for _, matcher in group):
            placed = [(*ends(matcher), route, matcher) for route, matcher in group]
            yield from _near(placed)
            # By their ends too: what is crowded in one order seldom is in the other.
            yield from _near([(ending[::-1], opening[::-1], route, matcher) for opening, ending, route, matcher in placed])


def _near(placed: Iterable[tuple[str, str, Route, Matcher]]) -> Iterator[Clash]:
    """Iterate over those that meet out of pairs of which one begins as the other does; `placed` by that, and by how they go on."""
    ordered = sorted(placed, key=lambda one: one[:2])
    for number, (opening, ending, route, matcher) in enumerate(ordered):
        walked = 0
        for other_opening, other_ending, other, others_matcher in islice(ordered, number + 1, number + 1 + _PARTNERS):
            if walked == _WALKED or not other_opening.startswith(opening):
                break
            short, long = sorted((ending, other_ending), key=len)
            if not long.endswith(short):
                continue
            if is_loose(matcher) or is_loose(others_matcher):
                walked += 1
                met = overlap(matcher, others_matcher)
                if met is not None:
                    yield _ambiguous(route, other, *met)


def _common(one: Matcher, other: Matcher) -> tuple[str, str] | None:
    """Return a path and a query that both match, if there are any that can be written down segment by segment."""
    mine, query = samples(one)[-1]
    theirs, other_query = samples(other)[-1]
    segments = []
    for a, b, own, foreign in zip(one.elements, other.elements, mine.split("/")[1:], theirs.split("/")[1:], strict=False):
        segment = _segment(a, b, own, foreign)
        if segment is None:
            return None
        segments.append(segment)
    path = "/" + "/".join(segments)
    parameters = list(dict.fromkeys(pair for pair in (*query.split("&"), *other_query.split("&")) if pair))
    if len({pair.partition("=")[0] for pair in parameters}) < len(parameters):
        # One parameter with two values: nobody means that, and "?os=linux" and "?os=macos" are told apart well enough.
        return None
    pairs = "&".join(parameters)
    # Inner literals and repeated variables were left aside: the matchers have the last word.
    if all(matcher.match(path, segments, pairs) is not None for matcher in (one, other)):
        return path, pairs
    return None


def _segment(a: str | Open | Tail, b: str | Open | Tail, own: str, foreign: str) -> str | None:
    if isinstance(a, str):
        return a
    if isinstance(b, str):
        return b
    prefix = a.prefix if a.prefix.startswith(b.prefix) else b.prefix
    suffix = a.suffix if a.suffix.endswith(b.suffix) else b.suffix
    middle = own[len(a.prefix) : len(own) - len(a.suffix)]
    if (a.prefix, a.suffix) != (b.prefix, b.suffix):
        middle += foreign[len(b.prefix) : len(foreign) - len(b.suffix)]
    return f"{prefix}{middle}{suffix}"


def _loose(routes: Sequence[Route]) -> Iterator[Clash]:
    """Iterate over regular expressions and catch-alls that can never win."""
    seen: dict[str, Route] = {}
    everything: Route | None = None
    spanning = next((route for route in routes if isinstance(route.pattern, Matcher) and _takes_all(route.pattern)), None)
    for route in routes:
        pattern = route.pattern
        if isinstance(pattern, Regex):
            earlier = seen.setdefault(pattern.source, route)
            if earlier is not route:
                yield Clash("shadowed", earlier, route, f"whatever {pattern.source} matches")
            elif spanning is not None and pattern.fullmatch("/") is None:
                yield Clash("shadowed", spanning, route, "/anything")
        elif isinstance(pattern, Everything):
            if everything is not None:
                yield Clash("ambiguous" if everything.priority == route.priority else "shadowed", everything, route, "/anything")
            everything = everything or route


def _takes_all(matcher: Matcher) -> bool:
    """Tell whether it matches every path but "/": ``/{+x}``."""
    return matcher.elements == (Tail("", ""),) and not matcher.required_query and matcher.variable_count == 1


def _told(clash: Clash) -> Finding:
    winner, loser, example = clash.winner, clash.loser, readable(clash.example)
    by = f"{winner.label} ({winner.package})" if winner.package else winner.label
    if clash.kind == "shadowed":
        return Finding(
            "shadowed",
            loser.label,
            loser.package,
            f"can never win: {by} answers {example} and all the others",
            "remove one of the two",
        )
    what = f"matches {example}, and so does {by}: neither is more specific"
    return Finding("ambiguous", loser.label, loser.package, what, "give the one that should win a higher priority")


# --- a rule by itself ----------------------------------------------------------------------------------------------------


def _variables(routes: Iterable[Route]) -> Iterator[Finding]:
    """Iterate over variables of an outgoing URL that nothing fills, and over `variables:` that no path of their package names."""
    meanings: dict[int, tuple[Any, Route, set[str]]] = {}
    for route in routes:
        named = set(_named(route))
        expander = getattr(getattr(route, "outgoing", None), "expander", None)
        for name in () if expander is None else expander.variables:
            if name not in named:
                what = f"the outgoing URL holds {{{name}}}, which the incoming path does not name: it is always empty"
                hint = f"the path names {', '.join(sorted(named))}" if named else "the path names no variable"
                yield Finding("unreachable-variable", route.label, route.package, what, hint)
        subject = getattr(route, "subject", None)
        if subject is not None:
            meanings.setdefault(id(subject), (subject.meaning, route, set()))[2].update(named)
    for meaning, route, names in meanings.values():
        for column in type(meaning).__annotations__:
            name = getattr(meaning, column)
            if name and name not in (column, *names):
                what = f"variables: {column} is taken from {name!r}, which no path of the package names"
                yield Finding(
                    "unnamed-variable",
                    route.label,
                    route.package,
                    what,
                    "fine where a query or a body brings it; else a path should name it",
                )


def _named(route: Route) -> Iterable[str]:
    pattern = route.pattern
    if isinstance(pattern, Matcher):
        return pattern.variables
    if isinstance(pattern, Regex):
        return tuple(getattr(getattr(pattern.fullmatch, "__self__", None), "groupindex", ()))
    return ()


def _targets(routes: Iterable[Route]) -> Iterator[Finding]:
    for route in routes:
        origin = getattr(getattr(route, "outgoing", route), "origin", None)
        if isinstance(origin, str) and origin.lower().startswith("http://") and not isinstance(route.pattern, Api):
            what = f"leads to {origin}: whoever sits between can change what is downloaded"
            yield Finding("insecure-target", route.label, route.package, what, "use https:// where the target has it")
        yield from _sources(route)


def _sources(route: Route) -> Iterator[Finding]:
    """Iterate over indexes that are read without TLS. What they say of hashes is no help then: it can be changed as well."""
    listed = getattr(route, "sources", None)
    told: set[str] = set()
    for package, source in () if listed is None else listed():
        # What may be inside of a network is on a way that somebody has thought of.
        if source.url.startswith("http://") and not source.private and source.url not in told:
            told.add(source.url)
            what = f"is read from {source.url}: whoever sits between can change what is installed, and its hashes with it"
            yield Finding("insecure-target", route.label, package, what, "use https:// where the index has it")


def _logins(routes: Iterable[Route]) -> Iterator[Finding]:
    """Iterate over domains whose images may want credentials, of several registries of which none is named to check them."""
    for route in routes:
        if not isinstance(route, RegistryRoute) or route.mode != "own" or route.tokens.takes_logins:
            continue
        wanting = [one for one in route.routes if _may_want_credentials(one)]
        if wanting:
            registries, image = ", ".join(dict.fromkeys(one.place.backend.registry for one in wanting)), wanting[0].image
            what = f"docker login is refused here: nobody checks credentials for {registries}, and {image} is not said to be public"
            yield Finding("no-login", route.label, None, what, "name one of them under login-backend, or write public: true")


def _may_want_credentials(route: ContainerRoute) -> bool:
    return route.takes_tokens and route.way.strategy != "redirect" and route.place.backend.credentials is None and not route.way.public


__all__ = ["Clash", "Finding", "Kind", "clashes", "lint"]
