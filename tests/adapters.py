"""The two adapters, driven in process with many requests, one after the other or at once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any, Protocol, cast

import anyio

import gatewaycore_asgi.proxying
import gatewaycore_wsgi.proxying
from gatewaycore.headers import Headers
from gatewaycore.service import Service
from gatewaycore_asgi import GatewayApp as AsgiApp
from gatewaycore_asgi.types import Message
from gatewaycore_wsgi import GatewayApp as WsgiApp
from tests.worlds import Answered, Asked, answered, drive, environ_of, scope_of


class Adapter(Protocol):
    """One of the two, driven in process."""

    room: ModuleType

    def ask(self, service: Service, asked: Sequence[Asked], at_once: bool = False) -> list[Answered]:
        """Return the answers to several requests: one after the other, or all of them at once."""
        ...

    def flight(self, waiting: threading.Semaphore) -> type:
        """Return a kind of `_Flight` that tells when somebody waits for it."""
        ...

    def drain(self, service: Service, asked: Asked) -> int:
        """Return how many bytes an answer has, none of which is kept."""
        ...


class Asgi:
    room: ModuleType = gatewaycore_asgi.proxying

    def ask(self, service: Service, asked: Sequence[Asked], at_once: bool = False) -> list[Answered]:
        async def run() -> list[list[Message]]:
            app = AsgiApp(service)
            try:
                if at_once:
                    return await asyncio.wait_for(asyncio.gather(*(drive(app, scope_of(one), one.body) for one in asked)), 30)
                return [await asyncio.wait_for(drive(app, scope_of(one), one.body), 30) for one in asked]
            finally:
                await app.aclose()

        return [answered(messages, []) for messages in asyncio.run(run())]

    def flight(self, waiting: threading.Semaphore) -> type:
        class Noticed:
            def __init__(self) -> None:
                self._event = anyio.Event()
                self.set = self._event.set

            async def wait(self) -> None:
                waiting.release()
                await self._event.wait()

        class Flight(gatewaycore_asgi.proxying._Flight):
            def __init__(self) -> None:
                super().__init__()
                self.done = cast(Any, Noticed())

        return Flight

    def drain(self, service: Service, asked: Asked) -> int:
        count = 0

        async def run() -> None:
            app = AsgiApp(service)
            never = asyncio.Event()

            async def receive() -> Message:
                await never.wait()
                raise AssertionError

            async def send(message: Message) -> None:
                nonlocal count
                count += len(message.get("body", b""))

            await app(scope_of(asked), receive, send)
            await app.aclose()

        asyncio.run(run())
        return count


class Wsgi:
    room: ModuleType = gatewaycore_wsgi.proxying

    def ask(self, service: Service, asked: Sequence[Asked], at_once: bool = False) -> list[Answered]:
        app = WsgiApp(service)
        seen: dict[int, Answered | Exception] = {}

        def one(number: int) -> None:
            try:
                seen[number] = self._ask(app, asked[number])
            except Exception as error:
                seen[number] = error

        try:
            if at_once:
                threads = [threading.Thread(target=one, args=(number,)) for number in range(len(asked))]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join(30)
            else:
                for number in range(len(asked)):
                    one(number)
        finally:
            app.close()
        answers = [seen[number] for number in range(len(asked))]
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return [answer for answer in answers if isinstance(answer, Answered)]

    def _ask(self, app: WsgiApp, asked: Asked) -> Answered:
        heads: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None, /) -> Callable[[bytes], object]:
            heads.append((status, headers))
            return lambda _: None

        body: Any = app(environ_of(asked), start_response)
        try:
            whole = b"".join(body)
        finally:
            getattr(body, "close", lambda: None)()
        ((status, headers),) = heads
        return Answered(int(status[:3]), Headers(headers), whole, [])

    def flight(self, waiting: threading.Semaphore) -> type:
        class Noticed(threading.Event):
            def wait(self, timeout: float | None = None) -> bool:
                waiting.release()
                return super().wait(timeout)

        class Flight(gatewaycore_wsgi.proxying._Flight):
            def __init__(self) -> None:
                super().__init__()
                self.done = Noticed()

        return Flight

    def drain(self, service: Service, asked: Asked) -> int:
        app = WsgiApp(service)
        count = sum(map(len, app(environ_of(asked), lambda status, headers, exc_info=None, /: lambda _: None)))
        app.close()
        return count


ADAPTERS: Mapping[str, Adapter] = {"asgi": Asgi(), "wsgi": Wsgi()}
