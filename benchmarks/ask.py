"""Ask: how long Caddy waits, in the middle of a client's handshake, to be told whether it may have a certificate for a name."""

from __future__ import annotations

import http.client
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs

from benchmarks import rules
from benchmarks.live import port_of
from benchmarks.room import ROOT, Effort, Figure
from gatewaycore.access import CONSOLE_STATE, Access, Domain, Principal, User
from gatewaycore.access.database import Database
from gatewaycore.access.definitions import count_up
from gatewaycore.access.tables import DOMAINS
from gatewaycore.access.trail import new_id

GROUP = "ask"
_DOMAINS = 10_000
_LIMIT_MS = 5.0
_CONSOLE = "console: {domain: console.acme.com}\ngateway: {verification: {resolvers: ['127.0.0.1:9'], every-s: 86400}}\nsinks: []\n"


def run(effort: Effort) -> Iterator[Figure]:
    """Yield the figures."""
    count, asked = (10_000, 2_000) if effort == "quick" else (100_000, 10_000)
    with tempfile.TemporaryDirectory(prefix="gatewaycore-bench-") as folder:
        file, data = Path(folder) / "gateway.yaml", Path(folder) / "data"
        rules.write_yaml(file, count)
        file.write_text(file.read_text() + _CONSOLE)
        data.mkdir()
        held = _hold(data)
        command = [sys.executable, "-m", "gatewaycore", "serve", str(file), "--data-dir", str(data), "--port", "0"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT) as server:
            try:
                yield from _asked(port_of(server), held, count, asked)
            finally:
                server.terminate()


def _hold(data: Path) -> list[str]:
    """Let an organisation hold many domains, as if each had been proved a moment ago; return their names."""
    now = datetime.now(UTC)
    names = [f"get.shop-{number}.example" for number in range(_DOMAINS)]
    access = Access(data / CONSOLE_STATE)
    by = Principal(user=User(id="", name="benchmark", is_operator=True, created_at=now, disabled_at=None))
    organisation = access.groups.create("shops", by=by)
    access.close()
    database = Database(data / CONSOLE_STATE)
    with database.writing() as connection:
        count_up(connection)
        connection.execute(DOMAINS.insert(), [_verified(name, organisation.id, now) for name in names])
    database.close()
    return names


def _verified(name: str, organisation: str, at: datetime) -> dict[str, Any]:
    made = Domain(
        id=new_id(at),
        organisation_id=organisation,
        name=name,
        challenge="",
        state="verified",
        reason="",
        checked_at=at,
        verified_at=at,
        created_at=at,
        proof="operator",
    )
    return attrs.asdict(made)


def _asked(port: int, held: Sequence[str], count: int, asked: int) -> Iterator[Figure]:
    chance = random.Random(1)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    # Answered when the rules are there; and the domains, which are read beside them.
    while _ask(connection, held[-1])[0] != 200:
        time.sleep(0.1)
    names = {
        f"one of {_DOMAINS:,} verified domains": ([chance.choice(held) for _ in range(asked)], 200),
        f"one of the file's, which has {count:,} rules": ([f"get{chance.randrange(1000)}.acme.com" for _ in range(asked)], 200),
        "no name twice, all refused": ([f"d{number}.nobody.example" for number in range(asked)], 403),
        "one name, refused and remembered": (["nobody.example"] * asked, 403),
    }
    for what, (each, status) in names.items():
        for name in each[:100]:
            _ask(connection, name)
        seen = [_ask(connection, name) for name in each]
        wrong = sum(one != status for one, _ in seen)
        times = sorted(ms for _, ms in seen)
        late = times[len(times) * 99 // 100]
        note = f"{wrong} of {asked:,} were answered otherwise" if wrong else f"{times[-1]:.1f} ms at most, of {asked:,}"
        yield Figure(GROUP, f"{what}: in the middle", statistics.median(times), "ms")
        yield Figure(GROUP, f"{what}: 99 %", late, "ms", budget="under 5 ms", met=late < _LIMIT_MS and not wrong, note=note)


def _ask(connection: http.client.HTTPConnection, name: str) -> tuple[int, float]:
    begin = time.perf_counter()
    connection.request("GET", f"/_gatewaycore/ask?domain={name}")
    answer = connection.getresponse()
    answer.read()
    return answer.status, (time.perf_counter() - begin) * 1000
