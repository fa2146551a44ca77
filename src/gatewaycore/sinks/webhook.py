"""Sink `webhook`: batches of events, POSTed as lines of JSON and signed, to a receiver of one's own.

What a receiver needs: `verify`, and the events' ids, for whatever was sent may be sent again. A batch that comes again has the same
`Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header), unless the gateway was started anew in between.
"""

from __future__ import annotations

import gzip
import hashlib
import hmac
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from attrs import field, frozen

from gatewaycore._version import __version__
from gatewaycore.errors import ConfigError, Problem, RefusedError, SinkError
from gatewaycore.sinks.rows import Part, Parts, check_positive, pair
from gatewaycore.sinks.urls import is_url

if TYPE_CHECKING:
    import httpx

    from gatewaycore.connecting import Deadline

SIGNATURE = "gateway-signature"
"""``v1=`` and HMAC-SHA256 of timestamp, "." and body, in hexadecimal digits."""

TIMESTAMP = "gateway-timestamp"
"""When it was sent, in seconds since the epoch."""

_TOLERANCE_S = 300.0
# A receiver that asks for more is asked again all the same: it may have meant another unit.
_LONGEST_PAUSE_S = 3600.0
# What it has to say besides the status is not read to the end.
_ANSWER_BYTES = 64 * 1024
# They speak of the body (RFC 9110 §15.5.1, §15.5.14, §15.5.21): something in it will never be taken. All others speak of the place, the
# password or the moment, which somebody will mend.
_OF_THE_BODY = frozenset({400, 413, 422})


def verify(secret: str, headers: Mapping[str, str], body: bytes, *, now_s: float | None = None, tolerance_s: float = _TOLERANCE_S) -> bool:
    """Tell whether a request comes from a gateway that has the secret, and was sent just now: for receivers.

    Args:
        secret: as in the gateway's configuration.
        headers: of the request, in any case.
        body: as it came, before any `Content-Encoding` is undone.
        now_s: the time, in seconds since the epoch, if not now.
        tolerance_s: how old, or how far ahead, a request may be.
    """
    found = {name.lower(): value for name, value in headers.items()}
    timestamp = found.get(TIMESTAMP, "")
    if not (timestamp.isascii() and timestamp.isdigit()) or len(timestamp) > 20:
        return False
    signed = hmac.compare_digest(found.get(SIGNATURE, "").encode(), sign(secret, timestamp, body).encode())
    return signed and abs((time.time() if now_s is None else now_s) - int(timestamp)) <= tolerance_s


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """Return the signature of a body."""
    return "v1=" + hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


@frozen(kw_only=True)
class WebhookStorage:
    """Settings of the sink `webhook`.

    Attributes:
        url: where to; ``https://…``. It may hold a token, so it is shown nowhere.
        secret: signs; None signs nothing.
        batch: the most events in a request.
        timeout_s: for each request, from its beginning to the end of the answer.
        gzip: whether the body is compressed.
        allow_private: whether the receiver may be in a private network or on this machine.
    """

    url: str = field(repr=False)
    secret: str | None = field(default=None, repr=False)
    batch: int = field(default=1000, validator=check_positive)
    timeout_s: float = field(default=30.0, validator=check_positive)
    gzip: bool = True
    allow_private: bool = False

    def open(self) -> WebhookSink:
        """Make the sink.

        Raises:
            ConfigError: the URL is none.
        """
        from gatewaycore.connecting import Deadline, open_client

        self.check()
        deadline = Deadline()
        return WebhookSink(open_client(private=self.allow_private, deadline=deadline), deadline, self)

    def check(self) -> None:
        """Find out whether the settings can be used.

        Raises:
            ConfigError: as `open`.
        """
        if not is_url(self.url, "http", "https"):
            raise ConfigError([Problem("sinks: webhook: url", "is not a URL", "write https://host/path")])


class WebhookSink:
    """Sends events, one request after the other.

    Args:
        client: connects to permitted addresses only.
        deadline: of the client's requests.
        settings: the rest.
    """

    batch_bytes = 4 * 1024 * 1024
    linger_s = 1.0

    def __init__(self, client: httpx.Client, deadline: Deadline, settings: WebhookStorage) -> None:
        self._client = client
        self._deadline = deadline
        self._settings = settings
        self._resumes_at = 0.0
        self._parts = Parts(settings.batch, self.batch_bytes)

    def write(self, lines: Sequence[bytes]) -> None:
        """Send a batch, in parts.

        Raises:
            SinkError: the receiver is not there, or does not take it now; it is not asked before it wants to be.
            PoisonError: some lines are no events.
            RefusedError: it refuses some of it for what it holds.
        """
        if time.monotonic() < self._resumes_at:
            raise SinkError("webhook: the receiver wants to be left alone for now")
        for part in self._parts.cut(pair(lines)):
            if not part.taken:
                part.sent = True
                self._post(part)
                part.taken = True
        self._parts.forget()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _post(self, part: Part) -> None:
        import httpx

        body = b"".join(line for line, _ in part.pairs)
        headers = {
            "content-type": "application/x-ndjson",
            "user-agent": f"gatewaycore/{__version__}",
            # A string of RFC 9651, as the draft wants it.
            "idempotency-key": f'"{part.key}"',
        }
        if self._settings.gzip:
            body = gzip.compress(body, 6, mtime=0)
            headers["content-encoding"] = "gzip"
        if self._settings.secret is not None:
            headers[TIMESTAMP] = str(int(time.time()))
            headers[SIGNATURE] = sign(self._settings.secret, headers[TIMESTAMP], body)
        self._deadline.begin(self._settings.timeout_s)
        try:
            with self._client.stream("POST", self._settings.url, content=body, headers=headers, timeout=self._settings.timeout_s) as answer:
                # Read, so that the connection can be used again.
                size = 0
                for chunk in answer.iter_raw():
                    size += len(chunk)
                    if size > _ANSWER_BYTES:
                        break
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise SinkError(f"webhook: {type(error).__name__}") from None
        if answer.is_success:
            return
        if answer.status_code in _OF_THE_BODY:
            # Nobody has it, and what comes again may be cut otherwise.
            part.sent = False
            raise RefusedError(f"webhook: status {answer.status_code}")
        if answer.status_code in (429, 503):
            self._resumes_at = time.monotonic() + _pause_s(answer.headers.get("retry-after", ""))
        raise SinkError(f"webhook: status {answer.status_code}")


def _pause_s(text: str) -> float:
    """Return how long a `Retry-After` (RFC 9110 §10.2.3) asks to wait: seconds, or a date."""
    if text.isascii() and text.isdigit():
        wanted = float(text[:10])
    else:
        try:
            wanted = (parsedate_to_datetime(text).astimezone(UTC) - datetime.now(UTC)).total_seconds()
        except (ValueError, OverflowError):
            return 0.0
    return max(0.0, min(wanted, _LONGEST_PAUSE_S))
