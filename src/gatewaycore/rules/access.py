"""Access: tokens that let their bearers in, of which only hashes are kept."""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable
from hashlib import sha256

_PREFIX = "sha256:"
_HASHED = re.compile("(?:sha256:)?[0-9a-f]{64}")


def hash_token(token: str) -> str:
    """Return the form in which a token is kept: ``sha256:`` and 64 hex digits."""
    return f"{_PREFIX}{sha256(token.encode('utf-8', 'replace')).hexdigest()}"


def is_hashed(text: str) -> bool:
    """Tell whether `text` has that form, in either case; the prefix may be missing."""
    return _HASHED.fullmatch(text.lower()) is not None


def admits(hashes: Iterable[str], token: str | bytes) -> bool:
    """Tell whether `token` is one of those kept as `hashes`.

    Every one is compared, in constant time: the time taken tells nothing about which one was nearly right.
    """
    digest = sha256(token if isinstance(token, bytes) else token.encode("utf-8", "replace")).hexdigest()
    return sum(hmac.compare_digest(digest, one.lower().removeprefix(_PREFIX)) for one in hashes) > 0
