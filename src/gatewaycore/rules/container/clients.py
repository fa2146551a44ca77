"""What each family of container clients survives: measured, and kept as data.

Every family pulls from an anonymous registry through redirects. A registry that wants tokens is another matter: a client that
drops or misplaces its token after a redirect to another host never gets its image. The table below holds what was seen with
real clients of each family against token registries; who is not in it is proxied, which every client survives.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, TypeAlias

from attrs import frozen


@frozen
class Survives:
    """Whether pulls from a token registry succeed.

    Attributes:
        anonymous: for requests without `Authorization`.
        credentials: for requests with it.
    """

    anonymous: bool
    credentials: bool


_ALWAYS = Survives(anonymous=True, credentials=True)
_ANONYMOUS = Survives(anonymous=True, credentials=False)
_NEVER = Survives(anonymous=False, credentials=False)


@frozen
class Family:
    """One row of the table.

    Who adds one measures too how it asks for manifests: pulls are told apart by that (`_ASKS_TWICE` and `_COMES_AGAIN` in
    `gatewaycore.manifests`).

    Attributes:
        name: what people call it.
        product: the first product of its User-Agent (RFC 9110 §10.1.5), lower-case, without the version.
        redirect: when everything is redirected, the ping included.
        after_proxied_ping: when manifests and blobs are redirected, and the ping was proxied.
        after_own_ping: when they are, and the gateway itself answers the ping: families that ask for none, or need none.
        shows_credentials: whether it shows those that it has for one host to another that it was redirected to.
        marker: text that its User-Agent holds further on; tells two families of one product apart.
    """

    name: str
    product: str
    redirect: Survives
    after_proxied_ping: Survives
    after_own_ping: Survives
    shows_credentials: bool = False
    marker: str = ""


FAMILIES: tuple[Family, ...] = (
    # These drop Authorization on a redirect to another host, and never authenticate there.
    Family("skopeo", "skopeo", _NEVER, _NEVER, _NEVER),
    Family("podman", "containers", _NEVER, _NEVER, _NEVER),
    Family("buildah", "buildah", _NEVER, _NEVER, _NEVER),
    # One User-Agent for a client that survives and for one that does not.
    Family("oras-go", "oras-go", _NEVER, _NEVER, _NEVER, shows_credentials=True),
    Family("oras-py", "python-requests", _NEVER, _NEVER, _NEVER),
    # Bind credentials to the gateway's host, and authenticate again at the target anonymously.
    Family("dockerd, containerd store", "docker", _ANONYMOUS, _ANONYMOUS, _ANONYMOUS, marker="containerd-client/"),
    Family("BuildKit", "buildkit", _ANONYMOUS, _ANONYMOUS, _ANONYMOUS),
    Family("crane", "crane", _ANONYMOUS, _ANONYMOUS, _NEVER),
    # Stores the challenge under the ping's final URL: ping and manifests must go the same way.
    Family("dockerd, graph drivers", "docker", _ALWAYS, _NEVER, _NEVER),
    Family("docker manifest", "docker-client", _ALWAYS, _NEVER, _NEVER),
    # Authenticates again at the target.
    Family("containerd", "containerd", _ALWAYS, _ALWAYS, _ALWAYS, shows_credentials=True),
)
"""Every family measured; of two with the same product, the one with a marker stands first."""


def _by_product() -> Mapping[str, tuple[Family, ...]]:
    products = dict.fromkeys(family.product for family in FAMILIES)
    return MappingProxyType({product: tuple(family for family in FAMILIES if family.product == product) for product in products})


_BY_PRODUCT = _by_product()


def family(user_agent: str) -> Family | None:
    """Return the family that `user_agent` names, or None."""
    text = user_agent.lower()
    product = text.partition("/")[0].partition(" ")[0]
    return next((row for row in _BY_PRODUCT.get(product, ()) if row.marker in text), None)


def keeps_credentials(user_agent: str | None) -> bool:
    """Tell whether a client shows the credentials that it has for one host to no other; of one that nobody measured, nobody knows."""
    row = family(user_agent) if user_agent else None
    return row is not None and not row.shows_credentials


Ping: TypeAlias = Literal["redirected", "proxied", "own"]
"""Where a domain's ping is answered: at the backend, by the backend through the gateway, or by the gateway itself."""


def survives(user_agent: str | None, *, credentials: bool, public: bool, ping: Ping = "redirected") -> bool:
    """Tell whether a client can be redirected to a token registry; one that nobody measured cannot.

    No client shows its credentials before it is asked for them, and whoever is redirected is asked elsewhere. So a family that would lose
    them is redirected to images that are `public` only, where it needs none.

    Args:
        user_agent: as sent; None where the field is missing.
        credentials: whether the request has an `Authorization` field.
        public: whether everybody may pull the image.
        ping: where this domain's ping is answered.
    """
    row = family(user_agent) if user_agent else None
    if row is None:
        return False
    column = row.redirect if ping == "redirected" else row.after_proxied_ping if ping == "proxied" else row.after_own_ping
    return column.anonymous and (column.credentials or (public and not credentials))
