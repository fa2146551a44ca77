"""Every store there is, for one gateway that ships to all of them; and what they hold afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gatewaycore.recorder import encode
from gatewaycore.sinks.lake import open_lake
from tests.addresses import lines
from tests.clickhouse import Clickhouse
from tests.databases import Postgres, stored
from tests.kafka import Kafka
from tests.queues import Nats, streamed
from tests.receiver import SECRET, Receiver


class Stores:
    """Every store there is, each with a place of its own here."""

    def __init__(self, folder: Path, postgres: Postgres, nats: Nats, clickhouse: Clickhouse, kafka: Kafka, receiver: Receiver) -> None:
        self.folder, self.postgres, self.nats, self.clickhouse, self.kafka, self.receiver = (
            folder,
            postgres,
            nats,
            clickhouse,
            kafka,
            receiver,
        )
        self.database, self.stream, self.table, self.topic = postgres.create(), nats.name(), clickhouse.create(), kafka.topic()
        self.sinks: list[dict[str, Any]] = [
            {"type": "jsonl", "path": str(folder / "out.jsonl")},
            {"type": "lake", "path": str(folder / "lake")},
            {"type": "postgres", "url": self.database},
            {"type": "nats", "url": nats.url, "stream": self.stream, "subject": self.stream},
            {"type": "clickhouse", "url": self.table},
            {"type": "kafka", "brokers": kafka.brokers, "topic": self.topic},
            {"type": "webhook", "url": receiver.url, "secret": SECRET, "allow-private": True},
        ]

    def contents(self) -> dict[str, bytes]:
        """Return all that was kept, by store."""
        with open_lake(str(self.folder / "lake")) as connection:
            rows = connection.sql("SELECT * FROM events").fetchall()
        return {
            "lake": lines(str(row).encode() for row in rows),
            "postgres": lines(map(encode, stored(self.postgres, self.database))),
            "nats": lines(streamed(self.nats.url, self.stream)),
            "clickhouse": self.clickhouse.ask("SELECT * FROM events FORMAT JSONEachRow", self.table.rpartition("/")[2]),
            "kafka": lines(part for key, value, number in self.kafka.messages(self.topic) for part in (key or b"", value, number.encode())),
            "webhook": lines(part for one in self.receiver.seen for part in (str(one.headers).encode(), one.body, *one.lines)),
        }


def files(folder: Path, since: float = 0) -> dict[str, bytes]:
    """Return what lies in a folder and was written `since` then, with the names of the files."""
    there = [path for path in folder.rglob("*") if path.is_file() and path.stat().st_mtime >= since]
    found = {str(path.relative_to(folder)): path.read_bytes() for path in there}
    return {**found, "names": "\n".join(found).encode()}
