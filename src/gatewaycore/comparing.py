"""Comparing: two configurations, by their rules, and by what each would answer to the same requests.

Requests come from files of requests, or from events. An event holds what was kept of its request and no more: its path is put together from
the rule that won and the variables that it found, and believed only where the old configuration answers it as the event says. What cannot
be told is counted, with why, and with what has become of its rule.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import attrs
from attrs import define, field, frozen

from gatewaycore.config import Beside, Config, Reader, read_config
from gatewaycore.config.faults import kebab
from gatewaycore.errors import ConfigError, Problem, RequestError
from gatewaycore.event import Event
from gatewaycore.gateway import Gateway
from gatewaycore.lint import Finding, lint
from gatewaycore.plugins import rosters
from gatewaycore.recorder import decode
from gatewaycore.route import Route, Rule, package_of
from gatewaycore.rulebook import Rulebook
from gatewaycore.rules import RULES, CollectionRule
from gatewaycore.segments import UNREADABLE, segments
from gatewaycore.sources import DirectorySource, HttpSource
from gatewaycore.sources.fetching import FetchError, fetch
from gatewaycore.template import Matcher, UrlTemplate
from gatewaycore.testing import Seen, simulate

_NAMES: Final = ("gateway.yaml", "gateway.yml", "gateway.json")
_TAGS: Final[Mapping[type, str]] = {CollectionRule: "collection", **{cls: tag for tag, cls in RULES.items()}}
_HIDDEN: Final = "(not shown)"
_NO_ANSWERS: Final = ("sinks", "enrich", "operations", "traces")

_log = logging.getLogger("gatewaycore.comparing")

NO_PATH: Final = "the event does not hold enough of its path"
NO_RULE: Final = "the old configuration has no such rule"
UNLIKE: Final = "the old configuration answers otherwise than the event says"
NO_EVENT: Final = "the line is no event"
DERIVED: Final = "pulls, whose manifests are events too"


def open_side(text: str) -> Config:
    """Read one of two configurations: a file, a folder with a gateway.yaml or with packages of teams, or a URL.

    Raises:
        GatewayError: it cannot be read or used.
    """
    if text.startswith(("http://", "https://")):
        try:
            fetched = fetch(HttpSource(url=text))
        except FetchError as error:
            raise ConfigError([Problem(text, str(error))]) from error
        return read_config(Beside(text, fetched.document.text), rosters=rosters(), environ={})
    path = Path(text)
    if path.is_dir():
        inside = next((path / name for name in _NAMES if (path / name).is_file()), None)
        if inside is None:
            found = DirectorySource(path=text).peek(path).documents()
            unread = [Problem(one.name, one.error) for one in found if one.error]
            if unread or not found:
                hint = f"{_NAMES[0]}, or files with packages"
                raise ConfigError(unread or [Problem(text, "holds no configuration", hint)])
            return read_config({}, rosters=rosters(), beside=[Beside(one.name, one.text) for one in found])
        path = inside
    book = Rulebook.peek(path, Reader(path, rosters=rosters), goes_back=False)
    trial = book.read()
    for one in book.set_aside(trial):
        _log.warning("%s; the last good copy is compared", one)
    return trial.config


# --- rules ---------------------------------------------------------------------------------------------------------------


@frozen
class RuleChange:
    """A rule that is not the same in both, or the settings of the gateway.

    Attributes:
        kind: "added", "removed" or "changed".
        what: "file tool on get.acme.com".
        keys: of a change, each key with what it was and what it is.
    """

    kind: str
    what: str
    keys: Mapping[str, tuple[str, str]] = field(factory=dict)


def compare_rules(old: Config, new: Config) -> list[RuleChange]:
    """Return what was removed, changed and added, in this order."""
    before, after = _named(old), _named(new)
    removed = [RuleChange("removed", what) for what in before if what not in after]
    added = [RuleChange("added", what) for what in after if what not in before]
    pairs = [(what, one, after[what]) for what, one in before.items() if what in after]
    changed = [RuleChange("changed", what, _keys(one, other)) for what, one, other in pairs if one != other]
    return [*removed, *changed, *added]


def other_sections(old: Config, new: Config) -> list[str]:
    """Return the sections that are not the same in both and are no part of an answer, so that they are not compared."""
    return [name for name in _NO_ANSWERS if getattr(old, name) != getattr(new, name)]


def new_findings(old: Config, new: Config) -> list[Finding]:
    """Return what is odd about the rules of `new` and was not about those of `old`: a rule that is the same may win no more."""
    before = {(one.kind, one.where, one.what) for one in lint(old.compile().router)}
    return [one for one in lint(new.compile().router) if (one.kind, one.where, one.what) not in before]


def _named(config: Config) -> dict[str, object]:
    found: dict[str, object] = {"gateway": config.gateway}
    if config.badges is not None:
        found["badges"] = config.badges
    if config.console is not None:
        # All that the gateway's own answers know of it.
        found["console"] = _Console(config.console.domain)
    for rule in config.rules:
        name = getattr(rule, "name", None) or getattr(rule, "pattern", None) or ""
        called = f"{_TAGS.get(type(rule), type(rule).__name__)} {name} on {getattr(rule, 'domain', '')}"
        what, number = called, 1
        while what in found:
            number += 1
            what = f"{called}, number {number}"
        found[what] = rule
    return found


@frozen
class _Console:
    domain: str


def _keys(one: Any, other: Any) -> dict[str, tuple[str, str]]:
    found: dict[str, tuple[str, str]] = {}
    for key in attrs.fields(type(one)):
        before, after = getattr(one, key.name), getattr(other, key.name)
        if before != after:
            found[kebab(key.name)] = (_shown(before), _shown(after)) if key.repr else (_HIDDEN, _HIDDEN)
    return found


def _shown(value: Any) -> str:
    return "nothing" if value is None else str(value)


# --- requests ------------------------------------------------------------------------------------------------------------


@frozen
class Asked:
    """A request to compare by.

    Attributes:
        method: "GET".
        url: absolute.
        headers: field lines.
        body: bytes.
        client_ip: who calls.
    """

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    client_ip: str = ""


@define
class Recorded:
    """Requests, how often each was made, and what cannot be told.

    Attributes:
        asked: requests, with how often.
        untold: reasons and the rules that events name, "" where the line is none; with how many events.
    """

    asked: Counter[Asked] = field(factory=Counter)
    untold: Counter[tuple[str, str]] = field(factory=Counter)


def read_events(path: Path, old: Gateway) -> Recorded:
    """Return the requests that events tell of.

    Args:
        path: a data-dir, a journal, or a file with an event in each line.
        old: the configuration by which they were answered.

    Raises:
        ConfigError: there are none.
    """
    journal = path / "journal" if (path / "journal").is_dir() else path
    files = segments(journal) if journal.is_dir() else [journal]
    if not files:
        raise ConfigError([Problem(str(path), "holds no segment of a journal", "a data-dir, a journal, or a file of events")])
    told: Counter[tuple[Asked, str, str, int]] = Counter()
    untold: Counter[tuple[str, str]] = Counter()
    routes = {route.label: route for route in _routes(old)}
    for file in files:
        with file.open("rb") as lines:
            for line in lines:
                try:
                    event = decode(line)
                except UNREADABLE:
                    untold[NO_EVENT, ""] += 1
                    continue
                asked = _asked(event, routes)
                if isinstance(asked, str):
                    untold[asked, event.rule] += 1
                else:
                    told[asked, event.rule, event.decision, event.status] += 1
    return _believed(told, untold, old)


def _believed(told: Mapping[tuple[Asked, str, str, int], int], untold: Counter[tuple[str, str]], old: Gateway) -> Recorded:
    """Keep the requests that the old configuration answers as their events say."""
    believed = Recorded(untold=untold)
    for (asked, rule, decision, status), count in told.items():
        seen = _ask(old, asked)
        said = seen is not None and (seen.rule, seen.decision) == (rule, decision) and (decision == "proxy" or seen.status == status)
        if said:
            believed.asked[asked] += count
        else:
            believed.untold[UNLIKE, rule] += count
    return believed


@frozen
class Untold:
    """Events of which it cannot be told what their requests would be answered with.

    Attributes:
        reason: why.
        rule: that has answered, "" where the line is no event.
        count: how many.
        fate: of the rule: "same" in both, "changed", "gone" in the new configuration, or "unknown" in the old one.
    """

    reason: str
    rule: str
    count: int
    fate: str

    @property
    def may_differ(self) -> bool:
        """Whether its rule is not what it was."""
        return self.fate in ("changed", "gone")


def untold_of(recorded: Recorded, old: Config, new: Config) -> list[Untold]:
    """Return what cannot be told of requests, with what has become of their rules; the most frequent first."""
    labels = {rule for _, rule in recorded.untold if rule}
    before, after = _settings(old, labels), _settings(new, labels)

    def fate(rule: str) -> str:
        if rule not in before:
            return "unknown"
        return "gone" if rule not in after else "same" if before[rule] == after[rule] else "changed"

    return [Untold(reason, rule, count, fate(rule)) for (reason, rule), count in recorded.untold.most_common()]


def _settings(config: Config, labels: Collection[str]) -> dict[str, list[Rule]]:
    """Return the settings that the routes with these labels were compiled from: of all those that are called alike."""
    packages = {route.label: route.package for route in _routes(config.compile()) if route.label in labels}
    wanted: dict[str, list[Rule]] = {}
    for rule in config.rules:
        wanted.setdefault(_called(rule), []).append(rule)
    return {label: wanted.get(package or label, wanted.get(label, [])) for label, package in packages.items()}


def _called(rule: Rule) -> str:
    return package_of(rule) or f"{getattr(rule, 'domain', '')}/{getattr(rule, 'pattern', '')}"


def _routes(gateway: Gateway) -> Iterator[Route]:
    for route in gateway.router.routes():
        yield route
        yield from getattr(route, "routes", ())


def _asked(event: Event, routes: Mapping[str, Route]) -> Asked | str:
    """Return the request of an event, or why it cannot be told."""
    if event.kind == "pull":
        return DERIVED
    route = routes.get(event.rule)
    if route is None:
        return NO_RULE
    path = _path(event, route)
    if path is None:
        return NO_PATH
    agent = (("user-agent", event.user_agent),) if event.user_agent else ()
    return Asked(event.method, f"https://{event.domain}{path}", agent)


def _path(event: Event, route: Route) -> str | None:
    if isinstance(route.pattern, Matcher):
        source = getattr(route, "source", None)
        return UrlTemplate.parse(source).expand(dict(event.variables)) if isinstance(source, str) else None
    if event.package_type == "container" and event.kind == "manifest" and event.version:
        # A collection's rule names a pattern, and its event the image.
        named = event.rule.partition("/")[2]
        image = event.package if not named or "*" in named else named
        return f"/v2/{image}/manifests/{event.version}"
    return None


# --- answers -------------------------------------------------------------------------------------------------------------


@frozen
class Answer:
    """What a configuration answers.

    Attributes:
        rule: that wins, None when none does.
        decision: "redirect", "proxy" or "respond"; "refused" for what is no request.
        status: of the answer.
        leads_to: the Location, or the first URL of the upstream.
    """

    rule: str | None
    decision: str
    status: int
    leads_to: str | None

    @property
    def words(self) -> str:
        """The answer without where exactly it leads: what many requests have in common."""
        host = (self.leads_to or "").partition("://")[2].partition("/")[0]
        return f"{self.decision} {self.status}" + (f" to {host}" if host else "")


@frozen
class Sample:
    """One request that is answered differently, and how often it was made."""

    asked: Asked
    count: int
    old: Answer
    new: Answer


@define
class Group:
    """Requests that the same rules answer differently in the same way.

    Attributes:
        old, new: the rule, and the words of its answers.
        requests: how many requests were made.
        distinct: how many different ones.
        samples: a few of them.
    """

    old: tuple[str | None, str]
    new: tuple[str | None, str]
    requests: int = 0
    distinct: int = 0
    samples: list[Sample] = field(factory=list)


@frozen
class Compared:
    """What came of comparing. `groups` begin with the largest."""

    groups: Sequence[Group]
    requests: int
    distinct: int

    @property
    def differing(self) -> int:
        """How many requests are answered differently."""
        return sum(group.requests for group in self.groups)


def compare_answers(old: Gateway, new: Gateway, asked: Mapping[Asked, int], samples: int = 3) -> Compared:
    """Ask both, and return where they differ: in decision, status, or where it leads.

    Args:
        old, new: the gateways.
        asked: requests, with how often each was made.
        samples: how many of each group are kept.
    """
    groups: dict[tuple[object, ...], Group] = {}
    for one, count in asked.items():
        before, after = _answer(old, one), _answer(new, one)
        if (before.decision, before.status, before.leads_to) == (after.decision, after.status, after.leads_to):
            continue
        keys = (before.rule, before.words), (after.rule, after.words)
        group = groups.setdefault(keys, Group(*keys))
        group.requests += count
        group.distinct += 1
        if len(group.samples) < samples:
            group.samples.append(Sample(one, count, before, after))
    largest = sorted(groups.values(), key=lambda group: -group.requests)
    return Compared(largest, sum(asked.values()), len(asked))


def _answer(gateway: Gateway, asked: Asked) -> Answer:
    seen = _ask(gateway, asked)
    if seen is None:
        return Answer(None, "refused", 400, None)
    return Answer(seen.rule, seen.decision, seen.status, seen.location or seen.upstream)


def _ask(gateway: Gateway, asked: Asked) -> Seen | None:
    try:
        return simulate(gateway, asked.method, asked.url, headers=asked.headers, body=asked.body, client_ip=asked.client_ip)
    except RequestError:
        return None
