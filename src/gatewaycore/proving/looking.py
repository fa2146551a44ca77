"""Looking: what the records of a domain hold, and whether they prove it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal, Protocol, TypeAlias

from attrs import frozen

from gatewaycore.errors import GatewayError
from gatewaycore.proving.names import Place, challenge_name, probed
from gatewaycore.proving.resolver import NoAnswerError, Type

Verdict: TypeAlias = Literal["proved", "absent", "trouble"]
_MOST_HOPS: Final = 8
_SHOWN: Final = 5
_SHOWN_TEXT: Final = 80


class EndlessError(GatewayError):
    """CNAMEs lead to each other without an end."""


class Records(Protocol):
    """Whoever knows records; `gatewaycore.proving.resolver.Resolver` asks for them."""

    def deadline(self) -> float:
        """Return until when one look may take."""
        ...

    def find(self, name: str, kind: Type, until: float) -> list[str]:
        """Return what records hold; see `Resolver.find`."""
        ...


@frozen(kw_only=True)
class Seen:
    """What was seen.

    Attributes:
        texts: those of the TXT record's name.
        chain: the names that CNAMEs lead to, one after the other.
        addresses: at its end, where they were asked for.
    """

    texts: Sequence[str] = ()
    chain: Sequence[str] = ()
    addresses: Sequence[str] = ()

    def shown(self) -> dict[str, Any]:
        """Return it for people: a few of each, and not all of what is long."""
        return {
            "txt": [_cut(one) for one in self.texts[:_SHOWN]],
            "more-txt": max(0, len(self.texts) - _SHOWN),
            "cname": [_cut(one) for one in self.chain],
            "addresses": list(self.addresses[:_SHOWN]),
        }


@frozen(kw_only=True)
class Look:
    """A look at a domain's records.

    Attributes:
        verdict: "proved"; "absent", where servers have said that something is not there; "trouble", where they have said nothing.
        reason: in words, for people; empty where it is proved.
        seen: what there was.
    """

    verdict: Verdict
    reason: str = ""
    seen: Seen = Seen()

    @classmethod
    def at(cls, domain: str, challenge: str | None, place: Place, records: Records) -> Look:
        """Look at a domain.

        Args:
            domain: as `read_domain` returns it.
            challenge: what one of its texts has to be; None where it is known whose it is.
            place: where it has to lead; nowhere, where it is empty.
            records: knows them.
        """
        until = records.deadline()
        texts: list[str] = []
        chain: list[str] = []
        addresses: list[str] = []
        try:
            wrong = ""
            if challenge is not None:
                texts = records.find(challenge_name(domain), "TXT", until)
                wrong = _of_texts(domain, challenge, texts)
            if place:
                chain, arrived = _followed(probed(domain), place.target, records, until)
                if not arrived:
                    end = chain[-1] if chain else probed(domain)
                    addresses = _addresses(end, records, until)
                    wrong = wrong or _of_addresses(domain, chain, addresses, place, records, until)
        except NoAnswerError as error:
            return cls(verdict="trouble", reason=str(error), seen=Seen(texts=texts, chain=chain, addresses=addresses))
        except EndlessError as error:
            return cls(verdict="absent", reason=str(error), seen=Seen(texts=texts, chain=chain, addresses=addresses))
        seen = Seen(texts=texts, chain=chain, addresses=addresses)
        return cls(verdict="absent" if wrong else "proved", reason=wrong, seen=seen)


def _of_texts(domain: str, challenge: str, texts: Sequence[str]) -> str:
    if any(text.strip() == challenge for text in texts):
        return ""
    name = challenge_name(domain)
    if not texts:
        return f"there is no TXT record {name}"
    return f"the TXT record {name} holds something else"


def _followed(name: str, target: str | None, records: Records, until: float) -> tuple[list[str], bool]:
    """Return the names that CNAMEs lead to, and whether one of them is the target."""
    chain: list[str] = []
    while True:
        if target is not None and (chain[-1] if chain else name) == target:
            return chain, True
        found = records.find(chain[-1] if chain else name, "CNAME", until)
        if not found:
            return chain, False
        if found[0] in chain or found[0] == name or len(chain) == _MOST_HOPS:
            raise EndlessError(f"the CNAMEs of {name} have no end, or too late a one")
        chain.append(found[0])


def _addresses(name: str, records: Records, until: float) -> list[str]:
    return sorted({*records.find(name, "A", until), *records.find(name, "AAAA", until)})


def _of_addresses(domain: str, chain: Sequence[str], addresses: Sequence[str], place: Place, records: Records, until: float) -> str:
    """Tell what is wrong with a domain whose CNAMEs do not lead here: its addresses may (a zone's apex; what some servers call ALIAS)."""
    where = f"{place.target}" if place.target else " or ".join(place.addresses)
    if not addresses:
        what = f"leads to {chain[-1]}, which has no address" if chain else "has no address"
        return f"{domain} {what}; it should lead to {where}"
    ours = set(place.addresses) or set(_addresses(place.target or "", records, until))
    # All of them: of two addresses a client takes either, and so does whoever checks for a certificate.
    others = sorted(set(addresses) - ours)
    return f"{domain} leads to {', '.join(others[:_SHOWN])}, and not to {where}" if others else ""


def _cut(text: str) -> str:
    plain = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
    return plain if len(plain) <= _SHOWN_TEXT else f"{plain[: _SHOWN_TEXT - 1]}…"
