"""The parent of several workers: starts others in the place of those that die, and passes SIGHUP on."""

from __future__ import annotations

import logging
import os
import signal
import time
from socket import socket

from uvicorn import Config, Server
from uvicorn.supervisors.multiprocess import Multiprocess, Process

from gatewaycore.cli.certificate import STARTUP_FAILURE
from gatewaycore.cli.draining import AT_ONCE, SOON, DrainingServer
from gatewaycore.cli.serving import patient

_JOIN_S = 0.1
_AGAIN_S = 5.0
"""How long after a worker could not start another one is tried."""

_log = logging.getLogger("gatewaycore.serve")


class Worker(Process):
    """A process that serves, and ends in good order."""

    @property
    def server(self) -> Server:
        """What serves in it."""
        if self._server is None:
            self._server = DrainingServer(self.config, is_worker=True)
        return self._server


class Supervisor(Multiprocess):
    """Keeps workers.

    On SIGHUP uvicorn would start every worker anew, with a file that may be broken: it is passed on instead. And it would end them all when
    one cannot be started in the place of another: a file that was damaged since is no reason to stop those that serve.

    Attributes:
        interrupted: by SIGINT.
        failed: a worker could not start, and no other one serves.
    """

    def __init__(self, config: Config, sockets: list[socket]) -> None:
        super().__init__(config, sockets)
        self.interrupted = False
        self.failed = False
        # Those that were seen to serve; and those that could not start, with when others are started in their place.
        self._seen: set[Process] = set()
        self._due: dict[Process, float] = {}

    def init_processes(self) -> None:
        """Start all workers."""
        with patient():
            for _ in range(self.processes_num):
                self.processes.append(self._begin())

    def _begin(self) -> Process:
        process = Worker(self.config, self.sockets)
        process.start()
        return process

    def terminate_all(self) -> None:
        """Tell all to end; where somebody sits before this, without the first step. What they are told then they know already."""
        for process in self.processes if self.interrupted else ():
            if process.pid is not None and process.exitcode is None:
                os.kill(process.pid, SOON)
        super().terminate_all()

    def join_all(self) -> None:
        """Wait until all have ended; a second signal ends them at once."""
        for process in self.processes:
            while process.process.is_alive():
                process.process.join(_JOIN_S)
                if signal.SIGTERM in self.signal_queue or signal.SIGINT in self.signal_queue:
                    self.signal_queue.clear()
                    self._end_at_once()

    def _end_at_once(self) -> None:
        for process in self.processes:
            if process.pid is not None and process.process.is_alive():
                os.kill(process.pid, AT_ONCE)

    def keep_subprocess_alive(self) -> None:
        """Start others in the place of those that have died or hang."""
        for position, process in enumerate(self.processes):
            if self.should_exit.is_set():
                return
            if process in self._due:
                if time.monotonic() < self._due[process]:
                    continue
                del self._due[process]
            elif process.is_alive(timeout=self.config.timeout_worker_healthcheck):
                if process not in self._seen and process.is_ready():
                    self._seen.add(process)
                continue
            elif self._could_not_start(process):
                continue
            with patient():
                self.processes[position] = self._begin()

    def _could_not_start(self, process: Process) -> bool:
        """Bury a worker, and tell whether it ended before it served: then it is tried again in a while, or all is over."""
        process.kill()
        process.join()
        self._seen.discard(process)
        if process.exitcode != STARTUP_FAILURE:
            return False
        if any(self._serves(other) for other in self.processes):
            _log.error("a worker cannot start in the place of another; the others go on, and it is tried again")
            self._due[process] = time.monotonic() + _AGAIN_S
        else:
            self.failed = True
            self.should_exit.set()
        return True

    def _serves(self, process: Process) -> bool:
        if process.exitcode is not None:
            return False
        # A machine that is busy answers late.
        return process in self._seen or process.wait_until_ready(self.config.timeout_worker_healthcheck, self.should_exit)

    def handle_hup(self) -> None:
        """Let every worker read its rules again."""
        for process in self.processes:
            if process.pid is not None and process.exitcode is None:
                os.kill(process.pid, signal.SIGHUP)

    def handle_int(self) -> None:
        """End, and remember why."""
        self.interrupted = True
        super().handle_int()
