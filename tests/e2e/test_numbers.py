"""Numbers on the dashboard, in the API, in the terminal, on a badge and in an export are the same, soon after they were made."""

from __future__ import annotations

import csv
import http.client
import io
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.report import Table
from tests.served import Served, environment

pytestmark = pytest.mark.e2e

CONFIG = """
packages:
  - {name: cli, type: file, domain: get.acme.example, incoming-path: "/cli/{version}", outgoing-url: "https://cdn.acme.example/{version}"}
  - {name: tool, type: file, domain: get.acme.example, incoming-path: "/tool/{version}", outgoing-url: "https://cdn.acme.example/{version}"}
badges: {domains: [badges.acme.example], packages: [cli], max-age-s: 1}
console: {domain: console.acme.example}
"""
SOON_S = 15.0
MADE = {"1.0": 3, "1.1": 5, "2.0": 9}


def gatewaycore(*arguments: object) -> str:
    command = [sys.executable, "-m", "gatewaycore", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, check=True, text=True, timeout=120, env=environment()).stdout


def fetch(served: Served, path: str, agent: str = "curl/8.5.0", method: str = "GET") -> int:
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
    connection.request(method, path, headers={"Host": "get.acme.example", "User-Agent": agent})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


def test_they_are_the_same_everywhere(tmp_path: Path, table: Table) -> None:
    file, data = tmp_path / "gateway.yaml", tmp_path / "data"
    file.write_text(CONFIG)
    here = ("--data-dir", data)
    with Served(file, data) as served:
        secret = gatewaycore("token", "create", file, "--user", "ada", "--operator", *here).strip()
        url = f"http://127.0.0.1:{served.port}"
        console = httpx.Client(base_url=url, headers={"Host": "console.acme.example"}, timeout=60)
        page = console.get("/sign-in")
        before = re.search(r'name="csrf" value="([^"]+)"', page.text)
        assert before is not None
        # httpx keeps cookies for the address that it connects to, which is no domain of the console's.
        cookies = "; ".join(f"{name}={value}" for name, value in page.cookies.items())
        origin = {"Origin": "http://console.acme.example", "Cookie": cookies}
        entered = console.post("/sign-in", data={"token": secret, "csrf": before[1], "next": "/"}, headers=origin)
        assert entered.status_code == 303
        session = {"Cookie": f"gatewaycore_session={entered.cookies['gatewaycore_session']}"}

        def versions() -> dict[str, int]:
            answer = console.get("/package", params={"name": "cli", "format": "csv", "table": "version"}, headers=session)
            assert answer.status_code == 200, answer.text
            rows = csv.DictReader(io.StringIO(answer.text))
            return {row["version"]: int(row["count"]) for row in rows}

        for version, count in MADE.items():
            assert {fetch(served, f"/cli/{version}") for _ in range(count)} == {302}
        # Of another package, of a bot, and one that counts for nothing.
        assert fetch(served, "/tool/1.0") == fetch(served, "/cli/3.0", "Googlebot/2.1") == fetch(served, "/cli/3.0", method="HEAD") == 302
        begun = time.monotonic()
        while versions() != MADE:
            assert time.monotonic() < begun + 4 * SOON_S, versions()
            time.sleep(0.2)
        took = time.monotonic() - begun

        api = httpx.Client(
            base_url=f"{url}/api/v1", headers={"Host": "console.acme.example", "Authorization": f"Bearer {secret}"}, timeout=60
        )
        totals: dict[str, Any] = api.get("/stats/totals", params={"package": "cli", "period": "30d"}).json()
        by_api = {
            one["value"]: one["count"] for one in api.get("/stats/breakdown", params={"package": "cli", "by": "version"}).json()["shares"]
        }
        report = json.loads(gatewaycore("report", file, "--package", "cli", "--by", "version", "--json", *here))
        by_report = {one["value"]: one["count"] for one in report["breakdowns"][0]["shares"]}
        exported = [json.loads(line) for line in gatewaycore("export", "--config", file, *here).splitlines()]
        counted = [
            one for one in exported if (one["package"], one["kind"], one["method"], one["agent"]) == ("cli", "download", "GET", "unknown")
        ]
        by_export = {version: sum(one["version"] == version for one in counted) for version in MADE}
        assert by_api == by_report == by_export == MADE
        assert totals["now"]["downloads"] == report["totals"]["now"]["downloads"] == len(counted) == sum(MADE.values())

        def badge() -> str:
            found = re.search(
                r'aria-label="([^"]*)"', console.get("/installs-badge/acme/cli", headers={"Host": "badges.acme.example"}).text
            )
            return "" if found is None else found[1]

        until = time.monotonic() + 4 * SOON_S
        while badge() != f"downloads: {sum(MADE.values())}":
            assert time.monotonic() < until, badge()
            time.sleep(0.2)
        for client in (console, api):
            client.close()
        assert served.stop() == 0
        assert "Traceback" not in served.errors
    table.figures.append(
        f"dashboard, API, terminal, export and badge: {sum(MADE.values())} downloads in each, on the dashboard after {took:.1f} s"
    )
