"""Viewers: who looks at the console, and what they may see. Pages ask this, and nothing else, of who is signed in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, TypeAlias

from attrs import frozen

Role: TypeAlias = Literal["member", "admin", "owner"]


@frozen
class Group:
    """An organisation, as somebody who looks at it knows it.

    Attributes:
        name: as it stands in URLs.
        title: as people write it.
        packages: what events call its packages, those that its collections admit among them.
        role: what the viewer may do there; None where they only look at packages that are public.
    """

    name: str
    title: str
    packages: frozenset[str]
    role: Role | None


class Viewer(Protocol):
    """Somebody who looks."""

    @property
    def name(self) -> str | None:
        """Who it is; None for somebody who has not signed in."""
        ...

    @property
    def sees_all(self) -> bool:
        """Whether they may see the numbers of all packages, those among them that nobody has configured."""
        ...

    def may_see(self, package: str) -> bool:
        """Tell whether they may see the numbers of a package."""
        ...

    def role_of(self, package: str) -> Role | None:
        """Return what they may do with a package; None when they may only look, or not even that."""
        ...

    def groups(self) -> Sequence[Group]:
        """Return the organisations that they belong to."""
        ...


@frozen
class Anybody:
    """A viewer who may see everything: for a console that nobody else can reach, such as a demonstration on one's own machine."""

    name: str | None = None
    sees_all: bool = True

    def may_see(self, package: str) -> bool:
        """Tell that they may."""
        return True

    def role_of(self, package: str) -> Role | None:
        """Tell that they may only look: where nobody signs in, nothing is changed."""
        return None

    def groups(self) -> Sequence[Group]:
        """Return none."""
        return ()
