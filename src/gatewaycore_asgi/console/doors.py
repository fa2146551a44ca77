"""Doors: who is it that asks? Sessions, what they may see, and how often somebody may try to sign in."""

from __future__ import annotations

import hmac
import math
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, wraps
from hashlib import blake2b
from typing import Any, Final, TypeAlias

from attrs import field, frozen
from litestar import Request
from litestar.exceptions import NotAuthorizedException, PermissionDeniedException

from gatewaycore.access import Access, Organisation, Principal, Session
from gatewaycore.access import Role as AccessRole
from gatewaycore.errors import UnknownError
from gatewaycore_asgi.console.cookies import read_cookie
from gatewaycore_asgi.console.forms import Form
from gatewaycore_asgi.console.requests import base_of, caller_in
from gatewaycore_asgi.console.viewing import Group, Role, Viewer

Asking: TypeAlias = Request[Any, Any, Any]

COOKIE: Final = "gatewaycore_session"
"""The cookie of a session; see `cookies` for what it is called over TLS."""

BEFORE: Final = "gatewaycore_before"
"""The cookie that a form for signing in is held against."""
_VISIT: Final = "visit"


def session_of(request: Asking) -> str | None:
    """Return the cookie of a session; None where there is none."""
    return read_cookie(request.scope["headers"], COOKIE, base_of(request), is_secure=caller_in(request).is_secure)


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
        pulled: tells keys of packages, those of images that collections have admitted among them.
    """

    def __init__(self, access: Access, principal: Principal, pulled: Callable[[], Iterable[str]] = tuple) -> None:
        self._access = access
        self._pulled = pulled
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

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self._pulled())

    @cached_property
    def _images(self) -> Mapping[str, str]:
        return self._access.holdings.images_seen_by(self.principal, self._known)

    @cached_property
    def _public(self) -> frozenset[str]:
        return self._access.holdings.public()

    def may_see(self, package: str) -> bool:
        """Tell whether they may see the numbers of a package."""
        if self.sees_all or (self.principal.holds("read") and any(package in one for one in (self._roles, self._images, self._public))):
            return True
        if package in self._known:
            # A list asks about all there are: nobody is asked about each of them.
            return False
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
        owned = [(seen.holding.key, seen.holding.organisation_id) for seen in self._access.holdings.seen_by(self.principal)]
        owned += self._images.items()
        return tuple(
            Group(one.name, one.title, frozenset(key for key, of in owned if of == one.id), role) for one, role in self.organisations
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
        pulled: tells keys of packages, those of images that collections have admitted among them.
    """

    def __init__(self, access: Access | None, viewer: Viewer, pulled: Callable[[], Iterable[str]] = tuple) -> None:
        self._access = access
        self._viewer = viewer
        self._pulled = pulled

    @property
    def signs_in(self) -> bool:
        """Whether there is anything to sign in to."""
        return self._access is not None

    @_once_a_request
    def visit(self, request: Asking) -> Visit:
        """Return who asks."""
        if self._access is None:
            return Visit(self._viewer)
        cookie = session_of(request)
        session = self._access.people.session(cookie) if cookie else None
        if session is None:
            return Visit(Guest(self._access))
        return Visit(SignedIn(self._access, session.principal, self._pulled), session)


@frozen
class _Window:
    began: float
    failures: int


@frozen(eq=False)
class Throttle:
    """Counts who fails to sign in, so that many failures cost little. It keeps nobody out: whoever has a token, which is far too long to be
    guessed, signs in whatever others do. Callers are known by a keyed hash of their address, in memory, for a few minutes.

    Attributes:
        most: failures of one caller within `window_s` that are answered at length.
        window_s: after which they are forgotten.
        kept: callers that are known; of more, those are forgotten whose failures began first.
        clock: any that only goes forward, in seconds.
    """

    most: int = 10
    window_s: float = 300.0
    kept: int = 10_000
    clock: Callable[[], float] = time.monotonic
    _key: bytes = field(factory=lambda: secrets.token_bytes(32), init=False, repr=False)
    # In the order in which they began.
    _seen: OrderedDict[bytes, _Window] = field(factory=OrderedDict, init=False, repr=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False, repr=False)

    def note(self, address: str) -> int:
        """Count a failure.

        Returns:
            how many seconds they should wait; 0 where they may try again at once.
        """
        who = blake2b(address.encode("utf-8", "replace"), key=self._key, digest_size=16).digest()
        with self._lock:
            now = self.clock()
            while self._seen and now - next(iter(self._seen.values())).began >= self.window_s:
                self._seen.popitem(last=False)
            window = self._seen.get(who)
            if window is None:
                if len(self._seen) >= self.kept:
                    self._seen.popitem(last=False)
                window = _Window(now, 0)
            window = self._seen[who] = _Window(window.began, window.failures + 1)
        return 0 if window.failures <= self.most else math.ceil(window.began + self.window_s - now)
