"""Verifying: one process of a node looks at the records of domains; and those who serve follow what was seen."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dns.rcode
import pytest

from gatewaycore.access import Access, Principal
from gatewaycore.config import Config, GatewaySettings
from gatewaycore.errors import ConfigError, ConflictError, GatewayError, TooSoonError, UnknownError
from gatewaycore.following import Follower, domains_of, served_of
from gatewaycore.proving import VerificationSettings
from gatewaycore.service import Service
from gatewaycore.testing import simulate
from gatewaycore.verifying import LOCK, Looks, Verifier
from tests.dns_server import DnsServer

NAME, TARGET = "get.labs.test", "gateway.acme.test"
FILE = """
gateway: {base-domain: gw.test, verification: {verify: %s}}
console: {domain: console.test}
packages:
  - {type: file, name: cli, domain: get.acme.test, incoming-path: "/{version}", outgoing-url: "https://cdn.acme.test/{version}"}
"""
MADE = {"type": "file", "name": "tool", "domain": NAME, "incoming-path": "/{version}", "outgoing-url": "https://cdn.labs.test/{version}"}
DEADLINE_S = 60.0


@pytest.fixture
def access(tmp_path: Path) -> Iterator[Access]:
    opened = Access(tmp_path / "console.sqlite3", "acme")
    yield opened
    opened.close()


@pytest.fixture
def boss(access: Access) -> Principal:
    by = Principal(user=access.people.create_user("boss", is_operator=True))
    access.groups.create("labs", by=by)
    return by


@pytest.fixture
def server() -> Iterator[DnsServer]:
    with DnsServer() as started:
        yield started


def config(server: DnsServer, **settings: Any) -> Config:
    given = {"target": TARGET, "resolvers": (server.address,), **settings}
    return Config(gateway=GatewaySettings(verification=VerificationSettings(**given)))


def prove(server: DnsServer, challenge: str) -> None:
    server.set(NAME, "CNAME", TARGET)
    server.set(f"_gatewaycore-challenge.{NAME}", "TXT", challenge)


def test_one_process_of_a_node_looks(access: Access, boss: Principal, server: DnsServer, tmp_path: Path) -> None:
    looks = Looks(access, lambda: config(server))
    one, other = Verifier(looks, access, tmp_path), Verifier(looks, access, tmp_path)
    made = access.domains.create(NAME, "labs", boss)
    prove(server, made.challenge)
    assert (other.turn(), one.turn()) == (1, 0)
    assert access.domains.look(NAME, boss).state == "verified"
    other.close()
    access.domains.create("other.labs.test", "labs", boss)
    assert (one.turn(), one.turn(), other.turn()) == (1, 0, 0)
    one.close()


def test_it_looks_by_itself_and_tells_trouble_once(
    access: Access, boss: Principal, server: DnsServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / LOCK).mkdir()
    verifier = Verifier(Looks(access, lambda: config(server)), access, tmp_path)
    with pytest.raises(GatewayError, match=r"domains\.lock cannot be used: Is a directory"):
        verifier.turn()
    made = access.domains.create(NAME, "labs", boss)
    prove(server, made.challenge)
    with caplog.at_level(logging.ERROR, "gatewaycore.domains"):
        verifier.start()
        verifier.start()
        end = time.monotonic() + DEADLINE_S
        while not caplog.messages and time.monotonic() < end:
            time.sleep(0.05)
        (tmp_path / LOCK).rmdir()
        while access.domains.look(NAME, boss).state != "verified" and time.monotonic() < end:
            time.sleep(0.05)
        verifier.close()
    assert access.domains.look(NAME, boss).state == "verified"
    assert caplog.messages == ["the records of domains cannot be looked at: domains.lock cannot be used: Is a directory"]


def test_whoever_runs_the_gateway_is_told_how_it_stands_with_domains(
    access: Access, boss: Principal, server: DnsServer, tmp_path: Path
) -> None:
    told: list[tuple[dict[str, int], dict[str, int]]] = []
    looks = Looks(access, lambda: config(server))
    verifier = Verifier(looks, access, tmp_path, lambda states, seen: told.append((dict(states), dict(seen))))
    prove(server, access.domains.create(NAME, "labs", boss).challenge)
    access.domains.create("other.labs.test", "labs", boss)
    server.broken["_gatewaycore-challenge.lame.labs.test"] = dns.rcode.SERVFAIL
    access.domains.create("lame.labs.test", "labs", boss)
    assert verifier.turn() == 3
    states = {"pending": 2, "verified": 1, "failing": 0, "lost": 0}
    seen = {"proved": 1, "absent": 1, "trouble": 1}
    # Nothing was due since, and nobody else need be asked again.
    assert (verifier.turn(), told) == (0, [(states, seen)])
    # Another process looks from now on.
    verifier.close()
    assert told[1:] == [(dict.fromkeys(states, 0), seen)]


def test_a_verifier_that_ends_looks_no_more(access: Access, boss: Principal, server: DnsServer, tmp_path: Path) -> None:
    verifier = Verifier(Looks(access, lambda: config(server)), access, tmp_path)
    access.domains.create(NAME, "labs", boss)
    verifier.close()
    assert verifier.turn() == 1
    assert server.asked == []


def test_somebody_looks_now(access: Access, boss: Principal, server: DnsServer, tmp_path: Path) -> None:
    settings = [config(server)]
    looks = Looks(access, lambda: settings[0])
    made = access.domains.create(NAME, "labs", boss)
    assert [one.type for one in looks.records_for(made)] == ["TXT", "CNAME"]
    server.set(f"_gatewaycore-challenge.{NAME}", "TXT", made.challenge)
    seen = looks.look_now(NAME, boss)
    assert (seen.state, seen.reason) == ("pending", f"{NAME} has no address; it should lead to {TARGET}")
    # Behind a CDN nothing leads here, and the TXT record is enough; the configuration was read anew.
    settings[0] = config(server, leads_here=False)
    found = looks.look(seen)
    assert found is not None
    assert found.state == "verified"
    assert looks.records_for(access.domains.vouch(NAME, "labs", boss)) == []
    settings[0] = config(server, verify=False)
    with pytest.raises(ConflictError, match="verify: off"):
        looks.look_now(NAME, boss)
    verifier = Verifier(looks, access, tmp_path)
    assert verifier.turn() == 0
    verifier.close()
    # Nobody has to prove anything: it is whose first says so, and is looked at when somebody has to again.
    assert (looks.create("px.test", "labs", boss).state, looks.create("px.test", "acme", boss).state) == ("verified", "pending")
    settings[0] = config(server)
    assert looks.create("new.test", "labs", boss).state == "pending"
    assert {one.name for one in access.proofs.take_due(9)} == {"px.test", "new.test"}


def test_servers_that_never_answer_do_not_hold_everybody_who_looks_now(access: Access, boss: Principal, server: DnsServer) -> None:
    began, go_on = threading.Semaphore(0), threading.Event()

    class Slow:
        def deadline(self) -> float:
            return 0.0

        def find(self, name: str, kind: str, until: float) -> list[str]:
            began.release()
            go_on.wait(DEADLINE_S)
            return []

    looks = Looks(access, lambda: config(server), lambda _: Slow())
    names = [f"d{number}.labs.test" for number in range(4)]
    for name in names:
        access.domains.create(name, "labs", boss)
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(looks.look_now, name, boss) for name in names[:2]]
        assert all(began.acquire(timeout=DEADLINE_S) for _ in waiting)
        with pytest.raises(TooSoonError, match="others are being looked at: again in 3 s") as caught:
            looks.look_now(names[2], boss)
        assert caught.value.wait_s == 3
        # Nobody has taken it: it is looked at when it is due.
        assert access.domains.look(names[2], boss).checked_at is None
        go_on.set()
        assert [one.result().state for one in waiting] == ["pending", "pending"]
    assert looks.look_now(names[3], boss).reason


def test_a_domain_that_is_removed_while_it_is_looked_at(access: Access, boss: Principal, server: DnsServer) -> None:
    class Removing:
        def deadline(self) -> float:
            return 0.0

        def find(self, name: str, kind: str, until: float) -> list[str]:
            if access.domains.all():
                access.domains.delete(NAME, boss)
            return []

    looks = Looks(access, lambda: config(server), lambda _: Removing())
    access.domains.create(NAME, "labs", boss)
    with pytest.raises(UnknownError, match="any more"):
        looks.look_now(NAME, boss)


def test_what_is_left_out_has_no_domain_of_the_file(access: Access, boss: Principal, tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(FILE % "off")
    service = Service.from_file(file, tmp_path / "data")
    follower = Follower(service, access)
    for name, domain in (("one", "console.test"), ("two", "get.acme.test"), ("three", "console.test")):
        made = {"type": "pixel", "name": name, "domain": domain}
        access.holdings.create("package", name, "acme", made, lambda _: None, boss)
    assert follower.look()
    assert [one.rule.name for one in service.left_out] == ["one", "three"]
    assert domains_of(service.config, served_of(service)) == {"get.acme.test"}
    service.close()


def test_what_is_held_back_is_in_nobodys_way(access: Access, boss: Principal, tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(FILE % "on")
    service = Service.from_file(file, tmp_path / "data")
    follower = Follower(service, access)
    image = {"type": "container", "name": "labs/a", "domain": NAME, "strategy": "proxy", "backend": "ghcr.io/labs/a"}
    other = {**image, "name": "acme/a", "backend": "quay.io/acme/a"}
    access.holdings.create("package", "labs/a", "labs", image, follower.check, boss)
    # Nobody holds the domain, so that only the home organisation's word goes.
    assert follower.look()
    access.holdings.create("package", "acme/a", "acme", other, follower.check, boss)
    assert follower.look()
    assert [rule.name for rule in service.made] == ["acme/a"]
    # It has to be fit for serving all the same.
    with pytest.raises(ConfigError, match="unknown type 'contain'"):
        access.holdings.change("package", "labs/a", {**image, "type": "contain"}, follower.check, boss)
    service.close()


def test_what_is_proved_is_served(access: Access, boss: Principal, server: DnsServer, tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(FILE % "on")
    service = Service.from_file(file, tmp_path / "data")
    follower, looks = Follower(service, access), Looks(access, lambda: service.config)
    looks.supply()
    follower.look()
    assert {"labs.docker.gw.test", "acme.gateway.gw.test"} <= follower.names
    made = access.domains.create(NAME, "labs", boss)
    access.holdings.create("package", "tool", "labs", MADE, follower.check, boss)
    supplied = {**MADE, "name": "given", "domain": "labs.gateway.gw.test"}
    access.holdings.create("package", "given", "labs", supplied, follower.check, boss)
    assert follower.look()
    assert simulate(service.gateway, "GET", f"https://{NAME}/1").status == 404
    assert simulate(service.gateway, "GET", "https://labs.gateway.gw.test/1").status == 302
    assert (NAME in follower.names, domains_of(service.config, served_of(service))) == (False, frozenset({"get.acme.test"}))
    access.domains.note_state(made, "verified")
    assert follower.look()
    assert simulate(service.gateway, "GET", f"https://{NAME}/1").status == 302
    assert NAME in follower.names
    access.domains.note_state(made, "lost", "its records are gone")
    assert follower.look()
    assert simulate(service.gateway, "GET", f"https://{NAME}/1").status == 404
    # The configuration has the domain, and later not any more: with the next look, though nothing else has changed.
    file.write_text(FILE % "on" + f"  - {{type: pixel, name: px, domain: {NAME}}}\n")
    access.domains.delete(NAME, boss)
    assert service.reload()
    assert follower.look()
    assert simulate(service.gateway, "GET", f"https://{NAME}/1").status == 302
    file.write_text(FILE % "on")
    assert service.reload()
    assert follower.look()
    assert simulate(service.gateway, "GET", f"https://{NAME}/1").status == 404
    # Nobody has to prove anything.
    file.write_text(FILE % "off")
    assert service.reload()
    assert follower.look()
    assert simulate(service.gateway, "GET", f"https://{NAME}/1").status == 302
    assert not follower.look()
    service.close()
