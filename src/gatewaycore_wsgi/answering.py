"""The head of an answer, in WSGI's words: a status with its phrase, and header lines that PEP 3333 allows."""

from __future__ import annotations

import re
from collections.abc import Iterable
from http import HTTPStatus

from gatewaycore.headers import HOP_BY_HOP
from gatewaycore_wsgi.types import StartResponse

_STATUS_LINES = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}
# Only a server may send hop-by-hop fields (PEP 3333 §"Other HTTP Features"), and a CGI gateway would take "Status" for the status line.
_NOT_OURS = HOP_BY_HOP | {b"trailers", b"status"}
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


def begin(start_response: StartResponse, status: int, lines: Iterable[tuple[bytes, bytes]]) -> None:
    """Call `start_response`.

    An upstream's line with a control character is left out, for a server may refuse the whole answer (PEP 3333 §"The start_response()
    Callable"); a tab, which HTTP allows inside a value and PEP 3333 does not, becomes a space.
    """
    start_response(
        _STATUS_LINES.get(status) or f"{status} Unknown",
        [
            (name.decode("latin-1"), value.decode("latin-1").replace("\t", " "))
            for name, value in lines
            if name not in _NOT_OURS and not _CONTROL.search(value)
        ],
    )
