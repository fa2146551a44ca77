"""The API against its own document: schemathesis makes requests of it, and every answer has to be one that it promises."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from gatewaycore_asgi.console.api import document
from tests.offices import DEFINITION, Office

pytestmark = pytest.mark.e2e

REAL = {"key": ["tool", "cli", "acme~1rocket-skates"], "name": ["zebra", "acme", "get.zebra.example"], "user": ["mia", "zoe"]}
"""What there is: requests for what is not there would show little but 404."""


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    with Office(tmp_path_factory.mktemp("office")) as opened:
        assert opened.ask("POST", "/packages", json={"organisation": "zebra", "definition": dict(DEFINITION)}).status_code == 201
        opened.keep(package="cli")
        yield opened


@pytest.fixture(scope="module")
def url(office: Office) -> Iterator[str]:
    """Serve it, as it is served to others."""
    server = uvicorn.Server(uvicorn.Config(office.api, log_level="error", lifespan="off"))
    listening = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    # Whoever connects before it accepts waits in the queue of the socket.
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    thread.join()
    listening.close()


@schemathesis.serializer("application/x-ndjson", "application/gzip", "text/csv")
def as_it_is(_: Any, value: Any) -> bytes:
    """Send a file's bytes as they are."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


schema = schemathesis.openapi.from_dict(dict(document()))


@schema.parametrize()
@settings(max_examples=20, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_answer_is_promised(case: Any, office: Office, url: str) -> None:
    is_positive = case.meta is None or case.meta.generation.mode.is_positive
    if is_positive and case.path_parameters:
        for name, value in case.path_parameters.items():
            known = REAL.get(name)
            if known and len(str(value)) % 4:
                case.path_parameters[name] = known[len(str(value)) % len(known)]
    headers = {"Authorization": f"Bearer {office.secrets['root']}"}
    # A text may be of the right length, and name no organisation all the same: it is refused, and rightly so.
    case.call_and_validate(base_url=url, headers=headers, excluded_checks=[positive_data_acceptance])
