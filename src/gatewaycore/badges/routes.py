"""Badges as a gateway serves them: settings, and the routes that they compile to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from attrs import define, frozen

from gatewaycore.badges.answers import Badges, Kind
from gatewaycore.badges.figures import Figures
from gatewaycore.badges.listing import Listing
from gatewaycore.decision import Decision
from gatewaycore.event import Observation
from gatewaycore.request import Request
from gatewaycore.route import Match, Pattern, Route
from gatewaycore.template import UrlTemplate

FORMS: tuple[tuple[str, Kind, bool], ...] = (
    ("/package/installs-badge/{+package}", "downloads", True),
    ("/installs-badge/{+package}", "downloads", False),
    ("/package/company-badge/{+package}", "companies", True),
    ("/company-badge/{+package}", "companies", False),
    ("/package/downloads-chart/{+package}", "chart", True),
    ("/downloads-chart/{+package}", "chart", False),
)
"""The paths, what each shows, and whether it names the package by its id."""


@frozen(kw_only=True)
class BadgeSettings:
    """The section `badges`: where badges are served, and of which packages.

    Attributes:
        domains: where; other packages may be on the same domains.
        packages: whose numbers everybody may see: names or ids, images of collections too; ``acme/*`` for all that begin with ``acme/``.
        minimum_companies: fewer companies than this are shown as "few".
        max_age_s: how long caches keep a badge, and how old its number may be before it is asked for again.
    """

    domains: tuple[str, ...]
    packages: tuple[str, ...] = ()
    minimum_companies: int = 5
    max_age_s: int = 300

    def compile(self, listing: Listing, figures: Figures) -> Sequence[Route]:
        """Make the routes.

        Args:
            listing: the packages there are, and which of them are public.
            figures: what is known of numbers; it is told what will be asked.
        """
        badges = Badges(listing, figures, self.minimum_companies, self.max_age_s)
        for package in listing.public_keys():
            figures.expect(badges.expected(package))
        patterns = [(source, UrlTemplate.parse(source).matcher(), kind, by_id) for source, kind, by_id in FORMS]
        return [
            BadgeRoute(domain, source, pattern, kind, by_id, badges) for domain in self.domains for source, pattern, kind, by_id in patterns
        ]


@define(slots=True, eq=False)
class BadgeRoute:
    """One form of badge on one domain."""

    steady: ClassVar[bool] = False
    priority: ClassVar[int] = 0
    package: ClassVar[str | None] = None

    domain: str
    source: str
    pattern: Pattern
    kind: Kind
    by_id: bool
    badges: Badges

    @property
    def label(self) -> str:
        """The domain and the path."""
        return self.domain + self.source

    def decide(self, request: Request, match: Match) -> Decision:
        """Answer with the badge."""
        return self.badges.answer(request, self.kind, match.variables["package"], self.by_id)

    def observe(self, request: Request, match: Match, entry: Mapping[str, str] | None = None) -> Observation | None:
        """Return nothing: whoever looks at a badge has fetched no package."""
        return None
