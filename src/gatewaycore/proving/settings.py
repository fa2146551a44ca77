"""Settings of proofs: whom to ask, how long to wait, and how long a proof that has gone is good for."""

from __future__ import annotations

from attrs import frozen


@frozen(kw_only=True)
class VerificationSettings:
    """How it is found out whose a domain is.

    Attributes:
        verify: whether domains have to be proved; without, whatever is made on one is served.
        target: the name that domains lead to by a CNAME; the gateway's `base-domain` without.
        addresses: those that domains lead to where no CNAME can stand; the addresses of `target` without.
        leads_here: whether a domain has to lead here as well; without, its TXT record alone proves it. For gateways behind a CDN.
        resolvers: the DNS servers to ask, each with a port where it is not 53; those of this machine without.
        timeout_s: for each question. A look asks a few, and ends after twice as long, whatever it has.
        every_s: how often a proved domain is looked at again.
        grace_s: how long it is served on when its records have gone.
    """

    verify: bool = True
    target: str | None = None
    addresses: tuple[str, ...] = ()
    leads_here: bool = True
    resolvers: tuple[str, ...] = ()
    timeout_s: int = 5
    every_s: int = 3600
    grace_s: int = 259_200
