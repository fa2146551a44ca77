"""What is made in the console is served beside the file, by every process."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gatewaycore import Service
from gatewaycore.access import Access, Kind, Principal
from gatewaycore.config import MadeRule, read_config
from gatewaycore.errors import AccessError, ConfigError
from gatewaycore.following import Follower, key_of, left_out, listed, open_access
from gatewaycore.rules import ContainerRule
from gatewaycore.testing import simulate
from tests.unit.test_access import join

FILE = """
packages:
  - {name: cli, type: file, domain: get.acme.example, incoming-path: "/{version}", outgoing-url: "https://cdn.acme.example/{version}"}
collections:
  - {domain: docker.acme.example, pattern: "acme/*", backend: ghcr.io}
console: {domain: console.acme.example, organisation: acme}
"""
MADE = {
    "name": "made",
    "type": "file",
    "domain": "made.acme.example",
    "incoming-path": "/{version}",
    "outgoing-url": "https://cdn.acme.example/made/{version}",
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "gateway.yaml"
    path.write_text(FILE + f"gateway: {{data-dir: {tmp_path / 'data'}}}\n")
    return path


@pytest.fixture
def service(file: Path) -> Iterator[Service]:
    opened = Service.from_file(file)
    yield opened
    opened.close()


@pytest.fixture
def access(service: Service) -> Iterator[Access]:
    with closing(open_access(service.config, service.data)) as opened:
        yield opened


@pytest.fixture
def boss(access: Access) -> Principal:
    return join(access, "boss", operator=True)


def location(service: Service, host: str) -> str | None:
    return simulate(service.gateway, "GET", f"https://{host}/1.2").location


def test_the_file_is_listed(service: Service, access: Access, boss: Principal) -> None:
    Follower(service, access).look()
    assert [one.holding.key for one in access.holdings.seen_by(boss)] == ["cli"]
    assert [one.holding.key for one in access.holdings.seen_by(boss, "collection")] == ["docker.acme.example acme/*"]
    assert [one.name for one, _ in access.groups.organisations(boss)] == ["acme"]
    assert (service.data / "console.sqlite3").exists()


def test_what_is_made_is_served_beside_the_file(service: Service, access: Access, boss: Principal) -> None:
    follower = Follower(service, access)
    assert not follower.look()
    access.holdings.create("package", "made", "acme", MADE, follower.check, boss)
    assert location(service, "made.acme.example") is None
    assert follower.look()
    assert not follower.look()
    assert location(service, "made.acme.example") == "https://cdn.acme.example/made/1.2"
    assert location(service, "get.acme.example") == "https://cdn.acme.example/1.2"
    access.holdings.change("package", "made", {**MADE, "outgoing-url": "https://new.acme.example/{version}"}, follower.check, boss)
    assert follower.look()
    assert location(service, "made.acme.example") == "https://new.acme.example/1.2"
    # Reading the file anew keeps them.
    assert service.reload()
    assert location(service, "made.acme.example") == "https://new.acme.example/1.2"
    access.holdings.delete("package", "made", boss)
    assert follower.look()
    assert location(service, "made.acme.example") is None


def test_a_collection_that_was_made_is_there_once(service: Service, access: Access, boss: Principal) -> None:
    follower = Follower(service, access)
    follower.look()
    made = {"domain": "Docker.Acme.example", "pattern": "labs/*", "backend": "ghcr.io"}
    access.holdings.create("collection", key_of("collection", made), "acme", made, follower.check, boss)
    assert follower.look()
    # Read anew, the file's configuration holds it as well, under the name that it was compiled to.
    assert service.reload()
    follower.look()
    found = [one.holding.key for one in access.holdings.seen_by(boss, "collection")]
    assert sorted(found) == ["Docker.Acme.example labs/*", "docker.acme.example acme/*"]


@pytest.mark.parametrize(
    ("kind", "definition", "what"),
    [
        ("package", {**MADE, "type": "fil"}, "made: type: unknown type 'fil'"),
        ("package", {**MADE, "xyzzy": 1}, "made: xyzzy: unknown key"),
        ("package", {**MADE, "outgoing-url": "https://{version}"}, "made: outgoing-url: "),
        ("package", {**MADE, "domain": "console.acme.example"}, "made: domain: console.acme.example is the console's"),
        ("package", {}, "package: type: is missing"),
        ("collection", {"domain": "docker.acme.example", "pattern": "("}, r"docker\.acme\.example \(: "),
        (
            "package",
            {"name": "p", "type": "container", "domain": "d.example", "backend": "ghcr.io/a/b", "credentials": {"username-env": "HOME"}},
            "p: credentials.username-env: the environment has no HOME",
        ),
    ],
)
def test_what_cannot_be_served_is_told_with_its_place(
    service: Service, access: Access, boss: Principal, kind: Kind, definition: Mapping[str, Any], what: str
) -> None:
    with pytest.raises(ConfigError, match=what):
        access.holdings.create(kind, key_of(kind, definition), "acme", definition, Follower(service, access).check, boss)
    assert access.holdings.definitions() == (0, [])


def test_those_who_run_no_gateway_stay_on_domains_that_are_theirs(service: Service, access: Access, boss: Principal) -> None:
    follower, ada = Follower(service, access), join(access, "ada")
    access.groups.create("labs", by=boss)
    access.groups.set_role("labs", "ada", "owner", boss)
    access.domains.create("made.acme.example", "labs", ada)
    with pytest.raises(AccessError, match=r"made\.acme\.example is no verified domain"):
        access.holdings.create("package", "made", "labs", MADE, follower.check, ada)
    with pytest.raises(AccessError, match="only operators"):
        access.domains.vouch("made.acme.example", "labs", ada)
    assert access.domains.vouch("made.acme.example", "labs", boss).state == "verified"
    access.holdings.create("package", "made", "labs", MADE, follower.check, ada)
    for wrong in ({**MADE, "domain": "get.acme.example"}, {**MADE, "domain": "Console.acme.example."}):
        with pytest.raises(AccessError, match="is no verified domain"):
            access.holdings.change("package", "made", wrong, follower.check, ada)
    for key, value in (("allow-private-backends", True), ("limits", {"body-bytes": 1 << 40})):
        with pytest.raises(AccessError, match=f"only operators of the gateway may say {key}"):
            access.holdings.change("package", "made", {**MADE, key: value}, follower.check, ada)


def test_a_package_is_on_the_domain_that_its_organisation_has_proved_whatever_the_script(
    service: Service, access: Access, boss: Principal
) -> None:
    follower, ada = Follower(service, access), join(access, "ada")
    access.groups.create("labs", by=boss)
    access.groups.set_role("labs", "ada", "owner", boss)
    for name in ("Bücher.example", "faß.example"):
        access.domains.create(name, "labs", ada)
        access.domains.vouch(name, "labs", boss)
        access.holdings.create("package", name, "labs", {**MADE, "name": name, "domain": name}, follower.check, ada)
    follower.look()
    served = set(service.gateway.router.domains) & {"xn--bcher-kva.example", "xn--fa-hia.example", "fass.example"}
    assert served == {"xn--bcher-kva.example", "xn--fa-hia.example"} == follower.names
    with pytest.raises(AccessError, match="is no verified domain"):
        access.holdings.create("package", "fass", "labs", {**MADE, "name": "fass", "domain": "fass.example"}, follower.check, ada)


def test_what_the_file_lets_its_own_packages_reach_is_for_them_alone() -> None:
    wide = {"allow-private-backends": True, "allowed-realms": ["auth.example"], "redirect-status": 307}
    file, made, told = (
        {"name": "a/b", "type": "container", "domain": f"{name}.example", "backend": "ghcr.io/a/b"} for name in ("file", "made", "told")
    )
    beside = [MadeRule("packages", "made", made), MadeRule("packages", "told", {**told, "allow-private-backends": True})]
    above: list[dict[str, Any]] = [{"gateway": wide}, {"domains": {one["domain"]: wide for one in (file, made, told)}}]
    for where in above:
        found = []
        for one in read_config({**where, "packages": [file]}, made=beside).packages:
            assert isinstance(one, ContainerRule)
            found.append((one.allow_private_backends, one.allowed_realms, one.redirect_status))
        assert found == [(True, ("auth.example",), 307), (False, (), 307), (True, (), 307)]


def test_another_process_sees_it_within_seconds(
    service: Service, access: Access, boss: Principal, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gatewaycore.following.LOOK_S", 0.02)
    other = Service.from_file(file, data_dir=file.parent / "other")
    follower = Follower(other, access)
    follower.start()
    follower.start()
    access.holdings.create("package", "made", "acme", MADE, Follower(service, access).check, boss)
    deadline = time.monotonic() + 30
    while location(other, "made.acme.example") is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    follower.close()
    follower.close()
    other.close()


def test_what_cannot_be_served_any_more_is_left_out_and_told_once(
    service: Service, access: Access, boss: Principal, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    follower = Follower(service, access)
    access.holdings.create("package", "bad", "acme", {**MADE, "name": "bad", "domain": "console.acme.example"}, lambda _: None, boss)
    with caplog.at_level(logging.ERROR):
        assert follower.look()
        assert not follower.look()
    assert caplog.text.count("console.acme.example is the console's") == 1
    assert location(service, "get.acme.example") == "https://cdn.acme.example/1.2"
    assert list(left_out(service)) == [("package", "bad")]
    # It keeps nobody else's from being made, changed and deleted.
    access.holdings.create("package", "made", "acme", MADE, follower.check, boss)
    assert follower.look()
    assert location(service, "made.acme.example") == "https://cdn.acme.example/made/1.2"
    access.holdings.change("package", "made", {**MADE, "outgoing-url": "https://new.acme.example/{version}"}, follower.check, boss)
    assert follower.look()
    assert location(service, "made.acme.example") == "https://new.acme.example/1.2"
    assert caplog.text.count("console.acme.example is the console's") == 1
    access.holdings.delete("package", "made", boss, follower.check)
    # As itself it is changed only to what can be served.
    wrong = {**MADE, "name": "bad", "type": "fil"}
    with pytest.raises(ConfigError, match="unknown type 'fil'"):
        access.holdings.change("package", "bad", wrong, follower.check, boss)
    access.holdings.change("package", "bad", {**MADE, "name": "bad"}, follower.check, boss)
    assert follower.look()
    assert left_out(service) == {}
    assert location(service, "made.acme.example") == "https://cdn.acme.example/made/1.2"
    told = [(one.action, one.subject) for one in access.trail.entries(None) if one.actor is None and one.action.startswith("package.")]
    assert told == [("package.serve", "bad"), ("package.leave-out", "bad")]


def test_a_rule_of_the_file_that_comes_later_wins(service: Service, access: Access, boss: Principal, file: Path) -> None:
    follower = Follower(service, access)
    names = [f"made-{number}" for number in range(5)]
    for name in names:
        path = "/one" if name == "made-2" else f"/{name}/{{version}}"
        access.holdings.create("package", name, "acme", {**MADE, "name": name, "incoming-path": path}, follower.check, boss)
    pip = {"name": "index", "type": "python", "domain": "py.acme.example", "index": "https://index.example/simple", "projects": ["skates"]}
    access.holdings.create("package", "index", "acme", pip, follower.check, boss)
    assert follower.look()
    mine = {"name": "skates", "type": "python", "domain": "py.acme.example", "index": "https://index.example/simple"}
    file.write_text(file.read_text().replace("packages:\n", f"packages:\n  - {json.dumps(mine)}\n"))
    assert service.reload()
    assert list(left_out(service)) == [("package", "index")]
    assert location(service, "made.acme.example") is None
    assert simulate(service.gateway, "GET", "https://made.acme.example/one").location == "https://cdn.acme.example/made/"
    # What hurts somebody else's is refused; what does not is not.
    follower.look()
    assert access.trail.entries(None, limit=1)[0].action == "package.leave-out"
    access.holdings.delete("package", "made-3", boss, follower.check)
    assert follower.look()


def test_badges_of_a_package_that_is_gone_stop_nobody(service: Service, access: Access, boss: Principal, file: Path) -> None:
    file.write_text(file.read_text() + "badges: {domains: [badges.acme.example], packages: [made, cli]}\n")
    # The gateway starts, although nobody has made it yet.
    with closing(Service.from_file(file, data_dir=file.parent / "other")) as other:
        assert other.check_rules([]).config.badges is not None
    assert service.reload()
    follower = Follower(service, access)
    for name in ("made", "more"):
        access.holdings.create("package", name, "acme", {**MADE, "name": name, "incoming-path": f"/{name}"}, follower.check, boss)
    assert follower.look()
    access.holdings.delete("package", "made", boss, follower.check)
    assert follower.look()
    access.holdings.delete("package", "more", boss, follower.check)
    assert follower.look()
    assert left_out(service) == {}


def test_what_others_need_is_not_deleted(service: Service, access: Access, boss: Principal, file: Path) -> None:
    other = {"name": "b/app", "type": "container", "domain": "oci.acme.example", "backend": "registry.b.example/b/app"}
    text = file.read_text().replace("packages:\n", f"packages:\n  - {json.dumps(other)}\n")
    file.write_text(text + "domains: {oci.acme.example: {login-backend: ghcr.io}}\n")
    made = {"name": "a/app", "type": "container", "domain": "oci.acme.example", "backend": "ghcr.io/a/app"}
    follower = Follower(service, access)
    access.holdings.create("package", "a/app", "acme", made, follower.check, boss)
    assert follower.look()
    with pytest.raises(ConfigError, match=r"'ghcr\.io' holds no image of this domain"):
        access.holdings.delete("package", "a/app", boss, follower.check)


def test_a_file_that_is_mended_takes_what_was_made_meanwhile(service: Service, access: Access, boss: Principal, file: Path) -> None:
    follower, good = Follower(service, access), file.read_text()
    access.holdings.create("package", "made", "acme", MADE, follower.check, boss)
    file.write_text(good + "nonsense: 1\n")
    assert not service.reload()
    assert not follower.look()
    file.write_text(good)
    assert service.reload()
    assert follower.look()
    assert location(service, "made.acme.example") == "https://cdn.acme.example/made/1.2"


def test_a_database_that_is_gone_changes_nothing(
    service: Service, access: Access, boss: Principal, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gatewaycore.following.LOOK_S", 0.01)
    follower = Follower(service, access)
    follower.look()
    with access.database.writing() as connection:
        connection.exec_driver_sql("ALTER TABLE counters RENAME TO gone")
    with caplog.at_level(logging.ERROR):
        follower.start()
        time.sleep(0.1)
        follower.close()
    assert caplog.text.count("is not seen") == 2
    assert location(service, "get.acme.example") == "https://cdn.acme.example/1.2"


def test_whatever_goes_wrong_it_is_looked_at_again(
    service: Service, access: Access, boss: Principal, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gatewaycore.following.LOOK_S", 0.01)
    follower = Follower(service, access)
    follower.start()
    served, told = access.proofs.served, [KeyError("an organisation")]

    def once(**ways: Any) -> Any:
        if told:
            raise told.pop()
        return served(**ways)

    monkeypatch.setattr(access.proofs, "served", once)
    access.holdings.create("package", "made", "acme", MADE, follower.check, boss)
    deadline = time.monotonic() + 30
    while location(service, "made.acme.example") is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    follower.close()
    assert "KeyError" in caplog.text
    assert "an organisation" not in caplog.text
    assert service.sources[-1].error == ""


def test_a_service_without_a_file_takes_nothing(service: Service, tmp_path: Path) -> None:
    other = Service.open(service.config, tmp_path / "other")
    with pytest.raises(ConfigError, match="only where the configuration is a file"):
        other.check_rules([])
    assert not other.take_rules([])
    other.close()


def test_a_gateway_without_a_console_may_have_its_state_all_the_same(tmp_path: Path) -> None:
    with closing(open_access(read_config({}), tmp_path / "data")) as opened:
        assert opened.people.is_empty()
    assert (tmp_path / "data" / "console.sqlite3").exists()


def test_names_of_what_is_listed(service: Service) -> None:
    assert list(listed(service.config)) == [("package", "cli"), ("collection", "docker.acme.example acme/*")]
    assert key_of("package", {"id": "x", "name": "y"}) == "x"
