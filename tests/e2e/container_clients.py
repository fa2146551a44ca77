"""Real container clients, all with the same few verbs; each pull begins with nothing, so that it is a whole one.

They speak HTTPS and trust the lab's authority. References are ``host:port/repository:tag`` or ``host:port/repository@sha256:...``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tests.e2e.container_daemons import Containerd, Docker, DockerManifest
from tests.e2e.https import Credentials
from tests.e2e.pulling import ContainerClient, Pulled, Room, log_in, pulled, write_auth
from tests.e2e.running import module, root, tool

_ORAS = Path(__file__).with_name("oras_pull.py")


class Skopeo:
    """``skopeo copy`` to a folder.

    Args:
        room: where it works.
        login: whether ``skopeo login`` writes the credentials down; otherwise a file is laid ready.
    """

    product = "skopeo"
    keeps_index = False
    pulls_layers = True
    reads_oci = True

    def __init__(self, room: Room, *, login: bool = False) -> None:
        self._room = room
        self._client = room.client("skopeo")
        self._command = [tool("skopeo", "skopeo")]
        self._login = login

    def pull(self, reference: str, credentials: Credentials | None = None) -> Pulled:
        """See `ContainerClient`."""
        with self._room.pull() as folder:
            auth = folder / "auth.json"
            refused = log_in(self._client, self._command, auth, reference, credentials, login=self._login)
            if refused:
                return refused
            copy = ["--insecure-policy", "copy", "--authfile", str(auth), f"docker://{reference}", f"oci:{folder}/pulled:x"]
            return pulled(self._client.attempt(*self._command, *copy), lambda _: _of_layout(folder / "pulled"))

    def close(self) -> None:
        """See `ContainerClient`."""


class Podman:
    """``podman pull``, each into a storage of its own.

    Args:
        room: where it works.
        login: whether ``podman login`` writes the credentials down.
    """

    product = "containers"
    keeps_index = True
    pulls_layers = True
    reads_oci = True

    def __init__(self, room: Room, *, login: bool = False) -> None:
        root()
        self._room = room
        self._client = room.client("podman")
        self._podman = tool("podman", "podman")
        self._login = login

    def pull(self, reference: str, credentials: Credentials | None = None) -> Pulled:
        """See `ContainerClient`."""
        with self._room.pull() as folder:
            podman = [self._podman, *_storage(folder), "--tmpdir", f"{folder}/tmp"]
            auth = folder / "auth.json"
            refused = log_in(self._client, podman, auth, reference, credentials, login=self._login)
            if refused:
                return refused
            finished = self._client.attempt(*podman, "pull", "--quiet", "--authfile", str(auth), reference)
            inspect = [*podman, "image", "inspect", "--format", "{{.Digest}}", reference]
            return pulled(finished, lambda _: self._client.run(*inspect).text.strip())

    def close(self) -> None:
        """See `ContainerClient`."""


class Buildah:
    """``buildah pull``, each into a storage of its own.

    Args:
        room: where it works.
    """

    product = "buildah"
    keeps_index = True
    pulls_layers = True
    reads_oci = True

    def __init__(self, room: Room) -> None:
        root()
        self._room = room
        self._client = room.client("buildah")
        self._buildah = tool("buildah", "buildah")

    def pull(self, reference: str, credentials: Credentials | None = None) -> Pulled:
        """See `ContainerClient`."""
        with self._room.pull() as folder:
            buildah = [self._buildah, *_storage(folder)]
            auth = folder / "auth.json"
            write_auth(auth, reference, credentials)
            finished = self._client.attempt(*buildah, "pull", "--quiet", "--authfile", str(auth), reference)
            return pulled(finished, lambda _: json.loads(self._client.run(*buildah, "images", "--json", "--digests").text)[0]["digest"])

    def close(self) -> None:
        """See `ContainerClient`."""


class OrasPy:
    """The library oras-py, in a process of its own.

    Args:
        room: where it works.
    """

    product = "python-requests"
    keeps_index = False
    pulls_layers = True
    reads_oci = True

    def __init__(self, room: Room) -> None:
        self._room = room
        self._python = module("oras")[0]
        self._client = room.client("oras-py")

    def pull(self, reference: str, credentials: Credentials | None = None) -> Pulled:
        """See `ContainerClient`."""
        with self._room.pull() as folder:
            auth = folder / "config.json"
            write_auth(auth, reference, credentials)
            script = [self._python, str(_ORAS), reference, str(auth), str(folder / "pulled")]
            return pulled(self._client.attempt(*script), lambda finished: finished.text)

    def close(self) -> None:
        """See `ContainerClient`."""


CLIENTS: dict[str, Callable[[Room], ContainerClient]] = {
    "skopeo": Skopeo,
    "skopeo login": lambda room: Skopeo(room, login=True),
    "podman": Podman,
    "podman login": lambda room: Podman(room, login=True),
    "buildah": Buildah,
    "ctr": Containerd,
    "docker": Docker,
    "docker login": lambda room: Docker(room, login=True),
    "docker manifest": DockerManifest,
    "oras-py": OrasPy,
}
"""Every client: what people type -> what makes it."""


def _storage(folder: Path) -> list[str]:
    """Return the options for a storage without mounts."""
    return ["--root", f"{folder}/images", "--runroot", f"{folder}/run", "--storage-driver", "vfs"]


def _of_layout(folder: Path) -> str:
    (manifest,) = json.loads((folder / "index.json").read_text())["manifests"]
    return str(manifest["digest"])
