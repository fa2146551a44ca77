"""Package type `file`: a path, a template or a regular expression, and where it leads; 200 where it leads nowhere."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

from attrs import define, field, frozen

from gatewaycore.decision import STATUSES, TEXT, Collect, Decision, Reception, Redirect, Respond, redirect_status
from gatewaycore.errors import ConfigError, Problem, TemplateError
from gatewaycore.event import Observation
from gatewaycore.outgoing import Outgoing
from gatewaycore.request import Request
from gatewaycore.route import Match, Pattern, Regex, Route
from gatewaycore.rules.limits import DEFAULT_LIMITS, Limits
from gatewaycore.rules.variables import USUAL, BodyError, Meaning, Subject, TooManyEventsError, body_entries
from gatewaycore.template import UrlTemplate

NOT_SAFE = Respond(400, TEXT, b"this path cannot be part of a URL: it holds a dot segment, a backslash or a control character\n")
EMPTY_OK = Respond(200)
_NAMED_GROUP = re.compile(r"\(\?<(?=[A-Za-z_])")


@frozen(kw_only=True)
class RouteSettings:
    """One way into a package.

    Attributes:
        incoming_path: a path, or an RFC 6570 template of one: ``/{platform}/{version}/x.tgz``.
        incoming_regex: instead of it, an RE2 regular expression that the whole path must match; named groups are variables.
        outgoing_url: where it leads, a template over the same variables; without it the answer is 200.
        priority: settles ties; the higher wins.
    """

    incoming_path: str | None = None
    incoming_regex: str | None = None
    outgoing_url: str | None = None
    priority: int = 0


@frozen(kw_only=True)
class FileRule:
    """Settings of a `file` package. One route may stand on the package itself.

    Attributes:
        name: what it is called.
        domain: where it is served.
        id: stands for the package in events instead of its name.
        routes: the ways in.
        redirect_status: 301, 302, 303, 307 or 308.
        variables: which variable fills a column: ``{version: release}``.
        allowed_hosts: hosts an outgoing URL may lead to when variables reach its authority.
        limits: bounds on a POSTed body.
    """

    name: str
    domain: str
    id: str | None = None
    incoming_path: str | None = None
    incoming_regex: str | None = None
    outgoing_url: str | None = None
    routes: tuple[RouteSettings, ...] = ()
    redirect_status: int = 302
    priority: int = 0
    variables: Mapping[str, str] = field(factory=dict)
    allowed_hosts: tuple[str, ...] = ()
    limits: Limits = DEFAULT_LIMITS

    def compile(self) -> Sequence[Route]:
        """Make one route of each way in.

        Raises:
            ConfigError: a path, an expression or a URL cannot be compiled; there is no way in, or two in one. Holds all that is wrong.
        """
        problems: list[Problem] = []
        if self.redirect_status not in STATUSES:
            problems.append(Problem("redirect-status", f"{self.redirect_status} is no redirect", "301, 302, 303, 307 or 308"))
        found = meaning(self.variables, problems)
        subject = Subject(self.id or self.name, "file", "download", found)
        allowed = frozenset(host.lower() for host in self.allowed_hosts)
        routes: list[Route] = []
        for at, way in ways(self, problems):
            matched, outgoing = compiled(at, way, allowed, problems)
            if matched is not None and not problems:
                routes.append(
                    FileRoute(
                        domain=self.domain,
                        source=source(way),
                        pattern=matched,
                        priority=way.priority,
                        subject=subject,
                        outgoing=outgoing,
                        status=self.redirect_status,
                        limits=self.limits,
                    )
                )
        if problems:
            raise ConfigError(problems)
        return routes


def ways(rule: Any, problems: list[Problem]) -> Sequence[tuple[str, RouteSettings]]:
    """Return the routes of a rule's settings, with the one that stands on the package itself, each with what its keys begin with.

    Args:
        rule: settings of a package.
        problems: what is wrong is added here: there is no route, or a URL that none of them leads to.
    """
    own, url = getattr(rule, "incoming_regex", None), getattr(rule, "outgoing_url", None)
    listed = tuple([(f"routes[{position}].", way) for position, way in enumerate(rule.routes)])
    if rule.incoming_path is None and own is None:
        if not listed:
            problems.append(Problem("incoming-path", "is missing", "give the package an incoming-path, or a list of routes"))
        elif url is not None:
            problems.append(Problem("outgoing-url", "stands beside routes, without an incoming-path", "write it into a route"))
        return listed
    return (("", RouteSettings(incoming_path=rule.incoming_path, incoming_regex=own, outgoing_url=url, priority=rule.priority)), *listed)


def compiled(at: str, way: RouteSettings, allowed: frozenset[str], problems: list[Problem]) -> tuple[Pattern | None, Outgoing | None]:
    """Return what a route matches and where it leads.

    Args:
        at: what the keys of the route begin with: "", or "routes[1].".
        way: its settings.
        allowed: see `Outgoing.compile`.
        problems: whatever is wrong is added here.
    """
    matched = outgoing = None
    try:
        matched = pattern(way)
    except TemplateError as error:
        problems.append(Problem(f"{at}incoming-{'path' if way.incoming_path is not None else 'regex'}", str(error)))
    except ConfigError as error:
        problems += [Problem(at + problem.where, problem.what, problem.hint) for problem in error.problems]
    try:
        outgoing = Outgoing.compile(way.outgoing_url, allowed) if way.outgoing_url else None
    except TemplateError as error:
        problems.append(Problem(f"{at}outgoing-url", str(error)))
    return matched, outgoing


def source(way: RouteSettings) -> str:
    """Return what the route is recognised by in `explain` and in events."""
    return way.incoming_path if way.incoming_path is not None else f"~{way.incoming_regex}"


def pattern(way: RouteSettings) -> Pattern:
    """Compile what a route matches.

    Raises:
        TemplateError: it cannot be compiled.
        ConfigError: there is none, or two.
    """
    if (way.incoming_path is None) == (way.incoming_regex is None):
        raise ConfigError([Problem("incoming-path", "give either incoming-path or incoming-regex", "")])
    if way.incoming_path is not None:
        if not way.incoming_path.startswith(("/", "{/")):
            raise TemplateError('an incoming path begins with "/"', way.incoming_path, (0, 1))
        return UrlTemplate.parse(way.incoming_path).matcher()
    return regex(way.incoming_regex or "")


def regex(text: str) -> Regex:
    """Compile a user's regular expression with RE2, which cannot backtrack; PCRE's ``(?<name>…)`` is accepted.

    Raises:
        TemplateError: RE2 does not take it (back-references and look-around are what it leaves out).
    """
    import re2

    options = re2.Options()
    options.log_errors = False
    options.max_mem = 1 << 23
    try:
        compiled = re2.compile(_NAMED_GROUP.sub("(?P<", text), options)
    except re2.error as error:
        raise TemplateError(f"RE2 does not take this regular expression: {_words(error)}", text, (0, len(text))) from error
    return Regex(text, compiled.fullmatch)


def _words(error: Exception) -> str:
    detail = error.args[0] if error.args else ""
    return detail.decode("utf-8", "replace") if isinstance(detail, bytes) else str(detail)


def meaning(overrides: Mapping[str, str], problems: list[Problem]) -> Meaning:
    """Return which variables have a meaning; an override that names no column is added to `problems`."""
    if not overrides:
        return USUAL
    known = set(Meaning.__annotations__)
    unknown = [name for name in overrides if name not in known]
    if unknown:
        problems += [Problem(f"variables.{name}", "no variable with a meaning", f"one of {', '.join(sorted(known))}") for name in unknown]
        return USUAL
    return Meaning(**overrides)


@define(slots=True, eq=False, weakref_slot=False)
class FileRoute:
    """A compiled way into a `file` package. Small: a million of them are held at once."""

    steady: ClassVar[bool] = True

    domain: str
    source: str
    pattern: Pattern
    priority: int
    subject: Subject
    outgoing: Outgoing | None
    status: int
    limits: Limits

    @property
    def label(self) -> str:
        """The domain and the path as configured."""
        return self.domain + self.source

    @property
    def package(self) -> str:
        """The package's id or name."""
        return self.subject.package

    def decide(self, request: Request, match: Match) -> Decision:
        """Redirect, or answer 200; a POST is read first, for the events in it."""
        if request.method in ("POST", "PUT", "PATCH"):
            return Collect(self.limits.body_bytes, partial(self._receive, request, match))
        return self._answer(request, match)

    def _answer(self, request: Request, match: Match) -> Redirect | Respond:
        if self.outgoing is None:
            return EMPTY_OK
        location = self.outgoing.locate(match.variables, request.query)
        if location is None:
            return NOT_SAFE
        method = request.method
        return Redirect(location, self.status if method in ("GET", "HEAD") else redirect_status(self.status, method))

    def _receive(self, request: Request, match: Match, body: bytes) -> Reception:
        answer = self._answer(request, match)
        try:
            return Reception(answer, body_entries(body, self.limits.events_beside(request.path, request.query)))
        except TooManyEventsError as error:
            return Reception(too_many(error))
        except BodyError:
            # A file is served whatever was posted with it: the body is an extra, and what cannot be read of it is left out.
            return Reception(answer)

    def observe(self, request: Request, match: Match, entry: Mapping[str, str] | None = None) -> Observation | None:
        """Return a download, with every variable of path, query and body."""
        return self.subject.observe(self.domain + self.source, match.variables, request.query, entry or {})


def too_many(error: TooManyEventsError) -> Respond:
    """Return the answer to a body with more events than the limit (RFC 9110 §15.5.14)."""
    return Respond(413, TEXT, f"{error}\n".encode())
