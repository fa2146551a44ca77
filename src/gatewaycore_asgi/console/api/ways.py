"""Ways: which methods a path takes. The framework knows, but tells of each handler by itself."""

from __future__ import annotations

from collections.abc import Iterable

from litestar.handlers import HTTPRouteHandler

_OPTIONS = "OPTIONS"


class Ways:
    """The methods of each path.

    Args:
        handlers: all there are.
        prefix: what stands before their paths.
    """

    def __init__(self, handlers: Iterable[HTTPRouteHandler], prefix: str) -> None:
        self._found: dict[tuple[str, ...], set[str]] = {}
        for handler in handlers:
            for path in handler.paths:
                segments = tuple("" if one.startswith("{") else one for one in _segments(f"{prefix}/{path.strip('/')}"))
                self._found.setdefault(segments, {_OPTIONS}).update(handler.http_methods)

    def methods(self, path: str) -> list[str]:
        """Return the methods that a path takes, HEAD where it takes GET; none where nothing is."""
        asked = _segments(path)
        for segments, methods in self._found.items():
            if len(segments) == len(asked) and all(own in ("", there) for own, there in zip(segments, asked, strict=True)):
                return sorted({*methods, "HEAD"} if "GET" in methods else methods)
        return []


def _segments(path: str) -> list[str]:
    return path.strip("/").split("/")
