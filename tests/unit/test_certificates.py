"""Certificates: whether one may be had, and who is told; and that of the server itself, which changes under it."""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import trustme
import uvicorn

from gatewaycore.cli import certificate
from gatewaycore.cli.certificate import STARTUP_FAILURE, Renewal, load_pair, renewed
from gatewaycore.config import Config, read_config
from gatewaycore.errors import GatewayError
from gatewaycore.service import Service
from gatewaycore_asgi import GatewayApp
from gatewaycore_asgi.beside import Beside
from gatewaycore_asgi.certificates import _MOST, PATH, CertificateAsk, Certificates

CONFIG = {
    "gateway": {"trusted-proxies": ["10.0.0.0/8"]},
    "console": {"domain": "console.acme.test"},
    "packages": [
        {"type": "pixel", "name": "docs", "domain": "px.acme.test"},
        {"type": "pixel", "name": "wild", "domain": "*.wild.acme.test"},
    ],
}


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with Service.open(read_config(CONFIG), tmp_path / "data") as opened:
        yield opened


async def elsewhere(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body", "body": b"elsewhere"})


def ask(app: CertificateAsk, query: str, client: Any = ("127.0.0.1", 5), headers: Sequence[str] = (), path: str = PATH, **more: Any) -> Any:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    raw = [(name.encode(), b"x") for name in headers]
    scope = {"type": "http", "method": "GET", "path": path, "query_string": query.encode(), "client": client, "headers": raw, **more}
    asyncio.run(app(scope, None, send))  # type: ignore[arg-type]
    return sent[0]["status"], sent[1]["body"]


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("px.acme.test", 200),
        ("PX.Acme.test.", 200),
        ("console.acme.test", 200),
        ("held.acme.test", 200),
        ("nobody.test", 403),
        # Anybody could have any number of them made.
        ("a.wild.acme.test", 403),
        ("*.wild.acme.test", 403),
        ("", 400),
        ("localhost", 403),
        ("[::1]", 403),
        ("127.0.0.1", 403),
        ("x" * 600 + ".test", 403),
        ("a%20b.test", 403),
    ],
)
def test_which_names_may_have_one(service: Service, name: str, status: int) -> None:
    app = CertificateAsk(elsewhere, service, lambda: frozenset({"held.acme.test"}))
    assert ask(app, f"domain={name}")[0] == status


@pytest.mark.parametrize("query", ["", "name=px.acme.test", "&".join(f"a{number}=1" for number in range(20)), "domain"])
def test_a_question_without_a_name(service: Service, query: str) -> None:
    assert ask(CertificateAsk(elsewhere, service), query)[0] == 400


@pytest.mark.parametrize(
    ("client", "headers", "told"),
    [
        (("127.0.0.1", 5), (), True),
        (("::1", 5), (), True),
        (("10.1.2.3", 5), (), True),
        (("192.0.2.1", 5), (), False),
        (("a socket", 5), (), False),
        (None, (), False),
        (("127.0.0.1", 5), ("x-forwarded-for",), False),
        (("10.1.2.3", 5), ("Forwarded",), False),
        (("127.0.0.1", 5), ("via",), False),
        (("127.0.0.1", 5), ("X-Forwarded-Proto",), False),
        (("127.0.0.1", 5), ("x-real-ip",), False),
        (("127.0.0.1", 5), ("user-agent", "accept-encoding"), True),
    ],
)
def test_who_is_told(service: Service, client: Any, headers: Sequence[str], told: bool) -> None:
    app = CertificateAsk(elsewhere, service)
    assert ask(app, "domain=px.acme.test", client, headers) == ((200, b"yes\n") if told else (404, b"elsewhere"))
    assert ask(app, "domain=px.acme.test", client, headers, method="HEAD")[1] == (b"" if told else b"elsewhere")


def test_everything_else_is_another_applications(service: Service) -> None:
    assert ask(CertificateAsk(elsewhere, service), "domain=px.acme.test", path="/x") == (404, b"elsewhere")


def test_whoever_is_behind_it_is_told_to_drain(service: Service) -> None:
    assert CertificateAsk(elsewhere, service).drain() == 0
    assert not service.is_draining
    app = GatewayApp(service)
    for outer in (app, Beside(app, elsewhere, "console.acme.test")):
        service.is_draining = False
        assert CertificateAsk(outer, service).drain() == 0
        assert service.is_draining


def test_refusals_are_remembered_and_bounded(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    held: set[str] = set()
    certificates = Certificates(service, lambda: frozenset(held))
    with caplog.at_level(logging.DEBUG, "gatewaycore.certificates"):
        for _ in range(3):
            assert not certificates.admits("new.test")
        # A client's address, perhaps: neither kept nor logged.
        for address in ("203.0.113.7", "203.0.113.7:443", "[2001:db8::7]", "0x7f.1"):
            assert not certificates.admits(address)
    assert caplog.messages == ["no certificate for new.test: it is neither served nor verified"]
    assert certificates.refused == ("new.test",)
    for number in range(_MOST + 10):
        certificates.admits(f"d{number}.test")
    assert len(certificates.refused) == _MOST
    # What is verified meanwhile is not remembered as refused.
    held.add(f"d{_MOST}.test")
    assert certificates.admits(f"d{_MOST}.test")
    assert len(certificates.refused) == _MOST - 1


# --- that of the server ----------------------------------------------------------------------------------------------------


def write(folder: Path, name: str = "one") -> tuple[Path, Path]:
    issued = trustme.CA(organization_name=name).issue_cert("localhost")
    cert, key = folder / "cert.pem", folder / "key.pem"
    cert.write_bytes(issued.cert_chain_pems[0].bytes())
    key.write_bytes(issued.private_key_pem.bytes())
    return cert, key


def serial(context: ssl.SSLContext) -> bytes:
    """Return the certificate that a handshake is given, without a socket."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    client = trusting.wrap_bio(incoming, outgoing, server_hostname="localhost")
    server = context.wrap_bio(outgoing, incoming, server_side=True)
    for _ in range(4):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    found = client.getpeercert(binary_form=True)
    assert found is not None
    return found


def test_a_certificate_that_changes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cert, key = write(tmp_path)
    renewal, context = Renewal(cert, key), load_pair(cert, key)
    renewal.serve(context)
    first = serial(context)
    assert not renewal.renew()
    old_key = key.read_bytes()
    write(tmp_path, "another")
    new_key = key.read_bytes()
    key.write_bytes(old_key)
    with caplog.at_level(logging.INFO, "gatewaycore.serve"):
        assert not renewal.renew()
        assert not renewal.renew()
        assert serial(context) == first
        key.write_bytes(new_key)
        assert renewal.renew()
        second = serial(context)
        assert second != first
        cert.unlink()
        assert not renewal.renew()
        cert.write_text("no certificate")
        assert not renewal.renew()
        assert serial(context) == second
    assert [message.partition(": ")[0] for message in caplog.messages] == [
        "the new certificate cannot be used, and the old one stays",
        "the certificate has been read again",
        "the new certificate cannot be used, and the old one stays",
        "the new certificate cannot be used, and the old one stays",
    ]


def test_a_link_that_is_turned_is_seen(tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        cert, key = write(tmp_path / name, name)
        both = tmp_path / name / "both.pem"
        both.write_bytes(cert.read_bytes() + key.read_bytes())
    link = tmp_path / "now"
    link.symlink_to("old")
    renewal = Renewal(link / "both.pem", None)
    (tmp_path / "next").symlink_to("new")
    os.replace(tmp_path / "next", link)
    assert renewal.renew()


def test_each_process_of_a_server_has_a_context_that_is_renewed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its thread lives as long as the process, and would tell other tests what becomes of these files.
    monkeypatch.setattr(certificate, "_LOOK_S", 1e6)
    cert, key = write(tmp_path)
    config = uvicorn.Config(elsewhere, ssl_certfile=cert, ssl_keyfile=key, ssl_context_factory=renewed, log_config=None)
    config.load()
    assert config.ssl is not None
    first = serial(config.ssl)
    assert first
    key.write_text("no key")
    with caplog.at_level(logging.ERROR, "gatewaycore.serve"), pytest.raises(SystemExit) as caught:
        uvicorn.Config(elsewhere, ssl_certfile=cert, ssl_keyfile=key, ssl_context_factory=renewed, log_config=None).load()
    assert caught.value.code == STARTUP_FAILURE
    assert "this worker cannot start" in caplog.text


def test_files_that_are_no_certificate(tmp_path: Path) -> None:
    cert, key = write(tmp_path)
    with pytest.raises(GatewayError, match=r"gone\.pem: No such file or directory"):
        load_pair(tmp_path / "gone.pem", key)
    with pytest.raises(GatewayError, match=r"key\.pem: no certificate with its private key"):
        load_pair(key, cert)


def test_a_config_has_a_place_for_domains() -> None:
    assert not Config().gateway.place
