"""Start the cluster on this machine: PostgreSQL, NATS, two gateways, a consumer that fills the lake, and Caddy in front.

    python examples/cluster/run.py FOLDER

Each server has an address of its own on loopback, and keeps everything in FOLDER. It needs Debian's `caddy`, `nats-server` and
`postgresql`, and `pip install 'gatewaycore[server,metrics,console,postgres,nats,lake]'`. Ctrl-C ends it.
"""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

HERE = Path(__file__).parent
OPERATIONS = 9464


class Cluster:
    """The servers, from when they are started until they are ended.

    Args:
        folder: what they keep, and their logs.
        network: the first three numbers of their addresses.
    """

    def __init__(self, folder: Path, network: str = "127.70.7") -> None:
        self.folder = folder.absolute()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.url = f"http://{network}.1:8000"
        self.gateways = {"gateway-1": f"{network}.2", "gateway-2": f"{network}.3"}
        self.database = f"postgresql://gateway@{network}.4:5432/postgres"
        self.nats = f"{network}.5"
        self.lake = self.folder / "lake"
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self._network = network
        self._env = {"DATABASE_URL": self.database, "NATS_URL": f"nats://{self.nats}:4222", "LAKE": str(self.lake)}

    def start(self) -> None:
        """Start all of them, and wait until both gateways are ready."""
        self.start_postgres()
        self._run("nats", [_program("nats-server"), "-a", self.nats, "-p", "4222", "-js", "-sd", str(self.folder / "stream")])
        # Whoever starts for the first time has to find the database; later, one that is down keeps nobody from starting.
        _wait_until(self._is_database_there, "PostgreSQL does not answer")
        for name in self.gateways:
            self.start_gateway(name)
        self._gatewaycore("consumer", "consume", str(HERE / "consumer.yaml"))
        gateways = " ".join(f"{host}:8080" for host in self.gateways.values())
        caddy = [_program("caddy"), "run", "--config", str(HERE / "Caddyfile"), "--adapter", "caddyfile"]
        home = {"XDG_DATA_HOME": str(self.folder / "caddy"), "XDG_CONFIG_HOME": str(self.folder / "caddy")}
        self._run("caddy", caddy, {"LISTEN": "8000", "GATEWAYS": gateways, **home})
        for host in self.gateways.values():
            _wait_for(f"http://{host}:{OPERATIONS}/readyz")
        _wait_for(f"{self.url}/", statuses=(404,))

    def start_gateway(self, name: str) -> None:
        """Start one gateway; its journal is where it was."""
        host = self.gateways[name]
        # The same file on one machine: each listens at its own address.
        config = self.folder / f"{name}.yaml"
        config.write_text((HERE / "gateway.yaml").read_text().replace("host: 0.0.0.0", f"host: {host}"))
        self._gatewaycore(name, "serve", str(config), "--host", host, "--port", "8080", "--log-format", "json")

    def token(self, user: str) -> str:
        """Make a user who runs the cluster, and return a token for the console and the API."""
        command = ["token", "create", str(self.folder / "gateway-1.yaml"), "--user", user, "--operator"]
        done = subprocess.run(self._command("gateway-1", *command), env={**os.environ, **self._env}, check=True, capture_output=True)
        return done.stdout.decode().split()[-1]

    def _gatewaycore(self, name: str, *command: str) -> None:
        self._run(name, self._command(name, *command), self._env)

    def _command(self, name: str, *command: str) -> list[str]:
        return [sys.executable, "-m", "gatewaycore", *command, "--data-dir", str(self.folder / name)]

    def _is_database_there(self) -> bool:
        return subprocess.run([_postgres("pg_isready"), "-q", "-h", f"{self._network}.4"], check=False).returncode == 0

    def start_postgres(self) -> None:
        """Start PostgreSQL; its folder is made when it is not there."""
        data = self.folder / "postgres"
        # It does not run as root.
        user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        if not data.exists():
            data.mkdir()
            if user:
                shutil.chown(data, "postgres")
            options = ["--auth=trust", "--username=gateway", "--encoding=UTF8", "--locale=C.UTF-8"]
            subprocess.run([*user, _postgres("initdb"), "-D", str(data), *options], cwd="/", check=True, capture_output=True)
        settings = ["-c", f"listen_addresses={self._network}.4", "-c", f"unix_socket_directories={data}"]
        self._run("postgres", [*user, _postgres("postgres"), "-D", str(data), *settings])

    def _run(self, name: str, command: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            # A session of its own: what a terminal sends to all goes to this script alone, which ends them in order.
            self.running[name] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **(env or {})},
                cwd="/",
                start_new_session=True,
            )

    def end(self, name: str, number: signal.Signals = signal.SIGTERM) -> None:
        """End one server, and wait for it."""
        process = self.running.pop(name)
        os.killpg(process.pid, number)
        process.wait(120)

    def close(self) -> None:
        """End all of them, those in front first."""
        for name in ("caddy", *self.gateways, "consumer", "nats"):
            if name in self.running:
                self.end(name)
        if "postgres" in self.running:
            # Connections that are still open are cut.
            self.end("postgres", signal.SIGINT)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _program(name: str) -> str:
    return shutil.which(name) or _missing(name)


def _postgres(name: str) -> str:
    # Debian has the server's programs in a folder of their own.
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(found[-1]) if found else _missing("postgresql")


def _missing(name: str) -> str:
    raise SystemExit(f"needs {name}: apt-get install {name}")


def _wait_for(url: str, statuses: Sequence[int] = (200,)) -> None:
    _wait_until(lambda: _status_of(url) in statuses, f"{url} does not answer {statuses[0]}")


def _status_of(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except (OSError, http.client.HTTPException):
        return 0


def _wait_until(what: Callable[[], bool], otherwise: str, timeout_s: float = 60.0) -> None:
    end = time.monotonic() + timeout_s
    while not what():
        if time.monotonic() > end:
            raise SystemExit(f"{otherwise}; see the logs")
        time.sleep(0.1)


def main() -> None:
    """Run it until Ctrl-C."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "cluster")
    with Cluster(folder) as cluster:
        sys.stdout.write(f"curl -i -H 'Host: get.acme.example' {cluster.url}/linux/1.0/rocket-skates.tgz\n")
        sys.stdout.write(f"the lake: {cluster.lake}\n")
        sys.stdout.flush()
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            signal.pause()
        except KeyboardInterrupt:
            sys.stdout.write("ending\n")


if __name__ == "__main__":
    main()
