"""TLS: the gateway serves https with an operator's own certificate, to those who trust it."""

from __future__ import annotations

import ssl
import time
from pathlib import Path

import httpx
import pytest

from tests.e2e.origin import Origin
from tests.e2e.running import DEADLINE_S, Client, Gateway, Programs, module, tool

pytestmark = pytest.mark.e2e


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    """The certificate of an authority that has signed a certificate for localhost; that one and its key lie beside it."""
    module("trustme")
    import trustme

    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    issued = ca.issue_cert("localhost")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    for link in issued.cert_chain_pems:
        link.write_to_path(tmp_path / "cert.pem", append=True)
    return tmp_path / "ca.pem"


@pytest.fixture
def gateway(programs: Programs, origin: Origin, authority: Path) -> Gateway:
    origin.files["/x.tgz"] = b"eight wheels\n"
    package = {"name": "skates", "type": "file", "domain": "localhost", "incoming-path": "/x.tgz", "outgoing-url": f"{origin.url}/x.tgz"}
    folder = authority.parent
    return programs.serve({"packages": [package]}, "--tls-cert", str(folder / "cert.pem"), "--tls-key", str(folder / "key.pem"))


def test_curl_with_the_authority(client: Client, gateway: Gateway, authority: Path) -> None:
    curl = tool("curl", "curl")
    assert client.run(curl, "-fsSL", "--cacert", str(authority), f"{gateway.url}/x.tgz").output == b"eight wheels\n"
    (event,) = gateway.events()
    assert (event.package, event.client, event.domain, event.status, event.decision) == ("skates", "curl", "localhost", 302, "redirect")


def test_curl_with_other_authorities(client: Client, gateway: Gateway) -> None:
    curl = tool("curl", "curl")
    # 60: the peer's certificate cannot be verified.
    assert client.attempt(curl, "-fsSL", f"{gateway.url}/x.tgz").status == 60
    assert client.attempt(curl, "-fsSL", f"http://localhost:{gateway.port}/x.tgz").status != 0
    assert gateway.events() == []


def certify(folder: Path, name: str) -> tuple[bytes, bytes, bytes]:
    """Return the certificate of another authority, and a chain and a key that it has signed for localhost."""
    import trustme

    ca = trustme.CA(organization_name=name)
    issued = ca.issue_cert("localhost")
    chain = b"".join(link.bytes() for link in issued.cert_chain_pems)
    return ca.cert_pem.bytes(), chain, issued.private_key_pem.bytes()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_new_certificate_is_served_without_dropping_anybody(
    programs: Programs, client: Client, origin: Origin, authority: Path, workers: int
) -> None:
    folder, curl = authority.parent, tool("curl", "curl")
    cert, key, other = folder / "cert.pem", folder / "key.pem", folder / "other.pem"
    package = {"name": "skates", "type": "file", "domain": "localhost", "incoming-path": "/x.tgz", "outgoing-url": f"{origin.url}/x.tgz"}
    gateway = programs.serve({"packages": [package]}, "--tls-cert", str(cert), "--tls-key", str(key), "--workers", str(workers))
    trusted = ssl.create_default_context(cafile=authority)
    with httpx.Client(base_url=gateway.url, verify=trusted, timeout=DEADLINE_S) as kept:
        assert kept.get("/x.tgz").status_code == 302

        # Half of a pair, and no certificate at all: the old one serves on, and the log says why.
        root, chain, new_key = certify(folder, "another")
        other.write_bytes(root)
        key.write_bytes(new_key)
        gateway.program.wait_for(r"the new certificate cannot be used, and the old one stays: .*cert\.pem")
        assert client.attempt(curl, "-sS", "--cacert", str(authority), f"{gateway.url}/x.tgz").status == 0

        cert.write_bytes(chain)
        end = time.monotonic() + DEADLINE_S
        seen = 0
        # Every worker has it when it has been seen often enough in a row.
        while seen < 10:
            assert time.monotonic() < end, gateway.program.said()
            status = client.attempt(curl, "-sS", "--cacert", str(other), f"{gateway.url}/x.tgz").status
            assert status in (0, 60)
            seen = seen + 1 if status == 0 else 0
        # A client that names no host gets the new one, too.
        assert client.attempt(curl, "-sS", "--cacert", str(authority), f"https://127.0.0.1:{gateway.port}/x.tgz").status == 60
        assert kept.get("/x.tgz").status_code == 302
    assert "the certificate has been read again" in gateway.program.said()
