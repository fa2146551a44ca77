"""Way: how the requests for an image reach it, as far as settings tell; thousands of images share one."""

from __future__ import annotations

from typing import Literal, TypeAlias

from attrs import frozen

from gatewaycore.rules.access import admits

Strategy: TypeAlias = Literal["auto", "redirect", "proxy", "broker"]

DEADLINE_S = 20


@frozen
class Way:
    """Settings of one image or of many.

    Attributes:
        strategy: "redirect", "proxy" and "broker" hold for every client; "auto" asks the table of clients.
        status: of a redirect.
        public: whether everybody may pull, and nobody needs to show credentials for it.
        access_tokens: hashes of what the gateway's own users log in with (``sha256:…``).
        deadline_s: how long all places together may take to begin to answer, where there are several.
    """

    strategy: Strategy = "auto"
    status: int = 302
    public: bool = False
    access_tokens: tuple[str, ...] = ()
    deadline_s: int = DEADLINE_S

    def admits(self, password: str | None) -> bool:
        """Tell whether whoever shows this password may use the gateway's own credentials."""
        return self.public or (password is not None and admits(self.access_tokens, password))
