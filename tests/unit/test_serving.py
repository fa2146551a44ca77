"""What runs in a serving process, where not all of it can be had."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gatewaycore.cli.serving import with_console
from gatewaycore.service import Service
from gatewaycore_asgi.certificates import CertificateAsk

FILE = """
console: {domain: console.acme.test, state: there}
operations: {port: 0}
sinks: []
packages:
  - {type: pixel, name: docs, domain: px.acme.test}
"""


def test_a_console_that_cannot_be_had_shows(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(FILE)
    (tmp_path / "data" / "there").mkdir(parents=True)
    with Service.from_file(file, tmp_path / "data") as service:
        app = with_console(service)
        assert isinstance(app, CertificateAsk)
        assert service.desk is not None
        # The file is served all the same.
        answer = service.desk.answer("/readyz")
        said = json.loads(answer.body)
        assert (answer.status, said["status"], said["sources"]["console"]["state"]) == (200, "degraded", "refused")
        assert "no console is served" in said["sources"]["console"]["error"]
        assert b'gatewaycore_source_failing{source="console"} 1.0' in service.desk.answer("/metrics").body
        assert app.certificates.admits("px.acme.test")
    assert "no console is served" in caplog.text
