"""Joining: one registry of all the images of a domain, and the settings that cannot go together on one.

Clients ask a domain once how to authenticate. Where its images have one registry, under the same names, that registry answers for itself.
Otherwise the gateway must: it is the broker. Whoever insists on another way for one of the images is told which of the two to give up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gatewaycore.errors import ConfigError, Problem
from gatewaycore.route import Api, Route
from gatewaycore.rules.container.backend import Backend
from gatewaycore.rules.container.endpoint import TokenEndpoint
from gatewaycore.rules.container.index import ImageIndex
from gatewaycore.rules.container.memory import Memory
from gatewaycore.rules.container.names import parse_registry
from gatewaycore.rules.container.paths import PREFIX
from gatewaycore.rules.container.registry import Mode, RegistryRoute
from gatewaycore.rules.container.route import PACKAGE_TYPE, ContainerRoute, entry

_BROKER_HINT = "use strategy: auto or broker, which give clients one way to authenticate for both, or another domain"


def join(routes: Sequence[Route]) -> RegistryRoute:
    """Make one registry of all the images and patterns of one domain.

    Raises:
        ConfigError: clients could not be told one way to authenticate for all of them.
    """
    own = [route for route in routes if isinstance(route, ContainerRoute)]
    if not own or len(own) != len(routes):
        raise ConfigError([Problem("type", f"a route named {PACKAGE_TYPE!r} is no container's")])
    problems = list(_clashes(own))
    logins = _logins(own, problems)
    if problems:
        raise ConfigError(problems)
    by_strategy = {route.way.strategy: route for route in reversed(own)}
    proxied = by_strategy.get("proxy")
    return RegistryRoute(
        domain=own[0].domain,
        pattern=CONTAINER,
        mode=_mode(own),
        routes=tuple(own),
        # With an image that is always proxied, the ping is too: a client that stored the backend's address would send its tokens past us.
        ping=proxied or by_strategy.get("auto") or own[0],
        ping_proxied=proxied is not None,
        tokens=TokenEndpoint(
            index=ImageIndex([entry(route) for route in own]),
            logins=logins,
            users=frozenset(hashed.lower() for route in own for hashed in route.way.access_tokens),
            keys=_keys(own),
            memory=Memory(),
        ),
    )


def _mode(routes: Sequence[ContainerRoute]) -> Mode:
    backends = {route.place.backend for route in routes}
    if any(route.way.strategy == "broker" for route in routes):
        return "own"
    if not any(route.takes_tokens for route in routes):
        return "open" if len(backends) > 1 or any(route.mirrors for route in routes) else "passed"
    return "own" if _needs_broker(routes, backends) is not None else "passed"


def _needs_broker(routes: Sequence[ContainerRoute], backends: set[Backend]) -> tuple[ContainerRoute, str] | None:
    """Return the first image for which clients need the gateway's own tokens, and why; None where they need none."""
    if len(backends) > 1 and any(route.takes_tokens and route.way.strategy == "auto" for route in routes):
        other = next(route for route in routes if route.place.backend != routes[0].place.backend)
        return other, f"{routes[0].image} comes from {routes[0].place.backend} and {other.image} from {other.place.backend}"
    for route in routes:
        if route.way.strategy == "broker":
            return route, f"{route.image} has strategy: broker"
        if route.takes_tokens and route.way.strategy == "auto":
            reason = _reason(route)
            if reason:
                return route, f"{route.image} {reason}"
    return None


def _reason(route: ContainerRoute) -> str:
    """Return why a registry's own tokens would not do for an image; "" where they do."""
    if route.is_renamed:
        return f"is called {route.place.repository!r} at its backend, and a registry's tokens name the repository"
    if route.mirrors:
        return "has mirrors, and each registry has tokens of its own"
    if route.place.backend.credentials is not None:
        return "has credentials, which are the gateway's to show"
    return ""


def _clashes(routes: Sequence[ContainerRoute]) -> Iterator[Problem]:
    """Iterate over what cannot go together."""
    backends = {route.place.backend for route in routes}
    tokens = [route for route in routes if route.takes_tokens]
    needs = _needs_broker(routes, backends)
    for route in tokens:
        reason = _reason(route)
        if route.way.strategy == "proxy" and (reason or needs is not None):
            because = f"{route.image} {reason}" if reason or needs is None else needs[1]
            yield Problem(
                f"domain {route.domain}: strategy",
                f"{route.image} is always proxied, so that its registry hands out the tokens; but {because}",
                _BROKER_HINT,
                about=route,
            )
    if needs is not None or not tokens:
        return
    if len(backends) > 1:
        yield from (_two_backends(routes[0], other) for other in _strangers(routes))
        return
    by_strategy = {route.way.strategy: route for route in reversed(tokens)}
    proxied, redirected = by_strategy.get("proxy"), by_strategy.get("redirect")
    if proxied is not None and redirected is not None:
        yield _two_strategies(proxied, redirected, max(proxied, redirected, key=routes.index))


def _strangers(routes: Sequence[ContainerRoute]) -> Iterator[ContainerRoute]:
    """Iterate over one route of each backend other than the first."""
    seen = {routes[0].place.backend}
    for route in routes:
        if route.place.backend not in seen:
            seen.add(route.place.backend)
            yield route


def _two_backends(first: ContainerRoute, other: ContainerRoute) -> Problem:
    return Problem(
        f"domain {first.domain}: backend",
        f"{first.image} comes from {first.place.backend} and {other.image} from {other.place.backend}: "
        f"one ping tells clients how to authenticate for both, and strategy: {other.way.strategy} leaves it to their registries",
        _BROKER_HINT,
        about=other,
    )


def _two_strategies(proxied: ContainerRoute, redirected: ContainerRoute, later: ContainerRoute) -> Problem:
    return Problem(
        f"domain {proxied.domain}: strategy",
        f"{proxied.image} is always proxied and {redirected.image} always redirected: one ping tells clients how to authenticate for both",
        "use strategy: auto for one of them, or another domain",
        about=later,
    )


def _keys(routes: Sequence[ContainerRoute]) -> dict[Backend, str]:
    """Return what tells the tokens of each backend from those of the others: the same in every process with the same configuration.

    Two accounts of one name at one registry are told apart by their order: what of a password stood in here, every client could see.
    """
    keys: dict[Backend, str] = {}
    for backend in dict.fromkeys(route.place.backend for route in routes if route.takes_tokens):
        likeness, number = backend.likeness, 1
        while (key := f"{likeness}-{number}" if number > 1 else likeness) in keys.values():
            number += 1
        keys[backend] = key
    return keys


def _logins(routes: Sequence[ContainerRoute], problems: list[Problem]) -> tuple[Backend, ...]:
    """Return the registry that checks credentials, in each of its settings: the one that is named, or the only one that could."""
    candidates: dict[str, list[Backend]] = {}
    for backend in dict.fromkeys(route.place.backend for route in routes if route.takes_tokens and route.place.backend.credentials is None):
        candidates.setdefault(backend.registry, []).append(backend)
    named: dict[str, ContainerRoute] = {}
    for route in routes:
        if route.login is not None:
            named.setdefault(_registry(route.login), route)
    if not named:
        # Where the gateway has users of its own, what they mistype is nobody's to see who was not named for it.
        unambiguous = len(candidates) == 1 and not any(route.way.access_tokens for route in routes)
        return tuple(next(iter(candidates.values()))) if unambiguous else ()
    if len(named) > 1:
        *_, last = named.values()
        what = f"{' and '.join(map(str, named))} are both named"
        problems.append(Problem(f"domain {last.domain}: login-backend", what, "one registry checks credentials for a domain", about=last))
        return ()
    ((name, route),) = named.items()
    found = candidates.get(name)
    if found is None:
        hint = f"one of {', '.join(candidates)}" if candidates else "no registry here takes its users' credentials"
        problems.append(Problem(f"domain {route.domain}: login-backend", f"{name!r} holds no image of this domain", hint, about=route))
    return tuple(found or ())


def _registry(written: str) -> str:
    try:
        return parse_registry(written)
    except ConfigError:
        return written


CONTAINER = Api(PACKAGE_TYPE, (PREFIX,), join)
"""Where a domain's registry stands: on ``/v2``, before every other rule (OCI distribution-spec v1.1 §Endpoints)."""
