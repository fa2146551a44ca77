"""Everything gatewaycore raises on purpose; imports nothing.

    GatewayError
     ├── ConfigError      a configuration that cannot be used, with every problem found in it
     │    └── MissingExtraError  it could be, if an extra were installed here
     ├── TemplateError    a URL template that RFC 6570 (or matching) does not allow, with the place
     ├── RequestError     a request that cannot be turned into a `Request`, with the status to answer
     ├── AccessError      somebody may not do what they ask for
     │    ├── UnknownError   or it is not there, as far as they may know
     │    ├── ConflictError  or it cannot be done as things are
     │    └── TooSoonError   or not again so soon
     └── SinkError        a sink that cannot take events now
          ├── PoisonError   a sink that will never take some of them
          └── RefusedError  a sink that does not take some of them, and does not know which

Foreign exceptions are chained where they cross into this tree.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self


class GatewayError(Exception):
    """The root of everything raised on purpose."""


class Problem:
    """One thing wrong with a configuration.

    Args:
        where: the place, as a reader finds it: ``gateway.yaml:12: packages[3].routes[0].incoming-path``.
        what: what is wrong, with the bad value.
        hint: what to write instead; empty when there is nothing better to say than `what`.
        about: the compiled route it is about, where rules that are fine by themselves do not go together: whoever knows which rule
            made it knows the place, and ends `where` with the key (``domain docker.acme.com: backend``). Not part of what is compared.
        document: the name of the document it is in, where there are several. Not part of what is compared.
    """

    __slots__ = ("about", "document", "hint", "what", "where")

    def __init__(self, where: str, what: str, hint: str = "", *, about: object = None, document: str = "") -> None:
        self.where = where
        self.what = what
        self.hint = hint
        self.about = about
        self.document = document

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" + (f" ({self.hint})" if self.hint else "")

    def __repr__(self) -> str:
        return f"Problem({self.where!r}, {self.what!r}, {self.hint!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Problem) and (self.where, self.what, self.hint) == (other.where, other.what, other.hint)

    __hash__ = None  # type: ignore[assignment]


class ConfigError(GatewayError):
    """A configuration that cannot be used; `problems` holds all of them, not only the first."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class MissingExtraError(ConfigError):
    """A configuration that needs what is not installed here: nothing is wrong with it, and another machine may well have it."""

    @classmethod
    def of(cls, where: str, extra: str) -> Self:
        """Return what is to be said when `where` needs an extra of this distribution."""
        needed = f"gatewaycore[{extra}]"
        return cls([Problem(where, f"needs {needed}", f"pip install '{needed}'")])


class TemplateError(GatewayError):
    """A URL template that cannot be parsed or matched.

    Args:
        message: what is wrong.
        source: the template as written.
        span: start and end offsets in `source` of what is wrong.
    """

    def __init__(self, message: str, source: str, span: tuple[int, int]) -> None:
        self.message = message
        self.source = source
        self.span = span
        start, end = span
        super().__init__(f"{message}\n    {source}\n    {' ' * start}{'^' * max(1, end - start)}")


class RequestError(GatewayError):
    """A request that no `Request` can be made of; `status` is what to answer (RFC 9110 §15.5)."""

    def __init__(self, message: str, status: int = 400) -> None:
        self.status = status
        super().__init__(message)


class AccessError(GatewayError):
    """Somebody is known, and may not do what they ask for; `status` is what to answer (RFC 9110 §15.5)."""

    status = 403


class UnknownError(AccessError):
    """What is asked for is not there, or those who ask may not know that it is: the two are told alike."""

    status = 404


class ConflictError(AccessError):
    """What is asked for cannot be done as things are: a name is taken, the last owner would go, somebody else was quicker."""

    status = 409


class TooSoonError(AccessError):
    """What is asked for was done a moment ago, and may be done again in `wait_s` seconds."""

    status = 429

    def __init__(self, message: str, wait_s: int) -> None:
        self.wait_s = wait_s
        super().__init__(message)


class SinkError(GatewayError):
    """A sink that cannot take events now; the shipper keeps them and tries again.

    What it says is logged: no word of it is a secret, an address or a piece of an event.
    """


class PoisonError(SinkError):
    """A sink will never take some lines of a batch: the shipper sets them aside, and sends the others again.

    So the sink has kept none of the batch; or, where its store does not tell by `id` what comes again, it knows the others itself.

    Args:
        lines: their positions in the batch, from 0.
        reason: in words; kept beside the lines.
    """

    def __init__(self, lines: Sequence[int], reason: str) -> None:
        self.lines = tuple(lines)
        self.reason = reason
        super().__init__(reason)


class RefusedError(SinkError, ValueError):
    """A store refuses a batch for what it holds, and does not say which lines it is: the shipper looks for them.

    They are set aside when others are taken. A store that refuses everything may be set up wrongly, and is tried again.
    """


def words_of(error: BaseException) -> str:
    """Return what may be logged of an error: our own sentences. Of others, and of what a sink says of a line, only the name."""
    if isinstance(error, GatewayError) and not isinstance(error, PoisonError):
        return str(error) or type(error).__name__
    return type(error).__name__
