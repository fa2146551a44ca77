"""HTTPS on loopback: certificates of an authority of the lab's own, and servers in threads that remember what they were asked.

Hosts are addresses in 127/8, which need no names. A server that stands for another host wants another address: clients with a newer Go
keep `Authorization` on a redirect to another port of the same host, so a lab on one address would be kinder than the world is.
"""

from __future__ import annotations

import base64
import binascii
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs

import trustme
import uvicorn
from attrs import frozen
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

HOSTS = ("localhost", *(f"127.0.0.{number}" for number in range(1, 16)))
"""What the certificate is for: `localhost` is another name of 127.0.0.1, and the others are hosts of their own."""

_GRACE_S = 1
_FORM = "application/x-www-form-urlencoded"

Answer = Callable[[Request], Awaitable[Response]]


@frozen
class Credentials:
    """What a client logs in with."""

    user: str
    password: str

    @property
    def basic(self) -> str:
        """The two as Basic authentication carries them (RFC 7617 §2)."""
        return base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


@frozen
class Certificates:
    """Files in PEM.

    Attributes:
        authority: the certificate of the authority, for clients.
        chain: the servers' certificate, for every one of `HOSTS`.
        key: the servers' key.
    """

    authority: Path
    chain: Path
    key: Path

    @property
    def trust(self) -> dict[str, str]:
        """The environment that makes a client trust the authority: Go's, OpenSSL's and Python's."""
        return {"SSL_CERT_FILE": str(self.authority), "REQUESTS_CA_BUNDLE": str(self.authority)}

    @property
    def context(self) -> ssl.SSLContext:
        """The same for a client in this process."""
        return ssl.create_default_context(cafile=self.authority)


def certify(folder: Path) -> Certificates:
    """Make an authority, and a certificate and a key for servers; they lie in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    made = Certificates(folder / "ca.pem", folder / "cert.pem", folder / "key.pem")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(made.authority)
    issued = authority.issue_cert(*HOSTS)
    issued.private_key_pem.write_to_path(made.key)
    for link in issued.cert_chain_pems:
        link.write_to_path(made.chain, append=True)
    return made


@frozen
class Seen:
    """A request as a server saw it, and the status that it was answered with.

    Attributes:
        method: as sent.
        path: as sent, without the query.
        query: name -> every value, in the order of arrival.
        form: the same, of a form in the body.
        headers: with lower-case names; of a repeated one the last.
        status: of the answer.
    """

    method: str
    path: str
    query: Mapping[str, list[str]]
    form: Mapping[str, list[str]]
    headers: Mapping[str, str]
    status: int

    @property
    def scheme(self) -> str | None:
        """How `Authorization` begins, in lower case: "basic", "bearer"; None without it."""
        return self.headers["authorization"].partition(" ")[0].lower() if "authorization" in self.headers else None

    @property
    def credentials(self) -> Credentials | None:
        """The user and the password that came with it, as Basic authentication or in a form."""
        if self.scheme == "basic":
            return _decode(self.headers["authorization"].partition(" ")[2])
        if "password" in self.form:
            return Credentials(self.form.get("username", [""])[-1], self.form["password"][-1])
        return None

    @property
    def token(self) -> str | None:
        """The Bearer token that came with it."""
        return self.headers["authorization"].partition(" ")[2] if self.scheme == "bearer" else None


def _decode(basic: str) -> Credentials | None:
    try:
        user, colon, password = base64.b64decode(basic, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return Credentials(user, password) if colon else None


async def see(request: Request, status: int) -> Seen:
    """Return what a server that answers `status` has to remember of a request; the body stays readable."""
    form = (await request.body()).decode(errors="replace") if request.headers.get("content-type", "").startswith(_FORM) else ""
    return Seen(
        request.method,
        request.scope["raw_path"].partition(b"?")[0].decode(),
        parse_qs(request.url.query, keep_blank_values=True),
        parse_qs(form, keep_blank_values=True),
        dict(request.headers),
        status,
    )


class Server:
    """A server in a thread, over HTTPS.

    Attributes:
        authority: its host and port, known before it starts.
        seen: every request, in the order of the answers.

    Args:
        answer: answers a request.
        host: one of `HOSTS`.
        certificates: its certificate and key.
    """

    def __init__(self, answer: Answer, host: str, certificates: Certificates) -> None:
        self.seen: list[Seen] = []
        self._answer = answer
        self._socket = socket.create_server((host, 0), backlog=128)
        self.authority = f"{host}:{self._socket.getsockname()[1]}"
        settings = uvicorn.Config(
            self._app,
            ssl_certfile=certificates.chain,
            ssl_keyfile=certificates.key,
            interface="asgi3",
            lifespan="off",
            ws="none",
            proxy_headers=False,
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            timeout_graceful_shutdown=_GRACE_S,
        )
        self._server = uvicorn.Server(settings)
        # The socket listens already: who comes before the thread is ready waits in its backlog.
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), name=self.authority)

    @property
    def url(self) -> str:
        """Its origin."""
        return f"https://{self.authority}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        # Read before it is answered: Request remembers its body.
        await request.body()
        response = await self._answer(request)
        self.seen.append(await see(request, response.status_code))
        await response(scope, receive, send)
