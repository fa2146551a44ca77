"""Forms: the representations in which a page is shown, and which of them a client gets (RFC 9110 §12.5.1)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from attrs import frozen

from gatewaycore.headers import Headers
from gatewaycore.privacy import seems_to_hold_address

_QUALITY: Final = re.compile(r"0(?:\.[0-9]*)?|1(?:\.0*)?")
_REMEMBERED_BYTES: Final = 512


@frozen
class Form:
    """One representation.

    Attributes:
        content_type: of the answer: "text/html; charset=utf-8".
        also: further media types that ask for it, beside its own.
    """

    content_type: str
    also: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The media types that ask for it by name."""
        return (self.content_type.partition(";")[0].strip(), *self.also)


class Forms:
    """The forms of a dialect.

    Args:
        forms: in order of preference, should the client have none.
    """

    def __init__(self, *forms: Form) -> None:
        self.all: Final[Sequence[Form]] = forms
        # Media ranges, the forms among the above that each takes, and how closely it names them.
        self._ranges: dict[str, tuple[int, list[int]]] = {"*/*": (0, list(range(len(forms))))}
        for number, form in enumerate(forms):
            for name in form.names:
                self._ranges.setdefault(f"{name.partition('/')[0]}/*", (1, []))[1].append(number)
                self._ranges.setdefault(name, (2, []))[1].append(number)
        # Clients of one kind send one Accept each: a handful of keys. Long ones are no client's, and would only fill memory.
        self._remembered = lru_cache(maxsize=256)(self.choose)

    def wanted(self, headers: Headers) -> int:
        """Return the number of the form that the fields of a request ask for."""
        accept = ",".join(headers.get_all("accept"))
        is_usual = len(accept) <= _REMEMBERED_BYTES and not seems_to_hold_address(accept)
        return self._remembered(accept) if is_usual else self.choose(accept)

    def choose(self, accept: str) -> int:
        """Return the number of the form that an ``Accept`` field asks for.

        Where nothing suits, the first is answered and not 406: the specifications allow both, and old clients send all kinds of things.
        """
        found: dict[int, tuple[int, float]] = {}
        for item in accept.split(","):
            name, *parameters = item.split(";")
            closeness, forms = self._ranges.get(name.strip().lower(), (0, []))
            quality = _quality(parameters)
            for one in forms:
                # The closest range decides: "*/*, text/html;q=0" refuses HTML.
                if (closeness, quality) > found.get(one, (-1, 0.0)):
                    found[one] = (closeness, quality)
        wanted = [(quality, closeness, -one) for one, (closeness, quality) in found.items() if quality > 0]
        return -max(wanted)[2] if wanted else 0


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            value = value.strip()
            return float(value) if _QUALITY.fullmatch(value) else 1.0
    return 1.0
