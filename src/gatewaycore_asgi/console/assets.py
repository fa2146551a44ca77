"""Assets: the console's own files and the charts' JavaScript. Their names change with what is in them, so browsers may keep them."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable, Mapping
from functools import cache
from hashlib import blake2b
from importlib.resources import files
from typing import Final

from attrs import frozen

_OWN: Final = {"console.css": "text/css", "console.js": "text/javascript", "icon.svg": "image/svg+xml"}
_VEGA: Final = "vega.js"
# What the bundle leaves on `window`, and nothing else: expressions are walked, never compiled, so that no policy has to allow `eval`.
_SNIPPET: Final = "window.gatewaycoreEmbed = vegaEmbed;"
_KEPT_LEVEL: Final = 6


@frozen
class Asset:
    """A file.

    Attributes:
        type: its media type.
        body: as it is.
        packed: with gzip.
    """

    type: str
    body: bytes
    packed: bytes


class Assets:
    """The files, by name. Threads share it."""

    def __init__(self) -> None:
        folder = files(__package__).joinpath("static")
        bodies = {name: folder.joinpath(name).read_bytes() for name in _OWN}
        self._own = {_hashed(name, body): (name, body) for name, body in bodies.items()}
        self.names: Mapping[str, str] = {name: hashed for hashed, (name, _) in self._own.items()} | {_VEGA: _hashed(_VEGA, _vega_mark())}
        """The names that pages use, by those that the files have."""
        self._found: dict[str, Asset] = {}
        self._lock = threading.Lock()

    def find(self, hashed: str) -> Asset | None:
        """Return a file by its name in URLs; None when there is none. The charts' JavaScript takes seconds to be made the first time."""
        with self._lock:
            if hashed not in self._found:
                if hashed in self._own:
                    name, body = self._own[hashed]
                    self._found[hashed] = _packed(_OWN[name], body)
                elif hashed == self.names[_VEGA]:
                    self._found[hashed] = _bundle()
            return self._found.get(hashed)


@cache
def style_name() -> str:
    """Return the name of the style sheet."""
    return _hashed("console.css", files(__package__).joinpath("static", "console.css").read_bytes())


def _hashed(name: str, body: bytes) -> str:
    stem, _, suffix = name.rpartition(".")
    return f"{stem}-{blake2b(body, digest_size=8).hexdigest()}.{suffix}"


def _packed(type_: str, body: bytes) -> Asset:
    return Asset(type_, body, gzip.compress(body, _KEPT_LEVEL, mtime=0))


def _vega_mark() -> bytes:
    import vl_convert

    versions = vl_convert.get_vega_version(), vl_convert.get_vega_embed_version(), vl_convert.get_vegalite_versions()
    return f"{versions} {_SNIPPET}".encode()


@cache
def _bundle() -> Asset:
    import vl_convert

    make: Callable[[str], str] = vl_convert.javascript_bundle
    return _packed("text/javascript", make(_SNIPPET).encode())
