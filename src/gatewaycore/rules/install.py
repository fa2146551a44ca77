"""Install events: ``POST /package-event/install[/<package>]`` with a JSON object that names the package or describes the install."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import ClassVar

from attrs import define, evolve, frozen

from gatewaycore.decision import TEXT, Collect, Decision, Reception, Respond
from gatewaycore.event import Observation
from gatewaycore.headers import Headers
from gatewaycore.request import Request
from gatewaycore.route import Match, Pattern, Route
from gatewaycore.rules.file import RouteSettings, pattern, too_many
from gatewaycore.rules.limits import DEFAULT_LIMITS, Limits
from gatewaycore.rules.variables import BodyError, Subject, TooManyEventsError, body_entries

_NOT_ALLOWED = Respond(405, Headers([("allow", "POST"), *TEXT.items()]), b"an install is reported with POST\n")


@frozen(kw_only=True)
class InstallRule:
    """Settings of the endpoint that package managers' hooks report installs to.

    Attributes:
        name: the package of reports that name none.
        domain: where it is served.
        path: the endpoint, with and without the package behind it.
        limits: bounds on the body.
    """

    name: str
    domain: str
    id: str | None = None
    path: str = "/package-event/install"
    priority: int = 0
    limits: Limits = DEFAULT_LIMITS

    def compile(self) -> Sequence[Route]:
        """Make a route for the endpoint, and one for the endpoint with a package.

        Raises:
            TemplateError: the path cannot be compiled.
        """
        subject = Subject(self.id or self.name, "install", "install")
        return [
            InstallRoute(self.domain, text, pattern(RouteSettings(incoming_path=text)), self.priority, subject, self.limits)
            for text in (self.path, f"{self.path}/{{+package}}")
        ]


@define(slots=True, eq=False)
class InstallRoute:
    """A compiled install endpoint."""

    steady: ClassVar[bool] = False

    domain: str
    source: str
    pattern: Pattern
    priority: int
    subject: Subject
    limits: Limits

    @property
    def label(self) -> str:
        """The domain and the path as configured."""
        return self.domain + self.source

    @property
    def package(self) -> str:
        """The package of reports that name none."""
        return self.subject.package

    def decide(self, request: Request, match: Match) -> Decision:
        """Read the report; only POST brings one."""
        if request.method != "POST":
            return _NOT_ALLOWED
        return Collect(self.limits.body_bytes, partial(self._receive, request))

    def _receive(self, request: Request, body: bytes) -> Reception:
        try:
            entries = body_entries(body, self.limits.events_beside(request.path, request.query))
        except TooManyEventsError as error:
            return Reception(too_many(error))
        except BodyError as error:
            return Reception(Respond(422, TEXT, f"{error}\n".encode()))
        if not entries:
            return Reception(Respond(422, TEXT, b"expected a JSON object\n"))
        return Reception(Respond(200), entries)

    def observe(self, request: Request, match: Match, entry: Mapping[str, str] | None = None) -> Observation | None:
        """Return an install of the package in the path or in the body."""
        observation = self.subject.observe(self.label, match.variables, request.query, entry or {})
        return evolve(observation, package=observation.variables.get("package") or self.subject.package)
