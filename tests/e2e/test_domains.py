"""Domains: whose they are by DNS, and certificates for those alone. Caddy is in front, pebble the authority, the DNS the test's own."""

from __future__ import annotations

import json
import os
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from attrs import frozen

from tests.dns_server import DnsServer
from tests.e2e.origin import Origin
from tests.e2e.running import DEADLINE_S, Client, Gateway, Program, Programs, module, tool

pytestmark = pytest.mark.e2e

CADDYFILE = Path(__file__).parents[2] / "examples" / "caddy" / "Caddyfile"
CONSOLE, DOMAIN, TARGET = "console.acme.test", "get.acme.test", "gateway.acme.test"
HTTP, HTTPS, ACME, ROOTS = 8080, 8443, 14000, 15000
_PAUSE_S = 0.05


def own_address() -> str:
    """Return an address of this machine that no other process uses: its ports are all free."""
    pid = os.getpid()
    return f"127.{64 | pid >> 16}.{pid >> 8 & 255}.{pid & 255}"


def until(found: Callable[[], Any]) -> Any:
    """Wait until there is something, and return it."""
    end = time.monotonic() + DEADLINE_S
    while not (seen := found()):
        assert time.monotonic() < end, "it does not come"
        time.sleep(_PAUSE_S)
    return seen


@frozen
class Site:
    """What is on this machine.

    Attributes:
        address: where Caddy listens.
        root: the certificate of pebble's own authority.
        pebble: has issued certificates.
        caddy: has asked for them.
    """

    gateway: Gateway
    dns: DnsServer
    address: str
    root: Path
    pebble: Program
    caddy: Program
    secret: str

    def api(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Ask the API, as whoever runs the gateway."""
        headers = {"host": CONSOLE, "authorization": f"Bearer {self.secret}"}
        url = f"http://127.0.0.1:{self.gateway.port}/api/v1{path}"
        return httpx.request(method, url, headers=headers, timeout=DEADLINE_S, **more)

    def domain(self) -> dict[str, Any]:
        """Return what is known of the domain."""
        found: dict[str, Any] = self.api("GET", f"/domains/{DOMAIN}").json()
        return found

    def curl(self, path: str, domain: str = DOMAIN) -> list[str]:
        """Return the command that asks Caddy for something over TLS, trusts pebble's authority alone, and follows redirects."""
        place = f"{domain}:{HTTPS}:{self.address}"
        return [tool("curl", "curl"), "-fsSL", "--resolve", place, "--cacert", str(self.root), f"https://{domain}:{HTTPS}{path}"]

    def ask(self, domain: str, **headers: str) -> int:
        """Ask the gateway, as Caddy does, whether a certificate may be had."""
        url = f"http://127.0.0.1:{self.gateway.port}/_gatewaycore/ask"
        return httpx.get(url, params={"domain": domain}, headers=headers, timeout=DEADLINE_S).status_code


def start_pebble(programs: Programs, address: str, dns: DnsServer) -> tuple[Program, Path]:
    """Start the ACME server; return it, and the certificate of its own HTTPS."""
    module("trustme")
    import trustme

    folder, authority = programs.folder, trustme.CA()
    authority.cert_pem.write_to_path(folder / "minica.pem")
    own = authority.issue_cert(address)
    own.private_key_pem.write_to_path(folder / "pebble-key.pem")
    own.cert_chain_pems[0].write_to_path(folder / "pebble-cert.pem")
    settings = {
        "listenAddress": f"{address}:{ACME}",
        "managementListenAddress": f"{address}:{ROOTS}",
        "certificate": str(folder / "pebble-cert.pem"),
        "privateKey": str(folder / "pebble-key.pem"),
        "httpPort": HTTP,
        "tlsPort": HTTPS,
        "ocspResponderURL": "",
        "externalAccountBindingRequired": False,
    }
    (folder / "pebble.json").write_text(json.dumps({"pebble": settings}))
    command = [tool("pebble", "pebble"), "-config", str(folder / "pebble.json"), "-dnsserver", dns.address]
    program = programs.start("pebble", command, PEBBLE_VA_NOSLEEP="1", PEBBLE_WFE_NONCEREJECT="0")
    program.wait_for("ACME directory available")
    return program, folder / "minica.pem"


def start_caddy(programs: Programs, address: str, gateway: Gateway, authority: Path) -> Program:
    """Start Caddy with the example's file, but for its ports, and who issues certificates."""
    text = CADDYFILE.read_text()
    mark = "\t# email you@acme.com\n"
    assert mark in text
    of_test = f"admin off\nhttp_port {HTTP}\nhttps_port {HTTPS}\ndefault_bind {address}\nauto_https disable_redirects\n"
    of_test += f"storage file_system {programs.folder / 'caddy'}\nacme_ca https://{address}:{ACME}/dir\nacme_ca_root {authority}\n"
    file = programs.folder / "Caddyfile"
    file.write_text(text.replace(mark, of_test))
    command = [tool("caddy", "caddy"), "run", "--config", str(file), "--adapter", "caddyfile"]
    program = programs.start("caddy", command, GATEWAY=f"127.0.0.1:{gateway.port}")
    program.wait_for("serving initial configuration")
    return program


@pytest.fixture
def site(programs: Programs, client: Client) -> Iterator[Site]:
    module("dns", "dnspython")
    address = own_address()
    with DnsServer() as dns:
        dns.set(TARGET, "A", address)
        dns.set(CONSOLE, "CNAME", TARGET)
        config = {
            "gateway": {
                "trusted-proxies": ["127.0.0.1/32"],
                "verification": {"target": TARGET, "resolvers": [dns.address], "every-s": 2, "grace-s": 1},
            },
            "console": {"domain": CONSOLE},
        }
        gateway = programs.serve(config)
        file = str(programs.folder / "gateway.yaml")
        secret = client.run(*module("gatewaycore"), "token", "create", file, "--user", "ada", "--operator").text.strip()
        pebble, authority = start_pebble(programs, address, dns)
        caddy = start_caddy(programs, address, gateway, authority)
        root = programs.folder / "root.pem"
        trust = ssl.create_default_context(cafile=authority)
        root.write_text(httpx.get(f"https://{address}:{ROOTS}/roots/0", verify=trust, timeout=DEADLINE_S).text)
        yield Site(gateway, dns, address, root, pebble, caddy, secret)


def test_a_domain_is_proved_and_gets_its_certificate(site: Site, client: Client, origin: Origin) -> None:
    origin.files["/cli/1.2/cli.tgz"] = b"eight wheels\n"
    made = site.api("POST", "/domains", json={"name": DOMAIN, "organisation": "home"}).json()
    definition = {
        "type": "file",
        "name": "cli",
        "domain": DOMAIN,
        "incoming-path": "/cli/{version}",
        "outgoing-url": f"{origin.url}/cli/{{version}}/cli.tgz",
    }
    assert site.api("POST", "/packages", json={"organisation": "home", "definition": definition}).status_code == 201

    # Nothing is proved: no certificate is even asked for, and nothing is served without TLS either.
    assert client.attempt(*site.curl("/cli/1.2")).status == 35
    assert DOMAIN not in site.pebble.said()
    assert site.ask(DOMAIN) == 403
    plain = httpx.get(f"http://127.0.0.1:{site.gateway.port}/cli/1.2", headers={"host": DOMAIN}, timeout=DEADLINE_S)
    assert plain.status_code == 404

    # A CNAME alone is not enough: anybody's may lead here.
    site.dns.set(DOMAIN, "CNAME", TARGET)
    until(lambda: "TXT" in site.domain()["reason"])
    assert site.domain()["state"] == "pending"
    (challenge,) = [one for one in made["records"] if one["type"] == "TXT"]
    site.dns.set(challenge["name"], "TXT", challenge["value"])
    until(lambda: site.domain()["state"] == "verified")
    until(lambda: site.ask(DOMAIN) == 200)

    # It may have remembered for a moment that it was refused.
    done = until(lambda: (seen := client.attempt(*site.curl("/cli/1.2"))).status == 0 and seen)
    assert done.output == b"eight wheels\n"
    assert DOMAIN in site.pebble.said()
    (event,) = site.gateway.events()[-1:]
    assert (event.package, event.domain, event.version, event.status) == ("cli", DOMAIN, "1.2", 302)
    assert client.attempt(*site.curl("/cli/1.2", "other.acme.test")).status == 35

    # The records go, and the grace is over: it is lost, is served no more, and gets no other certificate.
    site.dns.set(challenge["name"], "TXT")
    until(lambda: site.domain()["state"] == "lost")
    until(lambda: site.ask(DOMAIN) == 403)
    assert client.attempt(*site.curl("/cli/1.2")).status == 22


def test_the_question_is_answered_to_caddy_alone(site: Site, client: Client) -> None:
    assert (site.ask(CONSOLE), site.ask("nobody.test")) == (200, 403)
    # What Caddy passes on of somebody else's is no question of its own.
    assert site.ask(CONSOLE, **{"x-forwarded-for": "203.0.113.7"}) == 404
    passed = client.attempt(*site.curl(f"/_gatewaycore/ask?domain={CONSOLE}", CONSOLE))
    assert passed.status == 22, passed.said
