"""Paths: what npm, yarn and pnpm ask a registry for, in every spelling in which they do.

The "/" and the "@" of a scoped name come escaped or not, and in either case of the digits; so does the rest of a path. It is decoded once:
what is still escaped then names nothing. What it says becomes a key and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Literal, TypeAlias
from urllib.parse import unquote

from attrs import frozen

from gatewaycore.decision import Respond
from gatewaycore.rules.npm.packument import PREFIX, attestations, refusal

# The classes are spelled out: lower() and isalnum() take letters that no registry does. Old names have capitals.
_SCOPE: Final = r"@[A-Za-z0-9~_][A-Za-z0-9._~-]*"
_NAME: Final = r"[A-Za-z0-9~_-][A-Za-z0-9._~-]*"
_package: Final = re.compile(rf"(?:{_SCOPE}/)?{_NAME}").fullmatch
_scope: Final = re.compile(_SCOPE).fullmatch
_NAME_CHARACTERS: Final = 214
"""The longest name that registries take."""
_PATH_CHARACTERS: Final = 2048

What: TypeAlias = Literal["packument", "version", "dist-tags", "tarball", "attestations"]


@frozen
class Asked:
    """What a path asks for.

    Attributes:
        package: as registries name it: "@acme/anvil".
        what: of the package.
        name: the number or tag of a version; the file name of a tarball; for attestations, as a page's files have them.
        version: as far as the path says; "" where it does not.
    """

    package: str
    what: What = "packument"
    name: str = ""
    version: str = ""


@frozen
class Ping:
    """Whether this is a registry."""


@frozen
class Keys:
    """With which keys versions are signed."""


Found: TypeAlias = Asked | Ping | Keys | Respond

KEYS_PATH: Final = "-/npm/v1/keys"
NOT_FOUND: Final = refusal(404, "this registry has nothing there")
_NO_ADVISORIES: Final = refusal(404, "this registry knows no advisories: ask the one that it reads from, with --registry")
_NO_SEARCH: Final = refusal(404, "this registry is not searched: it serves the packages that it was told to serve")
_NO_ACCOUNTS: Final = refusal(404, "this registry has no accounts: everybody may read it, and nobody publishes to it")
# By what a path below "-/" begins with. To all clients, 404 means "not here": some go on from it to what an older registry has.
_REFUSED: Final[Sequence[tuple[str, Respond]]] = (
    ("npm/v1/security/", _NO_ADVISORIES),
    ("v1/search", _NO_SEARCH),
    ("all", _NO_SEARCH),
    *((account, _NO_ACCOUNTS) for account in ("whoami", "user/", "v1/login", "v1/done", "npm/v1/user", "npm/v1/token", "org/", "team/")),
)


def is_package_name(text: str) -> bool:
    """Tell whether `text` may name a package, scoped or not. "-" alone may not: paths below it are the registry's own."""
    return len(text) <= _NAME_CHARACTERS and text != "-" and _package(text) is not None


def is_scope(text: str) -> bool:
    """Tell whether `text` may be a scope: "@acme"."""
    return len(text) <= _NAME_CHARACTERS and _scope(text) is not None


def read(path: str) -> Found | None:
    """Return what a wire path asks for, or how it is refused whatever the method is; None for one that is not below the prefix."""
    if path != PREFIX and not path.startswith(f"{PREFIX}/"):
        return None
    if len(path) > _PATH_CHARACTERS:
        return NOT_FOUND
    decoded = unquote(path[len(PREFIX) + 1 :])
    if decoded.startswith("-/"):
        return _own(decoded[2:].removesuffix("/"))
    package, rest = _taken(decoded.split("/"))
    if not is_package_name(package):
        return NOT_FOUND
    match rest:
        case [] | [""]:
            return Asked(package)
        case [wanted]:
            # Numbers begin with a digit, and tags may not be numbers.
            return Asked(package, "version", wanted, wanted if wanted[0].isdigit() else "")
        case ["-", name]:
            return _tarball(package, name)
        case ["-", scope, name] if package.startswith(f"{scope}/"):
            # As some registries write it: /@acme/anvil/-/@acme/anvil-1.0.0.tgz.
            return _tarball(package, name)
        case _:
            return NOT_FOUND


def _taken(segments: Sequence[str]) -> tuple[str, Sequence[str]]:
    """Return the package that a path begins with, and the rest of it."""
    count = 2 if segments[0].startswith("@") else 1
    return "/".join(segments[:count]), segments[count:]


def _tarball(package: str, name: str) -> Asked:
    stem, dot, ending = name.rpartition(".")
    front = f"{package.rpartition('/')[2]}-"
    known = dot and ending == "tgz" and stem.startswith(front)
    return Asked(package, "tarball", name, stem[len(front) :] if known else "")


def _own(rest: str) -> Found:
    """Return what a path below "-/" asks for: that is the registry's own, and no package's."""
    if rest == "ping":
        return Ping()
    if f"-/{rest}" == KEYS_PATH:
        return Keys()
    segments = rest.split("/")
    if segments[0] == "package":
        package, asked = _taken(segments[1:] or [""])
        if is_package_name(package) and asked[:1] == ["dist-tags"]:
            # One tag is only ever set or removed, and neither is done here.
            return Asked(package, "dist-tags", "/".join(asked[1:]))
    elif rest.startswith("npm/v1/attestations/"):
        package, _, version = rest.removeprefix("npm/v1/attestations/").rpartition("@")
        if is_package_name(package) and version:
            return Asked(package, "attestations", attestations(version), version)
    return next((answer for start, answer in _REFUSED if rest.startswith(start)), NOT_FOUND)
