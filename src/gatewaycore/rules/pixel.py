"""Package type `pixel`: a transparent image that is fetched wherever a page is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from attrs import define, evolve, field, frozen

from gatewaycore.decision import TEXT, Decision, Respond
from gatewaycore.errors import ConfigError, Problem
from gatewaycore.event import Observation
from gatewaycore.headers import Headers
from gatewaycore.request import Request
from gatewaycore.route import Match, Pattern, Route
from gatewaycore.rules.file import RouteSettings, compiled, meaning
from gatewaycore.rules.variables import Subject, query_variables

# The smallest PNG there is: 1x1, one transparent pixel of grey and alpha.
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010804000000b51c0c020000000b4944415478da6360600000000300012b094d840000000049454e44ae426082"
)
_NOT_ALLOWED = Respond(405, Headers([("allow", "GET, HEAD"), *TEXT.items()]), b"a pixel is fetched with GET\n")


@frozen(kw_only=True)
class PixelRule:
    """Settings of a `pixel` package.

    Attributes:
        name, domain, id, incoming_path, priority, variables: as a `file` package has them.
        package_variable: the query parameter that names the package, for one pixel that serves many; `name` and `id` are then not used.
        content_type, body: answer with this instead of the image.
    """

    name: str
    domain: str
    id: str | None = None
    incoming_path: str = "/a.png"
    priority: int = 0
    variables: Mapping[str, str] = field(factory=dict)
    package_variable: str | None = None
    content_type: str = "image/png"
    body: str | None = None

    def compile(self) -> Sequence[Route]:
        """Make the route.

        Raises:
            ConfigError: the path cannot be compiled, or an override names no column.
        """
        problems: list[Problem] = []
        found = meaning(self.variables, problems)
        matched, _ = compiled("", RouteSettings(incoming_path=self.incoming_path), frozenset(), problems)
        if matched is None or problems:
            raise ConfigError(problems)
        body = PNG if self.body is None else self.body.encode()
        headers = Headers(
            [
                ("content-type", self.content_type),
                # Fetched anew at every view, by every cache on the way (RFC 9111 §5.2.2); "expires" for those older than that.
                ("cache-control", "no-cache, no-store, must-revalidate, private, max-age=0"),
                ("expires", "0"),
                ("cross-origin-resource-policy", "cross-origin"),
                ("x-content-type-options", "nosniff"),
            ]
        )
        return [
            PixelRoute(
                domain=self.domain,
                source=self.incoming_path,
                pattern=matched,
                priority=self.priority,
                subject=Subject(self.id or self.name, "pixel", "view", found),
                package_variable=self.package_variable,
                answer=Respond(200, headers, body),
            )
        ]


@define(slots=True, eq=False)
class PixelRoute:
    """A compiled pixel."""

    steady: ClassVar[bool] = False

    domain: str
    source: str
    pattern: Pattern
    priority: int
    subject: Subject
    package_variable: str | None
    answer: Respond

    @property
    def label(self) -> str:
        """The domain and the path as configured."""
        return self.domain + self.source

    @property
    def package(self) -> str:
        """The package's id or name."""
        return self.subject.package

    def decide(self, request: Request, match: Match) -> Decision:
        """Answer with the image."""
        return self.answer if request.method in ("GET", "HEAD") else _NOT_ALLOWED

    def observe(self, request: Request, match: Match, entry: Mapping[str, str] | None = None) -> Observation | None:
        """Return a view; the page is the ``Referer`` unless the query names it."""
        observation = self.subject.observe(self.label, match.variables, request.query, page=request.headers.get("referer"))
        if self.package_variable is None:
            return observation
        package = query_variables(request.query).get(self.package_variable)
        return evolve(observation, package=package) if package else None
