"""What pulls have in common, whoever pulls: what becomes of them, where they happen, and who is logged in."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Protocol

from attrs import frozen

from tests.e2e.https import Certificates, Credentials
from tests.e2e.running import Client, Finished, Programs


@frozen
class Pulled:
    """What became of a pull.

    Attributes:
        ok: whether the client has the image.
        digest: of the manifest that it says it has, or of the index; None without an image.
        said: what it printed, for people.
    """

    ok: bool
    digest: str | None
    said: str


class ContainerClient(Protocol):
    """A client, ready to pull.

    Attributes:
        product: the first product of its User-Agent (RFC 9110 §10.1.5), lower-case, without the version.
        keeps_index: whether `Pulled.digest` is an index's own for an image that has one; otherwise it is the amd64 manifest's.
        pulls_layers: whether it asks for all of an image, and not only for what describes it.
        reads_oci: whether it knows OCI's media types, and not only Docker's.
    """

    product: str
    keeps_index: bool
    pulls_layers: bool
    reads_oci: bool

    def pull(self, reference: str, credentials: Credentials | None = None) -> Pulled:
        """Pull an image, logged in with `credentials`, or as anybody."""

    def close(self) -> None:
        """End what it has started."""


@frozen
class Room:
    """Where clients work.

    Attributes:
        folder: what they keep; a short name, for sockets and podman.
        programs: starts their daemons.
        certificates: whom they trust.
    """

    folder: Path
    programs: Programs
    certificates: Certificates

    def client(self, name: str, **more: str) -> Client:
        """Return what runs the programs of one client."""
        return Client(self.folder / name, **self.certificates.trust, **more)

    @contextmanager
    def pull(self) -> Iterator[Path]:
        """Yield a folder for one pull."""
        # By hand: what clients unpack may resist, and a leftover is no failure.
        folder = Path(mkdtemp(dir=self.folder))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def pulled(finished: Finished, digest: Callable[[Finished], str]) -> Pulled:
    """Return what became of a pull.

    Args:
        finished: the client that pulled.
        digest: says what it has, where it succeeded.
    """
    said = finished.text + finished.said
    return Pulled(True, digest(finished), said) if finished.status == 0 else Pulled(False, None, said)


def log_in(
    client: Client, command: list[str], file: Path, reference: str, credentials: Credentials | None, *, login: bool
) -> Pulled | None:
    """Write credentials to `file`, by the client's own ``login`` if it is to log in.

    Args:
        client: runs it.
        command: the client and its options.
        file: a Docker client's config.json, or another client's file of another name.
        reference: names the registry.
        credentials: None to write down nobody's.
        login: whether it is to log in.

    Returns:
        None; what was said where the registry refused the credentials.
    """
    if not (login and credentials):
        write_auth(file, reference, credentials)
        return None
    where = [] if file.name == "config.json" else ["--authfile", str(file)]
    asked = ["login", *where, "--username", credentials.user, "--password", credentials.password, authority(reference)]
    finished = client.attempt(*command, *asked)
    return None if finished.status == 0 else Pulled(False, None, finished.text + finished.said)


def write_auth(file: Path, reference: str, credentials: Credentials | None) -> None:
    """Write what clients of containers/image and of Docker read; nobody's credentials where there are none."""
    auths = {authority(reference): {"auth": credentials.basic}} if credentials else {}
    file.write_text(json.dumps({"auths": auths}))


def authority(reference: str) -> str:
    """Return the host and port."""
    return reference.partition("/")[0]
