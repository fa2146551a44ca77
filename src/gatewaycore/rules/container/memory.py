"""Memory: what one domain's registry has learned while it ran, bounded, and lost with its process.

Not settings: a gateway decides the same without it, and asks once more. Time comes in with each request.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from hashlib import blake2b, sha256

from attrs import frozen

from gatewaycore.rules.container.backend import Backend
from gatewaycore.rules.container.challenges import Foreign, Wanted
from gatewaycore.rules.recent import Recent

WANTED_TTL = timedelta(hours=1)
"""How long what a registry wants is believed to stay so: token servers move rarely, and one that fails makes it asked again."""

MANIFEST_BYTES = 32 * 1024 * 1024
_TOKENS = 4096
_TOKEN_BYTES = 8 * 1024 * 1024


@frozen
class Kept:
    """A manifest, by its digest: it can never change.

    Attributes:
        media_type: of the body.
        body: whole.
    """

    media_type: str
    body: bytes


class Memory:
    """What has been learned: what each backend wants, which tokens stand for nobody, and manifests that anybody may have."""

    __slots__ = ("_anonymous", "_manifests", "_mirror_tokens", "_wanted")

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._wanted: dict[Backend, tuple[Wanted, datetime]] = {}
        self._anonymous: Recent[bytes, bool] = Recent(_TOKENS)
        self._mirror_tokens: Recent[tuple[Backend, str], tuple[str, datetime]] = Recent(_TOKEN_BYTES)
        self._manifests: Recent[tuple[Backend, str, str], Kept] = Recent(MANIFEST_BYTES)

    def wanted(self, backend: Backend, now: datetime) -> Wanted | None:
        """Return what a backend wants, as far as it was asked within the last hour."""
        found = self._wanted.get(backend)
        return None if found is None or now >= found[1] else found[0]

    def learn(self, backend: Backend, wanted: Wanted, now: datetime) -> None:
        """Take note of what a backend wants; a token server that is not its own is not taken note of, and may be another the next time."""
        if not isinstance(wanted, Foreign):
            self._wanted[backend] = (wanted, now + WANTED_TTL)

    def forget(self, backend: Backend) -> None:
        """Ask a backend again: what it wants is not what it gave."""
        self._wanted.pop(backend, None)

    def note_anonymous(self, token: str) -> None:
        """Take note of a token that anybody may have; its hash is enough."""
        self._anonymous.put(_hash(token), True)

    def is_anonymous(self, token: str) -> bool:
        """Tell whether a token is known to be one that anybody may have."""
        return self._anonymous.get(_hash(token)) is True

    def mirror_token(self, backend: Backend, repository: str, now: datetime) -> str | None:
        """Return the token that a mirror gave to anybody, as long as it is good."""
        found = self._mirror_tokens.get((backend, repository))
        return None if found is None or now >= found[1] else found[0]

    def keep_mirror_token(self, backend: Backend, repository: str, token: str, expires_in: int, now: datetime) -> None:
        """Keep it for most of the time that it is good for."""
        self._mirror_tokens.put((backend, repository), (token, now + timedelta(seconds=0.8 * min(expires_in, 86_400))), len(token))

    def forget_mirror_token(self, backend: Backend, repository: str) -> None:
        """Let go of one that does not do."""
        self._mirror_tokens.drop((backend, repository))

    def keep_manifest(self, backend: Backend, repository: str, digest: str, media_type: str, body: bytes) -> None:
        """Keep a manifest that anybody may have, if it is what its digest says."""
        if digest == f"sha256:{sha256(body).hexdigest()}":
            self._manifests.put((backend, repository, digest), Kept(media_type, body), len(body) + 512)

    def manifest(self, backend: Backend, repository: str, digest: str) -> Kept | None:
        """Return a manifest by its digest, or None."""
        return self._manifests.get((backend, repository, digest))


def _hash(token: str) -> bytes:
    return blake2b(token.encode("utf-8", "replace"), digest_size=16).digest()
