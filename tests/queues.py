"""NATS on loopback, from Debian's nats-server: one server, or three that are a cluster."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal

from tests.e2e.running import DEADLINE_S, Program, Programs, freeze, tool

_LISTENING = r"Listening for client connections on [0-9.]+:([0-9]+)"
_PORT, _ROUTES = 4222, 6222


class Nats:
    """A server.

    Args:
        programs: starts and ends it.
    """

    def __init__(self, programs: Programs, *options: str) -> None:
        store = ["-js", "-sd", str(programs.folder / "store")]
        self.program = programs.start("nats", [tool("nats-server", "nats-server"), "-a", "127.0.0.1", "-p", "-1", *store, *options])
        self.url = f"nats://127.0.0.1:{self.program.listen(_LISTENING)}"
        self._numbers = itertools.count(1)

    def hang(self) -> None:
        """Let it do nothing more, and keep its connections open."""
        freeze(self.program.pid)

    def go_on(self) -> None:
        """Let it go on."""
        os.kill(self.program.pid, signal.SIGCONT)

    def kill(self) -> None:
        """Kill it."""
        os.kill(self.program.pid, signal.SIGKILL)

    def name(self) -> str:
        """Return a name that no stream has yet."""
        return f"stream{next(self._numbers)}"


class Cluster:
    """Three servers, each at an address of its own, so that everybody may know the others' ports.

    Args:
        programs: starts and ends them.
    """

    def __init__(self, programs: Programs) -> None:
        network = f"127.{100 + os.getpid() // 250 % 100}.{1 + os.getpid() % 250}"
        hosts = [f"{network}.{number}" for number in (1, 2, 3)]
        routes = ",".join(f"nats-route://{host}:{_ROUTES}" for host in hosts)
        self.url = ",".join(f"nats://{host}:{_PORT}" for host in hosts)
        self.programs: list[Program] = []
        for number, host in enumerate(hosts):
            name, server = f"n{number}", tool("nats-server", "nats-server")
            command = [server, "-a", host, "-p", str(_PORT), "-n", name, "-js", "-sd", str(programs.folder / name)]
            command += ["--cluster_name", "c", "--cluster", f"nats-route://{host}:{_ROUTES}", "--routes", routes]
            self.programs.append(programs.start(name, command))
        for program in self.programs:
            program.wait_for("Server is ready")
        asyncio.run(asyncio.wait_for(_until_led(self.url.split(",")), DEADLINE_S))

    def kill(self, number: int) -> None:
        """Kill a server as nobody can prevent."""
        os.kill(self.programs[number].pid, signal.SIGKILL)


async def _until_led(urls: list[str]) -> None:
    """Wait until every server answers for JetStream: one that has joined late does not say that there is a leader."""
    import nats

    for url in urls:
        client = await nats.connect(url)
        try:
            while True:
                with contextlib.suppress(nats.errors.Error, nats.js.errors.Error):
                    await client.jetstream(timeout=1).account_info()
                    break
                await asyncio.sleep(0.1)
        finally:
            await client.close()


def streamed(url: str, stream: str) -> list[bytes]:
    """Return the lines of all messages in a stream."""

    async def read() -> list[bytes]:
        import nats

        client = await nats.connect(url.split(","))
        context = client.jetstream(timeout=30)
        try:
            state = (await context.stream_info(stream)).state
            numbers = range(state.first_seq, state.last_seq + 1) if state.messages else ()
            found = [await context.get_msg(stream, number) for number in numbers]
            return [line for message in found for line in (message.data or b"").splitlines(keepends=True)]
        finally:
            await client.close()

    return asyncio.run(read())
