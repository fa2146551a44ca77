"""Every client through the gateway, by every strategy, from every kind of registry; over HTTPS, with real programs on both ends."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import pytest
from attrs import field, frozen

from gatewaycore.rules.container.clients import FAMILIES
from tests.e2e.container_clients import CLIENTS
from tests.e2e.pulling import ContainerClient
from tests.e2e.registries import ANN, BOB, GATEWAY, Lab, Registry, image, serve
from tests.e2e.report import Table
from tests.e2e.running import Gateway, Programs

pytestmark = pytest.mark.e2e

KINDS = ("anonymous", "token", "token with credentials")
STRATEGIES = ("redirect", "proxy", "broker", "auto")


@frozen
class Scenario:
    """A gateway in front of registries.

    Attributes:
        way: what the table calls it.
        images: by the kind of registry, the repository as clients know it.
        registries: by the kind, what holds it.
    """

    way: str
    gateway: Gateway
    images: dict[str, str]
    registries: dict[str, Registry] = field(factory=dict)


WAYS = [f"{strategy}, {kind}" for strategy in STRATEGIES for kind in ("anonymous", "token")]
WAYS += ["auto, renamed", "auto, two registries", "auto, renamed and two registries"]


@pytest.fixture(scope="module", params=WAYS)
def scenario(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, lab: Lab, registries: dict[str, Registry]
) -> Iterator[Scenario]:
    strategy, what = request.param.split(", ")
    open_, own, foreign = registries["open"], registries["own"], registries["foreign"]
    both = {"token": own, "token with credentials": own}
    if what == "anonymous":
        packages = [image(open_.public, open_, open_.public, strategy=strategy, **{"backend-auth": "anonymous"})]
        images, held = {"anonymous": open_.public}, {"anonymous": open_}
    elif what == "token":
        packages = [image(name, own, name, strategy=strategy) for name in (own.public, own.private)]
        images, held = {"token": own.public, "token with credentials": own.private}, both
    elif what == "renamed":
        packages = [image("skates", own, own.public), image("deep/er/secret", own, own.private)]
        images, held = {"token": "skates", "token with credentials": "deep/er/secret"}, both
    elif what == "two registries":
        packages = [image(name, own, name) for name in (own.public, own.private)] + [image(foreign.public, foreign, foreign.public)]
        packages += [image(open_.public, open_, open_.public, **{"backend-auth": "anonymous"})]
        images = {"anonymous": open_.public, "token": foreign.public, "token with credentials": own.private}
        held = {"anonymous": open_, "token": foreign, "token with credentials": own}
    else:
        # The private image is the other registry's: its credentials are the gateway's own, and clients log in to the gateway.
        account = {"username": BOB.user, "password": BOB.password}
        token = "sha256:" + sha256(ANN.password.encode()).hexdigest()
        packages = [
            image("skates", own, own.public),
            image("secret", foreign, foreign.private, credentials=account, **{"access-tokens": [token]}),
            image("open", open_, open_.public, **{"backend-auth": "anonymous"}),
        ]
        images = {"anonymous": "open", "token": "skates", "token with credentials": "secret"}
        held = {"anonymous": open_, "token": own, "token with credentials": foreign}
    config: dict[str, Any] = {"packages": packages}
    if what == "two registries":
        config["domains"] = {GATEWAY: {"login-backend": own.authority}}
    programs = Programs(tmp_path_factory.mktemp("gateway"))
    yield Scenario(request.param, serve(programs, lab, config), images, held)
    programs.stop()


def survives(strategy: str, client: ContainerClient, kind: str) -> bool:
    """Tell whether the table of clients says that a pull succeeds."""
    if strategy != "redirect" or kind == "anonymous":
        return True
    row = next(one for one in FAMILIES if one.product == client.product and not one.marker)
    return row.redirect.credentials if kind == "token with credentials" else row.redirect.anonymous


@pytest.mark.parametrize("name", CLIENTS)
def test_every_client_pulls(
    scenario: Scenario, clients: dict[str, ContainerClient], registries: dict[str, Registry], name: str, table: Table
) -> None:
    client = clients[name]
    strategy = scenario.way.partition(",")[0]
    wrong = []
    for kind, repository in scenario.images.items():
        registry = scenario.registries[kind]
        credentials = ANN if kind == "token with credentials" else None
        content = registry.oci if client.reads_oci else registry.docker
        index = content.image.index if client.keeps_index else content.image.manifest
        for shape, tag, digest in (("single", content.tag, content.image.manifest), ("multi-arch", content.index_tag, index)):
            for one in registries.values():
                one.forget()
            pulled = client.pull(f"{scenario.gateway.authority}/{repository}:{tag}", credentials)
            good = pulled.ok and pulled.digest == digest
            table.note(name, f"{scenario.way}|{kind}|{shape}", good)
            if good is not survives(strategy, client, kind):
                wrong.append(f"{kind}, {shape}: {pulled.digest}, not {digest}\n{pulled.said}")
            # A password is heard by the token server of the registry that it is for, and by nobody else.
            assert {seen.credentials for one in registries.values() for seen in one.seen if seen.path != "/token"} <= {None}
            for account, of in ((ANN, "own"), (BOB, "foreign")):
                tokens = registries[of].tokens
                assert tokens is not None
                assert {seen.credentials for seen in tokens.seen} <= {None, account}
    assert not wrong, "\n\n".join(wrong)
