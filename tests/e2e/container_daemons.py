"""Container clients that pull through a daemon, each with one of its own; and Docker's client, which asks for manifests by itself."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from tests.e2e.https import Credentials
from tests.e2e.pulling import Pulled, Room, authority, log_in, pulled, write_auth
from tests.e2e.running import Finished, Program, root, tool


class Containerd:
    """``ctr images pull``, with a containerd of its own.

    Args:
        room: where it works.
    """

    product = "containerd"
    keeps_index = True
    pulls_layers = True
    reads_oci = True

    def __init__(self, room: Room) -> None:
        root()
        self._room = room
        folder = Path(mkdtemp(prefix="c", dir=room.folder))
        config = folder / "config.toml"
        config.write_text(
            f'version = 2\nroot = "{folder}/root"\nstate = "{folder}/state"\n'
            'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
            f'[grpc]\n  address = "{folder}/s"\n'
        )
        self._client = room.client("ctr")
        self._ctr = [tool("ctr", "containerd"), "--address", f"{folder}/s"]
        self._daemon = room.programs.start(f"containerd-{folder.name}", [tool("containerd", "containerd"), "--config", str(config)])
        self._daemon.wait_for("containerd successfully booted")

    def pull(self, reference: str, credentials: Credentials | None = None) -> Pulled:
        """See `ContainerClient`."""
        user = ["--user", f"{credentials.user}:{credentials.password}"] if credentials else []
        pull = ["images", "pull", "--snapshotter", "native", "--hosts-dir", str(self._speak_https(reference)), *user, reference]
        try:
            return pulled(self._client.attempt(*self._ctr, *pull), self._digest)
        finally:
            for name in self._client.run(*self._ctr, "images", "ls", "-q").text.split():
                # Only then is what it was made of gone too.
                self._client.run(*self._ctr, "images", "rm", "--sync", name)

    def _speak_https(self, reference: str) -> Path:
        """Configure a host on loopback, which ctr would speak plain HTTP to."""
        hosts, host = self._room.folder / "hosts", authority(reference)
        (hosts / host).mkdir(parents=True, exist_ok=True)
        # Without a table of other hosts ctr 1.6 reads none of it.
        (hosts / host / "hosts.toml").write_text(f'server = "https://{host}"\n[host]\n')
        return hosts

    def _digest(self, _: Finished) -> str:
        listed = self._client.run(*self._ctr, "images", "ls").text
        return next(word for word in listed.split() if word.startswith("sha256:"))

    def close(self) -> None:
        """See `ContainerClient`."""
        self._daemon.stop()


class Docker:
    """``docker pull``, with a dockerd of its own.

    Args:
        room: where it works.
        login: whether ``docker login`` writes the credentials down.
    """

    product = "docker"
    keeps_index = True
    pulls_layers = True
    reads_oci = True

    def __init__(self, room: Room, *, login: bool = False) -> None:
        root()
        self._room = room
        folder = Path(mkdtemp(prefix="d", dir=room.folder))
        self._client = room.client("docker")
        self._docker = [_docker_command(), "--host", f"unix://{folder}/s"]
        # What dockerd keeps manifests in.
        socket = f"{folder}/exec/containerd/containerd.sock"
        self._content = [tool("ctr", "containerd"), "--address", socket, "--namespace", "moby", "content"]
        self._login = login
        self._daemon = _dockerd(room, folder)

    def pull(self, reference: str, credentials: Credentials | None = None) -> Pulled:
        """See `ContainerClient`."""
        with self._room.pull() as folder:
            docker = [*self._docker, "--config", str(folder)]
            refused = log_in(self._client, docker, folder / "config.json", reference, credentials, login=self._login)
            if refused:
                return refused
            try:
                return pulled(self._client.attempt(*docker, "pull", "--quiet", reference), lambda _: self._digest(reference))
            finally:
                self._forget()

    def _forget(self) -> None:
        self._client.run(*self._docker, "image", "prune", "--all", "--force")
        # They are forgotten in a while, and found by a pull in between; what is gone by now is no error.
        self._client.attempt(*self._content, "rm", *self._client.run(*self._content, "ls", "--quiet").text.split())

    def _digest(self, reference: str) -> str:
        (image,) = json.loads(self._client.run(*self._docker, "image", "inspect", reference).text)
        (name,) = image["RepoDigests"]
        return str(name).partition("@")[2]

    def close(self) -> None:
        """See `ContainerClient`."""
        self._daemon.stop()


class DockerManifest:
    """``docker manifest inspect``, which asks for manifests only, by itself.

    Args:
        room: where it works.
    """

    product = "docker-client"
    keeps_index = False
    pulls_layers = False
    reads_oci = False

    def __init__(self, room: Room) -> None:
        self._room = room
        self._client = room.client("docker-manifest")
        self._docker = _docker_command()

    def pull(self, reference: str, credentials: Credentials | None = None) -> Pulled:
        """See `ContainerClient`."""
        with self._room.pull() as folder:
            write_auth(folder / "config.json", reference, credentials)
            command = [self._docker, "--config", str(folder), "manifest", "inspect", "--verbose", reference]
            return pulled(self._client.attempt(*command), lambda finished: _of_descriptors(json.loads(finished.text)))

    def close(self) -> None:
        """See `ContainerClient`."""


def _docker_command() -> str:
    # Debian's, and not a newer one that stands before it in PATH: the daemon is Debian's too.
    return tool("/usr/bin/docker", "docker.io")


def _dockerd(room: Room, folder: Path) -> Program:
    # Not what this machine's own dockerd would read.
    (folder / "daemon.json").write_text("{}")
    files = {"config-file": "daemon.json", "data-root": "root", "exec-root": "exec", "pidfile": "pid"}
    own = [f"--{name}={folder / file}" for name, file in files.items()]
    no_network = ["--bridge=none", "--iptables=false", "--ip6tables=false"]
    command = [tool("dockerd", "docker.io"), *own, f"--host=unix://{folder}/s", "--storage-driver=vfs", *no_network]
    daemon = room.programs.start(f"dockerd-{folder.name}", command, **room.certificates.trust)
    daemon.wait_for("API listen on")
    return daemon


def _of_descriptors(inspected: dict[str, Any] | list[dict[str, Any]]) -> str:
    """Return the digest that was inspected, of several that for amd64."""
    if isinstance(inspected, list):
        (inspected,) = (one for one in inspected if one["Descriptor"]["platform"]["architecture"] == "amd64")
    return str(inspected["Descriptor"]["digest"])
