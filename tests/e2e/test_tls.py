"""TLS: the gateway serves https with an operator's own certificate, to those who trust it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.origin import Origin
from tests.e2e.running import Client, Gateway, Programs, module, tool

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
