"""Real registries on loopback: Debian's docker-registry over HTTPS, with images in it, with and without tokens, with and without a CDN.

In front of each stands a small server, as everywhere in the world: it ends TLS, remembers what was asked, and serves the registry's own
realm where it has one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import yaml
from attrs import frozen
from starlette.requests import Request
from starlette.responses import Response

from tests.e2e.https import Answer, Certificates, Credentials, Seen, Server, certify
from tests.e2e.images import DOCKER, OCI, Format, Image, push_layout, write_layout
from tests.e2e.running import Gateway, Program, Programs, tool
from tests.e2e.tokens import PATH as REALM
from tests.e2e.tokens import Tokens

GATEWAY = "127.0.0.8"
"""The domain of gateways in front of the registries."""

ANN = Credentials("ann", "eight wheels")
BOB = Credentials("bob", "no:wheels")

_LISTENING = r"listening on 127[.]0[.]0[.]1:([0-9]+)"
# RFC 9110 §7.6.1; and httpx writes its own length.
_OF_A_CONNECTION = {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}


@frozen
class Content:
    """An image as it is pushed.

    Attributes:
        layout: the folder that it comes from.
        tag: of the image for amd64 alone.
        index_tag: of the index.
        image: what is in it.
    """

    layout: Path
    tag: str
    index_tag: str
    image: Image


@frozen(eq=False)
class Cdn:
    """Object storage over HTTPS: it holds a registry's blobs, and refuses requests that carry `Authorization`, as S3 does.

    Attributes:
        server: where clients get the blobs.
        sent: the bodies' sizes in bytes, in the order of the answers.
    """

    server: Server
    sent: list[int]


@frozen(eq=False)
class Registry:
    """A registry with two repositories, each with both images.

    Attributes:
        name: the first segment of its repositories' names.
        server: where clients find it.
        public: a repository that anybody may pull.
        private: one that needs a password, where there are tokens.
        oci: the image in OCI's media types.
        docker: the same in Docker's.
        tokens: gives its tokens; None where anybody may pull everything.
        realm: the URL that clients are sent to for a token; None without tokens.
        cdn: has its blobs, if clients are sent there with a 307.
    """

    name: str
    server: Server
    public: str
    private: str
    oci: Content
    docker: Content
    tokens: Tokens | None
    realm: str | None
    cdn: Cdn | None

    @property
    def authority(self) -> str:
        """Host and port."""
        return self.server.authority

    @property
    def seen(self) -> list[Seen]:
        """Every request that it has answered."""
        return self.server.seen

    def forget(self) -> None:
        """Forget what it, its token server and its CDN have seen."""
        self.seen.clear()
        if self.tokens:
            self.tokens.seen.clear()
        if self.cdn:
            self.cdn.server.seen.clear()
            self.cdn.sent.clear()


class Lab:
    """Starts registries, and ends them.

    Attributes:
        certificates: which all of its servers have; clients trust the authority.
        oci: what is in every registry.
        docker: what is there too.

    Args:
        programs: starts the registries.
        folder: for certificates, images and storage.
    """

    def __init__(self, programs: Programs, folder: Path) -> None:
        self.certificates: Certificates = certify(folder / "certificates")
        self.oci = _content(folder / "oci", "1.2.3", OCI)
        self.docker = _content(folder / "docker", "1.2.3-docker", DOCKER)
        self._programs = programs
        self._folder = folder
        self._servers = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._servers.close()

    def serve(self, answer: Answer, host: str) -> Server:
        """Start a server of one's own with the lab's certificate; it ends with the lab."""
        return self._servers.enter_context(Server(answer, host, self.certificates))

    def registry(
        self,
        name: str,
        host: str,
        *,
        account: Credentials | None = None,
        realm_host: str | None = None,
        takes_forms: bool = True,
        cdn_host: str | None = None,
    ) -> Registry:
        """Start a registry with images in it.

        Args:
            name: the first segment of its repositories' names; in one lab once.
            host: where it listens.
            account: who may pull what is private; the registry then asks everybody for a token.
            realm_host: where the token server listens; at the registry's own host and port unless given.
            takes_forms: whether the token server knows POST.
            cdn_host: where its blobs are; without it the registry sends them itself.
        """
        public, private = f"{name}/skates", f"{name}/secret"
        storage = self._folder / name
        self._push(name, storage, (public, private))
        settings = _settings(storage)
        cdn = self._cdn(cdn_host, storage) if cdn_host else None
        if cdn:
            settings["middleware"] = {"storage": [{"name": "redirect", "options": {"baseurl": f"{cdn.server.url}/"}}]}
        tokens = None
        if account:
            passwords = {account.user: account.password}
            tokens = Tokens(f"{name}-tokens", f"{name}-registry", passwords, {public}, takes_forms)
        front = _Front(tokens if tokens and not realm_host else None)
        server = self.serve(front.answer, host)
        realm = None
        if tokens:
            authority = self.serve(tokens.answer, realm_host).authority if realm_host else server.authority
            realm = f"https://{authority}{REALM}"
            (storage / "tokens.pem").write_bytes(tokens.certificate)
            settings["auth"] = {"token": _believe(tokens, realm, storage / "tokens.pem")}
        front.backend = self._start(name, settings)[1]
        return Registry(name, server, public, private, self.oci, self.docker, tokens, realm, cdn)

    def _cdn(self, host: str, storage: Path) -> Cdn:
        sent: list[int] = []

        async def answer(request: Request) -> Response:
            if "authorization" in request.headers:
                return Response("Only one auth mechanism allowed", 400)
            file = (storage / request.url.path.lstrip("/")).resolve()
            if not (file.is_relative_to(storage.resolve()) and file.is_file()):
                return Response(status_code=404)
            content = file.read_bytes()
            if request.method == "GET":
                sent.append(len(content))
            return Response(content, media_type="application/octet-stream")

        return Cdn(self.serve(answer, host), sent)

    def _push(self, name: str, storage: Path, repositories: Sequence[str]) -> None:
        """Fill a registry's storage, by way of one that lets everybody push."""
        program, port = self._start(f"{name}-push", _settings(storage))
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as pusher:
            for content, repository in product((self.oci, self.docker), repositories):
                push_layout(content.layout, pusher, repository)
        program.stop()

    def _start(self, name: str, settings: dict[str, Any]) -> tuple[Program, int]:
        file = self._folder / f"{name}.yaml"
        file.write_text(yaml.safe_dump(settings))
        program = self._programs.start(name, [tool("docker-registry", "docker-registry"), "serve", str(file)])
        return program, program.listen(_LISTENING)


class _Front:
    """Passes requests on to the registry; those for its own realm are answered at once."""

    def __init__(self, tokens: Tokens | None) -> None:
        self.backend = 0
        self._tokens = tokens

    async def answer(self, request: Request) -> Response:
        if self._tokens and request.url.path == REALM:
            return await self._tokens.answer(request)
        target = request.scope["raw_path"].decode() + (f"?{request.url.query}" if request.url.query else "")
        headers = [(name, value) for name, value in request.headers.raw if name.decode() not in _OF_A_CONNECTION]
        headers.append((b"x-forwarded-proto", b"https"))
        # Each request has a connection of its own: nothing is left open when the lab ends.
        async with (
            httpx.AsyncClient(verify=False, trust_env=False) as client,
            client.stream(
                request.method, f"http://127.0.0.1:{self.backend}{target}", headers=headers, content=await request.body()
            ) as answered,
        ):
            content = b"".join([chunk async for chunk in answered.aiter_raw()])
        response = Response(content, answered.status_code)
        response.raw_headers = [
            (name.lower(), value) for name, value in answered.headers.raw if name.decode().lower() not in _OF_A_CONNECTION
        ]
        return response


def _content(layout: Path, tag: str, kinds: Format) -> Content:
    return Content(layout, tag, f"{tag}-all", write_layout(layout, tag, f"{tag}-all", kinds))


def _settings(storage: Path) -> dict[str, Any]:
    return {
        "version": 0.1,
        "log": {"level": "info", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(storage)}},
        "http": {"addr": "127.0.0.1:0"},
    }


def _believe(tokens: Tokens, realm: str, bundle: Path) -> dict[str, str]:
    return {"realm": realm, "service": tokens.service, "issuer": tokens.issuer, "rootcertbundle": str(bundle)}


def image(name: str, registry: Registry, repository: str, **settings: Any) -> dict[str, Any]:
    """Return the entry of an image that clients call `name`."""
    entry = {"name": name, "type": "container", "domain": GATEWAY, "backend": f"{registry.authority}/{repository}", **settings}
    if registry.realm and registry.authority not in registry.realm:
        entry["allowed-realms"] = ["127.0.0.6"]
    return entry


def serve(programs: Programs, lab: Lab, config: Mapping[str, Any], *options: str) -> Gateway:
    """Serve a gateway over HTTPS, which may connect to this machine and trusts the lab's authority."""
    tls = ("--tls-cert", str(lab.certificates.chain), "--tls-key", str(lab.certificates.key))
    settings = {"allow-private-backends": True, **config.get("gateway", {})}
    return programs.serve({**config, "gateway": settings}, *tls, *options, host=GATEWAY, env=lab.certificates.trust)
