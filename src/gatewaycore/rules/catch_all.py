"""Package type `catch-all`: everything on one domain that nothing else answers, to the same path on another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from attrs import define, frozen

from gatewaycore.decision import STATUSES, Decision, Redirect, redirect_status
from gatewaycore.errors import ConfigError, Problem
from gatewaycore.event import Observation
from gatewaycore.outgoing import authority, carry, safe_path, wire_path
from gatewaycore.request import Request
from gatewaycore.route import Everything, Match, Route
from gatewaycore.rules.file import NOT_SAFE
from gatewaycore.rules.variables import Subject


@frozen(kw_only=True)
class CatchAllRule:
    """Settings of a `catch-all` package.

    Attributes:
        name, domain, id, redirect_status, priority: as a `file` package has them.
        redirect_target_domain: ``acme.com``, with a port or a scheme (``http://``) where it needs one.
    """

    name: str
    domain: str
    redirect_target_domain: str
    id: str | None = None
    redirect_status: int = 302
    priority: int = 0

    def compile(self) -> Sequence[Route]:
        """Make the route.

        Raises:
            ConfigError: the target is no domain, or the status no redirect.
        """
        problems: list[Problem] = []
        if self.redirect_status not in STATUSES:
            problems.append(Problem("redirect-status", f"{self.redirect_status} is no redirect", "301, 302, 303, 307 or 308"))
        text = self.redirect_target_domain
        origin = (text if "://" in text else f"https://{text}").rstrip("/")
        if authority(origin) is None or origin.count("/") != 2 or "?" in origin or "#" in origin:
            problems.append(Problem("redirect-target-domain", f"{text!r} is no domain", "a host such as acme.com, without a path"))
        if problems:
            raise ConfigError(problems)
        subject = Subject(self.id or self.name, "catch-all", "download")
        return [CatchAllRoute(self.domain, self.priority, subject, origin, self.redirect_status)]


@define(slots=True, eq=False)
class CatchAllRoute:
    """A compiled catch-all."""

    steady: ClassVar[bool] = True

    domain: str
    priority: int
    subject: Subject
    origin: str
    status: int

    @property
    def pattern(self) -> Everything:
        """Every path."""
        return _EVERYTHING

    @property
    def label(self) -> str:
        """The domain, and that it is the catch-all."""
        return f"{self.domain}/*"

    @property
    def package(self) -> str:
        """The package's id or name."""
        return self.subject.package

    def decide(self, request: Request, match: Match) -> Decision:
        """Redirect to the same path and query on the target."""
        if not safe_path(request.path):
            return NOT_SAFE
        return Redirect(carry(self.origin + wire_path(request.path), request.query), redirect_status(self.status, request.method))

    def observe(self, request: Request, match: Match, entry: Mapping[str, str] | None = None) -> Observation | None:
        """Return a download, with the query's variables."""
        return self.subject.observe(self.label, match.variables, request.query)


_EVERYTHING = Everything()
