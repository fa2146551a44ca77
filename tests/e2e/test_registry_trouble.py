"""Registries that are down, too busy, or mean no good: what clients get through the gateway, and what the registries get of them."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response

from tests.e2e.https import Answer, Credentials, Server
from tests.e2e.pulling import ContainerClient
from tests.e2e.registries import ANN, GATEWAY, Lab, Registry, image, serve
from tests.e2e.running import Gateway, Programs

pytestmark = pytest.mark.e2e

CAROL = Credentials("carol", "c4r0l-s3cret")
NAME = "acme/skates"
OCI = "application/vnd.oci.image.manifest.v1+json"
PASSING = ["skopeo", "podman", "ctr", "docker"]


def answering(respond: Callable[[Request, str], Response | None]) -> Answer:
    """Answer with what `respond` says of a path, and 404 otherwise."""

    async def answer(request: Request) -> Response:
        return respond(request, request.url.path) or Response(status_code=404)

    return answer


def bearer(realm: str) -> Response:
    return Response(
        "{}", 401, {"www-authenticate": f'Bearer realm="{realm}",service="s"', "docker-distribution-api-version": "registry/2.0"}
    )


def foreign_realm(evil: Server) -> Answer:
    return answering(lambda _, path: bearer(f"{evil.url}/token"))


def two_realms(evil: Server) -> Answer:
    """Name a token server of its own first: one reader takes the first of two, and another the last."""

    async def answer(request: Request) -> Response:
        own = f"{request.url.scheme}://{request.url.netloc}/token"
        line = f'Bearer realm="{own}",service="s",realm="{evil.url}/token"'
        return Response("{}", 401, {"www-authenticate": line})

    return answer


def challenge_with_a_200(evil: Server) -> Answer:
    """Some clients read a challenge also where nothing was refused."""
    line = f'Bearer realm="{evil.url}/token",service="s"'
    return answering(
        lambda _, path: (
            Response("{}", 200, {"www-authenticate": line})
            if path == "/v2/"
            else Response(status_code=401, headers={"www-authenticate": line})
        )
    )


def to_metadata(_: Server) -> Answer:
    return answering(
        lambda request, path: (
            Response("{}", 200)
            if path == "/v2/"
            else Response(status_code=307, headers={"location": "http://169.254.169.254/latest/meta-data/"})
        )
    )


def in_circles(_: Server) -> Answer:
    return answering(
        lambda request, path: (
            Response("{}", 200) if path == "/v2/" else Response(status_code=302, headers={"location": f"{path}?{len(str(request.url))}"})
        )
    )


TROUBLE = {
    "a foreign realm": (foreign_realm, "not known to be its own"),
    "a foreign realm beside its own": (two_realms, "not known to be its own"),
    "a foreign realm where nothing is refused": (challenge_with_a_200, "not known to be its own"),
    "a redirect to where clouds keep secrets": (to_metadata, "nobody is sent to"),
    "redirects without end": (in_circles, "redirects without end"),
}


@pytest.fixture(params=TROUBLE)
def trouble(request: pytest.FixtureRequest, lab: Lab) -> tuple[Server, Server, str]:
    """A registry that means no good, a server that it would like clients' passwords at, and what clients are told."""
    make, told = TROUBLE[request.param]
    evil = lab.serve(answering(lambda _, path: Response('{"token": "t"}')), "127.0.0.9")
    return lab.serve(make(evil), "127.0.0.10"), evil, told


@pytest.mark.parametrize("strategy", ["proxy", "broker"])
def test_a_registry_that_means_no_good_gets_nothing_and_the_client_a_502(
    trouble: tuple[Server, Server, str], strategy: str, lab: Lab, programs: Programs, clients: dict[str, ContainerClient]
) -> None:
    registry, evil, told = trouble
    package = {"name": NAME, "type": "container", "domain": GATEWAY, "backend": f"{registry.authority}/{NAME}", "strategy": strategy}
    gateway = serve(programs, lab, {"packages": [package]})
    for name in PASSING:
        pulled = clients[name].pull(f"{gateway.authority}/{NAME}:1", CAROL)
        assert not pulled.ok, name
    assert evil.seen == []
    # Nobody's password has reached the registry either: it has no token server of its own.
    assert not any(seen.credentials for seen in registry.seen)
    with httpx.Client(verify=lab.certificates.context, trust_env=False) as asked:
        token = {"authorization": "Bearer anything"} if strategy == "broker" else {}
        answer = asked.get(f"{gateway.url}/v2/{NAME}/manifests/1", headers=token)
    assert answer.status_code == 502
    [error] = answer.json()["errors"]
    assert told in error["message"]
    log = gateway.program.said()
    assert registry.authority in log
    for secret in (CAROL.password, CAROL.basic):
        assert secret not in log
    assert len(registry.seen) < 200


def test_a_registry_inside_of_a_network_is_not_even_connected_to(lab: Lab, programs: Programs) -> None:
    with socket.create_server(("127.0.0.10", 0)) as inside:
        inside.settimeout(0.2)
        authority = f"127.0.0.10:{inside.getsockname()[1]}"
        packages = [{"name": NAME, "type": "container", "domain": GATEWAY, "backend": f"{authority}/{NAME}", "strategy": "proxy"}]
        gateway = serve(programs, lab, {"gateway": {"allow-private-backends": False}, "packages": packages})
        with httpx.Client(verify=lab.certificates.context, trust_env=False) as client:
            answer = client.get(f"{gateway.url}/v2/{NAME}/manifests/1")
        assert answer.status_code == 502
        assert "no address that this gateway connects to" in answer.text
        assert "allow-private-backends" in gateway.program.said()
        with pytest.raises(TimeoutError):
            inside.accept()


# --- down, and too busy -------------------------------------------------------------------------------------


@pytest.fixture
def closed() -> Iterator[str]:
    """An authority where nobody listens, and nobody else can."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.11", 0))
        yield f"127.0.0.11:{bound.getsockname()[1]}"


@pytest.mark.parametrize("name", PASSING)
def test_a_mirror_serves_when_the_registry_is_down(
    name: str, lab: Lab, programs: Programs, registries: dict[str, Registry], clients: dict[str, ContainerClient], closed: str
) -> None:
    mirror = registries["own"]
    package = {"name": "skates", "type": "container", "domain": GATEWAY, "backend": f"{closed}/acme/skates"}
    gateway = serve(programs, lab, {"packages": [{**package, "mirrors": [f"{mirror.authority}/{mirror.public}"]}]})
    mirror.forget()
    pulled = clients[name].pull(f"{gateway.authority}/skates:{mirror.oci.index_tag}", CAROL)
    assert pulled.ok, pulled.said
    # The password was for the registry that is down, and is shown to no mirror.
    assert mirror.tokens is not None
    assert {seen.credentials for seen in (*mirror.seen, *mirror.tokens.seen)} == {None}


def test_what_all_of_them_refuse_is_told_with_when_to_come_back(
    lab: Lab, programs: Programs, registries: dict[str, Registry], closed: str
) -> None:
    busy = lab.serve(answering(lambda _, path: Response(status_code=429, headers={"retry-after": "17"})), "127.0.0.10")
    held = registries["own"]
    package = image("skates", held, held.public, mirrors=[f"{busy.authority}/x", f"{closed}/y"])
    down = {**package, "name": "gone", "backend": f"{closed}/gone"}
    gateway = serve(programs, lab, {"packages": [package, down]})
    with httpx.Client(base_url=gateway.url, verify=lab.certificates.context, trust_env=False) as client:
        answer = client.get("/v2/gone/manifests/1", headers=token_of(client, "gone"))
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "17")
        assert answer.json()["errors"][0]["code"] == "TOOMANYREQUESTS"
        assert client.get(f"/v2/skates/manifests/{held.oci.tag}", headers=token_of(client, "skates")).status_code == 200


def test_a_public_manifest_is_served_by_digest_when_everything_is_down(
    lab: Lab, programs: Programs, registries: dict[str, Registry]
) -> None:
    held = registries["open"]
    switched: dict[str, Any] = {"on": True}

    async def through(request: Request) -> Response:
        if not switched["on"]:
            return Response(status_code=503, headers={"retry-after": "3"})
        async with httpx.AsyncClient(verify=lab.certificates.context, trust_env=False) as client:
            answered = await client.request(
                request.method,
                f"{held.server.url}{request.url.path}",
                headers={"accept": OCI},
            )
        kept = {name: answered.headers[name] for name in ("content-type", "docker-content-digest") if name in answered.headers}
        return Response(answered.content, answered.status_code, kept)

    front = lab.serve(through, "127.0.0.10")
    package = {
        "name": "skates",
        "type": "container",
        "domain": GATEWAY,
        "backend": f"{front.authority}/{held.public}",
        "strategy": "broker",
    }
    gateway = serve(programs, lab, {"packages": [package]})
    digest = held.oci.image.manifest
    with httpx.Client(base_url=gateway.url, verify=lab.certificates.context, trust_env=False) as client:
        token = token_of(client, "skates")
        body = client.get(f"/v2/skates/manifests/{held.oci.tag}", headers=token).content
        switched["on"] = False
        kept = client.get(f"/v2/skates/manifests/{digest}", headers=token)
        assert (kept.status_code, kept.content, kept.headers["docker-content-digest"]) == (200, body, digest)
        gone = client.get(f"/v2/skates/manifests/{held.oci.tag}", headers=token)
        assert (gone.status_code, gone.headers["retry-after"]) == (503, "3")


def token_of(client: httpx.Client, name: str) -> dict[str, str]:
    """Return the fields that a client pulls with."""
    answer = client.get("/v2/token", params={"scope": f"repository:{name}:pull"})
    assert answer.status_code == 200, answer.text
    return {"authorization": f"Bearer {answer.json()['token']}", "accept": OCI}


def test_pushes_are_refused_in_a_registrys_words(lab: Lab, programs: Programs, registries: dict[str, Registry]) -> None:
    held = registries["own"]
    gateway = serve(programs, lab, {"packages": [image("skates", held, held.public)]})
    held.forget()
    with httpx.Client(base_url=gateway.url, verify=lab.certificates.context, trust_env=False) as client:
        for method, path in (
            ("POST", "/v2/skates/blobs/uploads/"),
            ("PUT", "/v2/skates/manifests/1"),
            ("PATCH", "/v2/skates/blobs/uploads/x"),
            ("DELETE", "/v2/skates/manifests/1"),
        ):
            answer = client.request(method, path, content=b"{}", headers={"authorization": f"Basic {ANN.basic}"})
            assert answer.status_code == 405
            assert json.loads(answer.content)["errors"][0]["code"] == "UNSUPPORTED"
    assert held.seen == []


def test_names_of_the_backend_are_nowhere_in_what_comes_back(lab: Lab, programs: Programs, registries: dict[str, Registry]) -> None:
    """Everything that a real registry says of an image, in the client's words."""
    held = registries["own"]
    gateway = serve(programs, lab, {"packages": [image("skates", held, held.public), image("secret", held, held.private)]})
    missing = "sha256:" + "0" * 64
    with httpx.Client(base_url=gateway.url, verify=lab.certificates.context, trust_env=False) as client:
        token = token_of(client, "skates")
        said = []
        for path, status in (
            ("/v2/", 401),
            ("/v2/skates/tags/list", 200),
            ("/v2/skates/manifests/none", 404),
            (f"/v2/skates/manifests/{missing}", 404),
            (f"/v2/skates/blobs/{missing}", 404),
            (f"/v2/skates/manifests/{held.oci.tag}", 200),
            ("/v2/secret/manifests/none", 401),
            (f"/v2/skates/referrers/{missing}", 404),
        ):
            answer = client.get(path, headers={} if path == "/v2/" else token)
            assert answer.status_code == status, (path, answer.text)
            said.append(f"{answer.headers!r}{answer.text}")
        assert client.get("/v2/skates/tags/list", headers=token).json()["name"] == "skates"
    assert not [text for text in said if held.public in text or held.private in text or held.authority in text]


def served_files(gateway: Gateway) -> list[Path]:
    return [path for path in gateway.data_dir.rglob("*") if path.is_file()]


def test_no_password_and_no_token_is_kept(
    lab: Lab, programs: Programs, registries: dict[str, Registry], clients: dict[str, ContainerClient]
) -> None:
    held = registries["own"]
    gateway = serve(programs, lab, {"packages": [image("secret", held, held.private)]}, "--log-level", "debug")
    assert clients["skopeo login"].pull(f"{gateway.authority}/secret:{held.oci.tag}", ANN).ok
    assert held.tokens is not None
    kept = gateway.program.said() + "".join(path.read_text(errors="replace") for path in served_files(gateway))
    assert "manifest" in kept
    assert ANN.password not in kept
    assert ANN.basic not in kept
    tokens = {seen.token for seen in held.seen} - {None}
    assert tokens
    assert not [token for token in tokens if token and token in kept]
