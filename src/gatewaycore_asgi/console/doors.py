"""Doors: who is it that asks? Sessions, what they may see, and how often somebody may try to sign in."""

from __future__ import annotations

import hmac
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from functools import cached_property, wraps
from hashlib import blake2b
from typing import Any, Final, TypeAlias

from attrs import field, frozen
from litestar import Request
from litestar.exceptions import NotAuthorizedException, PermissionDeniedException, TooManyRequestsException

from gatewaycore.access import Access, Organisation, Principal, Session
from gatewaycore.access import Role as AccessRole
from gatewaycore.clientip import TrustedProxies
from gatewaycore.errors import UnknownError
from gatewaycore.headers import Headers
from gatewaycore_asgi.console.forms import Form
from gatewaycore_asgi.console.viewing import Group, Role, Viewer

Asking: TypeAlias = Request[Any, Any, Any]

COOKIE: Final = "gatewaycore_session"
BEFORE: Final = "gatewaycore_before"
"""The cookie that a form for signing in is held against."""
_VISIT: Final = "visit"


class Guest:
    """Somebody who has not signed in: sees what is public, when they know what it is called."""

    name = None
    sees_all = False

    def __init__(self, access: Access) -> None:
        self._access = access

    def may_see(self, package: str) -> bool:
        """Tell whether everybody may."""
        return _may_look(self._access, package, None)

    def role_of(self, package: str) -> Role | None:
        """Return none."""
        return None

    def groups(self) -> Sequence[Group]:
        """Return none."""
        return ()


class SignedIn:
    """Somebody who has signed in, for one request.

    Args:
        access: knows what they may do.
        principal: who it is.
    """

    def __init__(self, access: Access, principal: Principal) -> None:
        self._access = access
        self.principal = principal
        self.name: str | None = principal.user.name
        self.sees_all = principal.runs_the_gateway and principal.holds("read")
        self._looked: dict[str, bool] = {}

    @cached_property
    def organisations(self) -> list[tuple[Organisation, AccessRole]]:
        """Those that they have a role in."""
        return self._access.groups.organisations(self.principal)

    @cached_property
    def _roles(self) -> dict[str, Role | None]:
        return {one.holding.key: one.role for one in self._access.holdings.seen_by(self.principal)}

    def may_see(self, package: str) -> bool:
        """Tell whether they may see the numbers of a package."""
        if self.sees_all or (package in self._roles and self.principal.holds("read")):
            return True
        if package not in self._looked:
            self._looked[package] = _may_look(self._access, package, self.principal)
        return self._looked[package]

    def role_of(self, package: str) -> Role | None:
        """Return what they may do with a package."""
        if package in self._roles:
            return self._roles[package]
        try:
            return self._access.holdings.look(package, self.principal).role
        except UnknownError:
            return None

    @cached_property
    def _groups(self) -> tuple[Group, ...]:
        holdings = self._access.holdings.seen_by(self.principal)
        return tuple(
            Group(one.name, one.title, frozenset(seen.holding.key for seen in holdings if seen.holding.organisation_id == one.id), role)
            for one, role in self.organisations
        )

    def groups(self) -> Sequence[Group]:
        """Return the organisations that they have a role in, with their packages."""
        return self._groups


def _may_look(access: Access, package: str, principal: Principal | None) -> bool:
    try:
        access.holdings.look(package, principal)
    except UnknownError:
        return False
    return True


@frozen
class Visit:
    """Somebody who asks for something, as far as is known.

    Attributes:
        viewer: what they may see.
        session: None where nobody has signed in.
    """

    viewer: Viewer
    session: Session | None = None

    @property
    def csrf(self) -> str:
        """What the forms of this session carry; empty without one."""
        return "" if self.session is None else self.session.csrf

    @property
    def principal(self) -> Principal:
        """Who has signed in.

        Raises:
            NotAuthorizedException: nobody has.
        """
        if self.session is None:
            raise NotAuthorizedException
        return self.session.principal

    def check(self, form: Form) -> Principal:
        """Return who has sent a form, which is one that this session was given.

        Raises:
            NotAuthorizedException, PermissionDeniedException: it is not.
        """
        principal = self.principal
        if not hmac.compare_digest(form.one("csrf").encode(), self.csrf.encode()):
            raise PermissionDeniedException
        return principal


def _once_a_request(look: Callable[[Doors, Asking], Visit]) -> Callable[[Doors, Asking], Visit]:
    """Return what remembers a visit with its request: a handler wants to know whose it is, and so does the page that it shows."""

    @wraps(look)
    def visit(self: Doors, request: Asking) -> Visit:
        state = request.scope["state"]
        if _VISIT not in state:
            state[_VISIT] = look(self, request)
        found: Visit = state[_VISIT]
        return found

    return visit


class Doors:
    """Finds out who asks.

    Args:
        access: knows; None where nobody signs in.
        viewer: whoever it is, where nobody signs in.
    """

    def __init__(self, access: Access | None, viewer: Viewer) -> None:
        self._access = access
        self._viewer = viewer

    @property
    def signs_in(self) -> bool:
        """Whether there is anything to sign in to."""
        return self._access is not None

    @_once_a_request
    def visit(self, request: Asking) -> Visit:
        """Return who asks."""
        if self._access is None:
            return Visit(self._viewer)
        cookie = request.cookies.get(COOKIE)
        session = self._access.people.session(cookie) if cookie and cookie.isascii() else None
        if session is None:
            return Visit(Guest(self._access))
        return Visit(SignedIn(self._access, session.principal), session)


@frozen
class _Window:
    began: float
    failures: int


@frozen(eq=False)
class Throttle:
    """Bounds how often somebody may fail to sign in. Callers are known by a keyed hash of their address, in memory, for a few minutes.

    Attributes:
        most: failures of one caller within `window_s`.
        most_of_all: of all callers together: whoever has many addresses has no more tries.
        clock: any that only goes forward, in seconds.
    """

    most: int = 10
    most_of_all: int = 200
    window_s: float = 300.0
    clock: Callable[[], float] = time.monotonic
    _key: bytes = field(factory=lambda: secrets.token_bytes(32), init=False, repr=False)
    _seen: dict[bytes, _Window] = field(factory=dict, init=False, repr=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False, repr=False)

    def check(self, address: str) -> None:
        """Refuse a caller who has failed too often.

        Raises:
            TooManyRequestsException: they have.
        """
        with self._lock:
            for who, most in ((self._of(address), self.most), (b"", self.most_of_all)):
                window = self._seen.get(who)
                if window is not None and self.clock() - window.began < self.window_s and window.failures >= most:
                    raise TooManyRequestsException(headers={"retry-after": str(round(self.window_s))})

    def note(self, address: str) -> None:
        """Count a failure."""
        with self._lock:
            now = self.clock()
            for who in [who for who, window in self._seen.items() if now - window.began >= self.window_s]:
                del self._seen[who]
            for who in (self._of(address), b""):
                window = self._seen.get(who, _Window(now, 0))
                self._seen[who] = _Window(window.began, window.failures + 1)

    def _of(self, address: str) -> bytes:
        return blake2b(address.encode("utf-8", "replace"), key=self._key, digest_size=16).digest()


def origin_of(request: Asking, trusted: TrustedProxies) -> tuple[str, bool]:
    """Return the address of who asks, and whether they came by TLS, as whoever is trusted says so."""
    client = request.scope.get("client")
    address = client[0] if client else ""
    scheme = request.scope.get("scheme", "http")
    if trusted.networks:
        origin = trusted.origin(address, Headers.from_raw(list(request.scope["headers"])))
        return origin.address, (origin.scheme or scheme) == "https"
    return address, scheme == "https"
