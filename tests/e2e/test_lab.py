"""The lab itself: every client pulls directly from every kind of registry what it may, and nothing else."""

from __future__ import annotations

import httpx
import pytest

from tests.e2e.container_clients import CLIENTS
from tests.e2e.https import Credentials
from tests.e2e.pulling import ContainerClient
from tests.e2e.registries import ANN, BOB, Lab, Registry

pytestmark = pytest.mark.e2e

ACCOUNTS = {"own": ANN, "foreign": BOB}


@pytest.fixture(scope="module", params=CLIENTS)
def puller(request: pytest.FixtureRequest, clients: dict[str, ContainerClient]) -> ContainerClient:
    return clients[request.param]


@pytest.fixture
def registry(request: pytest.FixtureRequest, registries: dict[str, Registry]) -> Registry:
    return registries[request.param]


every_registry = pytest.mark.parametrize("registry", ["open", *ACCOUNTS], indirect=True)
with_tokens = pytest.mark.parametrize("registry", ACCOUNTS, indirect=True)


def check(
    client: ContainerClient, registry: Registry, repository: str, credentials: Credentials | None, *, by_digest: bool = False
) -> None:
    """Check that the client pulls the image and the index; the registry then remembers the last pull."""
    wanted = registry.oci if client.reads_oci else registry.docker
    of_index = wanted.image.index if client.keeps_index else wanted.image.manifest
    references = {f":{wanted.tag}": wanted.image.manifest, f":{wanted.index_tag}": of_index}
    if by_digest:
        references[f"@{wanted.image.index}"] = of_index
    for reference, digest in references.items():
        registry.forget()
        pulled = client.pull(f"{registry.authority}/{repository}{reference}", credentials)
        assert (pulled.ok, pulled.digest) == (True, digest), pulled.said
        asked = [seen for seen in registry.seen if seen.path.startswith("/v2/")]
        assert {seen.headers["user-agent"].partition("/")[0].lower() for seen in asked} == {client.product}
        assert reference[1:] in {seen.path.rpartition("/")[2] for seen in asked}
        if client.pulls_layers:
            # All of it, each time: nothing was left of the pull before.
            blobs = [seen.path.rpartition("/")[2] for seen in asked if "/blobs/" in seen.path]
            assert sorted(blobs) == sorted([wanted.image.config, wanted.image.layer])
        if registry.cdn:
            assert {seen.status for seen in registry.cdn.server.seen} == {200}


@every_registry
def test_anybody_pulls_what_is_public(puller: ContainerClient, registry: Registry) -> None:
    check(puller, registry, registry.public, None, by_digest=True)
    assert not any(seen.credentials for seen in registry.seen)
    if registry.tokens:
        assert {(seen.credentials, seen.status) for seen in registry.tokens.seen} == {(None, 200)}


@with_tokens
def test_whoever_has_a_password_pulls_what_is_private(puller: ContainerClient, registry: Registry) -> None:
    account = ACCOUNTS[registry.name]
    check(puller, registry, registry.private, account)
    assert registry.tokens
    assert account in {seen.credentials for seen in registry.tokens.seen if seen.status == 200}
    # Nobody but the realm hears the password.
    assert not any(seen.credentials for seen in registry.seen if seen.path.startswith("/v2/"))


@with_tokens
def test_nobody_else_does(puller: ContainerClient, registry: Registry) -> None:
    wrong = Credentials(ACCOUNTS[registry.name].user, "wrong")
    tag = (registry.oci if puller.reads_oci else registry.docker).tag
    for repository, credentials in ((registry.private, None), (registry.private, wrong), (registry.public, wrong)):
        registry.forget()
        pulled = puller.pull(f"{registry.authority}/{repository}:{tag}", credentials)
        assert (pulled.ok, pulled.digest) == (False, None)
        assert {seen.status for seen in registry.seen if seen.path.startswith("/v2/")} == {401}


@pytest.mark.parametrize("apart", [True, False])
def test_one_token_for_two_repositories(lab: Lab, registries: dict[str, Registry], *, apart: bool) -> None:
    registry = registries["own"]
    assert registry.tokens
    assert registry.realm
    scopes = [f"repository:{name}:pull" for name in (registry.public, registry.private)]
    account = ACCOUNTS["own"]
    asked = {"service": registry.tokens.service, "scope": scopes if apart else " ".join(scopes)}
    trust = lab.certificates.context
    with httpx.Client(verify=trust, trust_env=False) as asking:
        token = asking.get(registry.realm, params=asked, auth=(account.user, account.password)).json()["token"]
        for name in (registry.public, registry.private):
            tags = asking.get(f"{registry.server.url}/v2/{name}/tags/list", headers={"authorization": f"Bearer {token}"})
            assert registry.oci.tag in tags.json()["tags"]


def test_a_refresh_token_of_nobodys(lab: Lab, registries: dict[str, Registry]) -> None:
    registry = registries["own"]
    assert registry.tokens
    assert registry.realm
    form = {"service": registry.tokens.service, "grant_type": "refresh_token", "refresh_token": "found"}
    trust = lab.certificates.context
    assert httpx.post(registry.realm, data=form, verify=trust, trust_env=False).status_code == 401
