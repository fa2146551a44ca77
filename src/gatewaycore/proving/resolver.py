"""Resolver: asks DNS servers, and turns what they say into three answers: records, none, or no answer.

Whoever asks for a domain need not be its owner, and its owner need not be a friend: every question has an end, and what comes back is
bounded by what a DNS message may hold. dnspython takes messages apart, and asks again over TCP where one was cut.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from gatewaycore.errors import ConfigError, GatewayError, MissingExtraError, Problem

if TYPE_CHECKING:
    from dns.resolver import Resolver as Asked

    from gatewaycore.proving.settings import VerificationSettings

Type: TypeAlias = Literal["TXT", "CNAME", "A", "AAAA"]
# A single text of a TXT record is 255 bytes, and a token is one text; nobody needs more of a record than this.
_MOST_TEXT: Final = 1024
# As large as is passed on everywhere in one piece (DNS flag day 2020).
_PAYLOAD: Final = 1232
PORT: Final = 53


class NoAnswerError(GatewayError):
    """Servers cannot be reached, or do not know: nothing is said about the records."""


class Resolver:
    """Asks. Threads share it.

    Args:
        settings: whom, and how long.

    Raises:
        ConfigError: there is nobody to ask, or the extra is not installed.
    """

    def __init__(self, settings: VerificationSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._asked = _opened(settings)
        self._timeout_s = settings.timeout_s
        self._clock = clock

    def deadline(self) -> float:
        """Return until when one look may take."""
        return self._clock() + 2 * self._timeout_s

    def find(self, name: str, kind: Type, until: float) -> list[str]:
        """Return what records of a name hold, at the end of its CNAMEs unless those are asked for; none where there are none.

        Args:
            name: in A-labels.
            kind: of the records.
            until: when to give up, see `deadline`.

        Raises:
            NoAnswerError: nobody says so.
        """
        import dns.exception
        import dns.resolver
        from dns.rdatatype import RdataType

        left = min(self._timeout_s, until - self._clock())
        if left <= 0:
            raise NoAnswerError("it takes too long to look at its records")
        try:
            # Absolute: no search list of this machine is tried.
            answer = self._asked.resolve(f"{name}.", RdataType[kind], lifetime=left, raise_on_no_answer=False)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []
        except dns.exception.Timeout:
            raise NoAnswerError(f"no DNS server answers for {name} in time") from None
        except dns.resolver.NoNameservers:
            raise NoAnswerError(f"the DNS servers cannot say anything about {name} (such as SERVFAIL)") from None
        except dns.exception.DNSException as error:
            # Names that are too long, answers that nobody can read.
            raise NoAnswerError(f"no answer about {name} can be read ({type(error).__name__})") from None
        except OSError as error:
            raise NoAnswerError(f"no DNS server can be reached ({error.strerror or type(error).__name__})") from None
        return [] if answer.rrset is None else [_text(record) for record in answer.rrset]


def _text(record: object) -> str:
    strings = getattr(record, "strings", None)
    if strings is not None:
        # Of several texts the record is all of them, without anything between (RFC 7208 §3.3 has it so, and others have followed).
        return b"".join(strings)[:_MOST_TEXT].decode("ascii", "replace")
    target = getattr(record, "target", None)
    return str(record if target is None else target).lower().rstrip(".")


def _opened(settings: VerificationSettings) -> Asked:
    try:
        import dns.nameserver
        import dns.resolver
    except ImportError as error:
        raise MissingExtraError.of("gateway.verification", "dns") from error
    try:
        found = dns.resolver.Resolver(configure=not settings.resolvers)
    except (dns.resolver.NoResolverConfiguration, OSError) as error:
        hint = "name the DNS servers to ask: resolvers: [192.0.2.53]"
        raise ConfigError([Problem("gateway.verification.resolvers", "this machine names no DNS servers", hint)]) from error
    if settings.resolvers:
        found.nameservers = [dns.nameserver.Do53Nameserver(*split(one)) for one in settings.resolvers]
    found.timeout = max(1.0, settings.timeout_s / 2)
    found.use_edns(0, 0, _PAYLOAD)
    # Nothing is kept here: whoever has just set a record wants it to be seen.
    found.cache = None
    return found


def split(text: str) -> tuple[str, int]:
    """Return address and port of a DNS server: ``192.0.2.53``, ``192.0.2.53:5353``, ``2001:db8::53`` or ``[2001:db8::53]:5353``.

    Raises:
        ValueError: the port is none.
    """
    if text.startswith("["):
        address, _, port = text[1:].partition("]")
        port = port.removeprefix(":")
    elif text.count(":") == 1:
        address, _, port = text.partition(":")
    else:
        address, port = text, ""
    return address, int(port or PORT)
