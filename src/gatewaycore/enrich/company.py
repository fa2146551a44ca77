"""Enrichment `company`: which organisation is behind an address, and how sure that is, from the operator's own database files.

Databases differ in whom they name: who uses an address (Enterprise, ISP, IPinfo's company files), who runs the network it is in (ASN
files), or what its name in the DNS is (Domain files). All that are named are asked, and what they say is weighed. `records` knows
their formats, `organizations` who is no company.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from attrs import field, frozen

from gatewaycore.enrich.caller import Caller, Column
from gatewaycore.enrich.databases import GeoDatabase, refresh_databases, watch_databases
from gatewaycore.enrich.files import Refreshed, Watched
from gatewaycore.enrich.organizations import agrees, clean_domain, clean_name, trade_of_domain, trade_of_name
from gatewaycore.enrich.records import Connection, first_text, is_hosting, line_type, traits_of, user_type
from gatewaycore.errors import ConfigError, Problem

__all__ = ["CompanyEnricher", "CompanyEnrichment"]

# How sure a company is. The documentation has this table.
TYPED_USER: Final = 0.9
USER: Final = 0.7
TYPED_NETWORK: Final = 0.6
NETWORK: Final = 0.5
DOMAIN: Final = 0.3
AGREEMENT: Final = 0.1

_COMPANIES: Final = frozenset({"business", "education"})
_PROVIDERS: Final = frozenset({"isp", "hosting"})


@frozen
class _Claim:
    """What one record says of one organisation.

    Attributes:
        name, domain: of the organisation, clean; one of them may be None.
        connection: what the record says that it is.
        weight: how sure the company would be.
        trade: what its name and its domain say that it is.
    """

    name: str | None
    domain: str | None
    connection: Connection | None
    weight: float
    trade: Connection | None = field(init=False)

    @trade.default
    def _trade(self) -> Connection | None:
        return (self.name and trade_of_name(self.name)) or (self.domain and trade_of_domain(self.domain)) or None


@frozen(kw_only=True)
class CompanyEnrichment:
    """Settings of the `company` enrichment.

    Attributes:
        databases: the paths of ``.mmdb`` files, of any kind that names organisations; what is best known wins, and of what is known equally
            well the first.
    """

    databases: tuple[str, ...]

    def open(self) -> CompanyEnricher:
        """Open the databases.

        Raises:
            ConfigError: there is none, or one cannot be used.
        """
        if not self.databases:
            raise ConfigError([Problem("databases", "names no file", "the paths of .mmdb files")])
        return CompanyEnricher(watch_databases(self.databases))


class CompanyEnricher:
    """Fills in company, company_domain, connection and confidence.

    Args:
        databases: where addresses are looked up.
    """

    __slots__ = ("_databases",)

    def __init__(self, databases: Sequence[Watched[GeoDatabase]]) -> None:
        self._databases = tuple(databases)

    def columns(self, caller: Caller) -> Mapping[str, Column]:
        """Return what the databases together know of the caller's address."""
        if not caller.address:
            return {}
        found = (watched.value.record(caller.address) for watched in self._databases)
        records = [traits_of(record) for record in found if record is not None]
        return _columns(records) if records else {}

    def refresh(self) -> Refreshed:
        """Open the files that have replaced databases."""
        return refresh_databases(self._databases)

    def close(self) -> None:
        """Close the databases."""
        for watched in self._databases:
            watched.value.close()


def _columns(records: Sequence[Mapping[str, Any]]) -> Mapping[str, Column]:
    claims = sorted((claim for record in records for claim in _claims(record)), key=lambda claim: -claim.weight)
    connection = _connection(records, claims)
    companies = [claim for claim in claims if _is_company(claim, connection)]
    if not companies:
        return {"connection": connection}
    best = companies[0]
    domain = best.domain or next((claim.domain for claim in companies if claim.domain), None)
    sure = best.weight + (AGREEMENT if best.name and domain and agrees(best.name, domain) else 0.0)
    if connection is None and best.weight >= USER:
        connection = "business"
    # Two decimals: 0.7 + 0.1 is not 0.7999999999999999.
    return {"company": best.name, "company_domain": domain, "connection": connection or "unknown", "confidence": round(sure, 2)}


def _claims(traits: Mapping[str, Any]) -> Iterator[_Claim]:
    """Iterate over the organisations that a record names."""
    domain = clean_domain(first_text(traits, "domain"))
    network_domain = clean_domain(first_text(traits, "as_domain"))
    # IPinfo's `name` is the user's where the network has a name of its own beside it, else the network's.
    names_user = first_text(traits, "as_name") is not None
    user = clean_name(first_text(traits, "organization", "company", *(("name",) if names_user else ())))
    network = clean_name(first_text(traits, "autonomous_system_organization", "as_name", "isp", "org", *(() if names_user else ("name",))))
    of_user = user_type(traits, "user_type", *(("type",) if names_user else ()))
    of_network = user_type(traits, "as_type", *(() if names_user else ("type",)))
    if user is not None and _same(user, network, first_text(traits, "isp")):
        # Who runs the network, named twice: who uses the address is not known, unless it is said to be a company's.
        network, of_network = user, of_user or of_network
        user = None
    if user is not None:
        yield _Claim(user, domain, of_user, TYPED_USER if of_user in _COMPANIES else USER)
    elif domain is not None and (network is None or not _names_its_own(traits)):
        yield _Claim(None, domain, of_user, DOMAIN)
    if network is not None:
        own = network_domain or (domain if user is None and _names_its_own(traits) else None)
        yield _Claim(network, own, of_network, TYPED_NETWORK if of_network in _COMPANIES else NETWORK)


def _names_its_own(traits: Mapping[str, Any]) -> bool:
    """Tell whether `domain` is the network's, as in IPinfo's ASN files; in others it is what the address is called in the DNS."""
    return first_text(traits, "name") is not None


def _same(user: str, *others: str | None) -> bool:
    return any(other is not None and user.casefold() == other.casefold() for other in others)


def _connection(records: Sequence[Mapping[str, Any]], claims: Sequence[_Claim]) -> Connection | None:
    """Return what kind of network it is: by what is said outright, then by names, then by the line; None when nothing tells."""
    said = [claim.connection for claim in claims]
    # A file may know the kind and nobody's name.
    said += [user_type(traits, "user_type", "type", "as_type") for traits in records]
    said += ["hosting" for traits in records if is_hosting(traits)]
    said += [claim.trade for claim in claims if claim.weight > DOMAIN] + [claim.trade for claim in claims]
    said += [line_type(traits) for traits in records]
    outright = next((kind for kind in said if kind is not None and kind != "unknown"), None)
    return outright or ("unknown" if any(kind == "unknown" for kind in said) else None)


def _is_company(claim: _Claim, connection: Connection | None) -> bool:
    if claim.trade in _PROVIDERS or claim.connection in _PROVIDERS:
        return False
    # Who runs the network is not who uses it, where it is known to be a provider's; the same goes for names that providers give addresses.
    return claim.weight >= USER or connection not in _PROVIDERS or (claim.name is None and connection == "isp")
