"""One image, or one pattern of images: where it is, and what the events of requests for it say.

Which way a request goes is the whole domain's affair (`gatewaycore.rules.container.registry`): a client learns from a domain's ping how to
authenticate, for all of its images.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar, Protocol

from attrs import define

from gatewaycore.decision import Decision
from gatewaycore.event import Observation
from gatewaycore.request import Request
from gatewaycore.route import Api, Match
from gatewaycore.rules.container.answers import unknown
from gatewaycore.rules.container.backend import Place
from gatewaycore.rules.container.index import Entry
from gatewaycore.rules.container.paths import Blob, ImageCall, Manifest
from gatewaycore.rules.container.patterns import ImagePattern
from gatewaycore.rules.container.way import Way

PACKAGE_TYPE = "container"

_BYTE_RANGE = re.compile(r"bytes=[0-9, -]{1,200}")


class Registry(Protocol):
    """The domain that an image is asked of."""

    def decide_image(self, request: Request, route: ContainerRoute, call: ImageCall) -> Decision:
        """Decide which way a request for one of its images goes."""
        ...


@define(slots=True)
class Asked:
    """The note from `match` to `decide`: a call for an image that is served, and the registry that it is asked of."""

    call: ImageCall
    registry: Registry


@define(slots=True, eq=False)
class ContainerRoute:
    """One image or one pattern of images. Nobody mutates it.

    Attributes:
        domain, pattern, priority: as every route has them.
        image: a repository's name, or a pattern.
        place: where it is.
        way: how requests reach it.
        mirrors: where it is too.
        id: stands for the package in events instead of the image's name; a collection's never does.
        login: the registry that checks credentials on this domain, as its settings name it, or None.
    """

    steady: ClassVar[bool] = False

    domain: str
    pattern: Api
    image: str | ImagePattern
    place: Place
    way: Way
    mirrors: tuple[Place, ...] = ()
    id: str | None = None
    login: str | None = None
    priority: int = 0

    @property
    def label(self) -> str:
        """What is typed behind ``docker pull``."""
        return f"{self.domain}/{self.image}"

    @property
    def package(self) -> str:
        """The id, or the image's name or pattern."""
        return self.id or str(self.image)

    @property
    def is_renamed(self) -> bool:
        """Whether the image has another name at its backend."""
        return self.place.repository is not None and self.place.repository != self.image

    @property
    def takes_tokens(self) -> bool:
        """Whether its backend wants tokens."""
        return self.place.backend.auth == "token"

    def decide(self, request: Request, match: Match) -> Decision:
        """Redirect to the backend, or proxy it."""
        asked = match.detail
        return asked.registry.decide_image(request, self, asked.call) if isinstance(asked, Asked) else unknown(str(self.image))

    def observe(self, request: Request, match: Match, entry: Mapping[str, str] | None = None) -> Observation | None:
        """Return what was fetched of the image: a manifest, a blob, or metadata about it."""
        if not isinstance(match.detail, Asked):
            return None
        call = match.detail.call
        package = (self.id or self.image) if isinstance(self.image, str) else call.name
        if isinstance(call, Manifest):
            return Observation(package, PACKAGE_TYPE, self.label, "manifest", version=call.reference)
        if not isinstance(call, Blob):
            return Observation(package, PACKAGE_TYPE, self.label, "metadata")
        variables = {"digest": call.digest}
        asked_range = request.headers.get("range")
        if asked_range is not None and _BYTE_RANGE.fullmatch(asked_range):
            variables["range"] = asked_range
        return Observation(package, PACKAGE_TYPE, self.label, "blob", variables=variables)


def entry(route: ContainerRoute) -> Entry[ContainerRoute]:
    """Return a route as the index of its domain takes it."""
    return Entry(route.image, route.priority, route)
