"""Packuments: what a registry says of a package, read and written in either form, with tarballs that lead to the gateway.

The whole document, and the abbreviated one that installs read. Nothing of either is changed but where tarballs are: integrity, checksums
and signatures stand as the upstream wrote them, to the byte, and so does every number.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final, TypedDict

from attrs import define, field, frozen

from gatewaycore.decision import Respond
from gatewaycore.headers import Headers
from gatewaycore.rules.indexes import Fetched, Form, Forms, PageError, Written
from gatewaycore.rules.indexes.documents import decode, encode, members

PREFIX: Final = "/npm"
WHOLE: Final = "application/json"
ABBREVIATED: Final = "application/vnd.npm.install-v1+json"
# In order of preference, should the client have none: who says nothing gets everything, as from the registries themselves.
FORMS: Final = Forms(Form(WHOLE), Form(ABBREVIATED))
_ABBREVIATED_FORM: Final = 1

_VERSION: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+_-]{0,255}")
_INSTALL_SCRIPTS: Final = frozenset({"preinstall", "install", "postinstall"})
_ABBREVIATED_KEYS: Final = frozenset(
    [
        *("name", "version", "deprecated", "dependencies", "optionalDependencies", "devDependencies", "bundleDependencies"),
        *("bundledDependencies", "peerDependencies", "peerDependenciesMeta", "acceptDependencies", "bin", "directories", "dist"),
        *("engines", "os", "cpu", "libc", "funding", "hasInstallScript", "_hasShrinkwrap"),
    ]
)
"""What the abbreviated form has of a version: what decides whether and how it is installed."""


class PackumentDialect:
    """Reads and writes packuments (see `gatewaycore.rules.indexes.Dialect`). Projects are packages: "rocket-skates", "@acme/anvil"."""

    forms: Final = FORMS
    files_form: Final = _ABBREVIATED_FORM

    def path(self, project: str) -> str:
        """Return where a package's document is; the "/" of a scoped name is escaped, as every registry takes it."""
        return project.replace("/", "%2f")

    def accept(self, form: int) -> str:
        """Ask for the form itself. What is whole can be abbreviated here; nothing makes the other way good."""
        return f"{ABBREVIATED}, {WHOLE};q=0.8" if form == _ABBREVIATED_FORM else WHOLE

    def refuse(self, status: int, message: str, lines: tuple[tuple[str, str], ...] = ()) -> Respond:
        """Answer as registries do, with what npm's family shows to people."""
        return refusal(status, message, lines)

    def write(self, page: Fetched, form: int) -> Written:
        """Write a document with tarballs that lead to the gateway."""
        abbreviated = page.media_type == ABBREVIATED
        if not abbreviated and page.media_type != WHOLE:
            raise PageError("is no JSON")
        if abbreviated and form != _ABBREVIATED_FORM:
            raise PageError("is abbreviated, though the whole was asked for")
        document = members(page.body)
        if decode(document.get("name", b'""'), str) != page.project:
            raise PageError("is another package's")
        versions = _Versions(page, abbreviate=form == _ABBREVIATED_FORM and not abbreviated)
        listed = members(document.get("versions", b"{}"))
        for version, text in listed.items():
            versions.add(version, text)
        if listed and not versions.files:
            raise PageError("lists no version of the package")
        tags = decode(document.get("dist-tags", b"{}"), dict[str, str])
        document["dist-tags"] = encode({tag: version for tag, version in tags.items() if version in versions.shown})
        if versions.abbreviate:
            document = _short(document)
        return versions.write(document)


def refusal(status: int, message: str, lines: tuple[tuple[str, str], ...] = ()) -> Respond:
    """Return an answer with an error as npm's family reads it."""
    head = [("content-type", WHOLE), ("x-content-type-options", "nosniff"), *lines]
    return Respond(status, Headers(head), json.dumps({"error": message}).encode())


def tarball(package: str, version: str) -> str:
    """Return the file name of a version's tarball, as npm calls it: "anvil-1.0.0.tgz" for "@acme/anvil".

    Whatever it is called at the upstream: yarn leaves a URL that follows the custom out of its lock file, and asks for it all the same.
    """
    return f"{package.rpartition('/')[2]}-{version}.tgz"


def attestations(version: str) -> str:
    """Return what stands for a version's attestations among a page's files: the name of no tarball."""
    return f"attestations/{version}"


class _Attestations(TypedDict):
    url: str


@define
class _Versions:
    """The versions of a document, as they are written one after the other. Between any two pieces stands the gateway's own address."""

    page: Fetched
    abbreviate: bool
    files: dict[str, str] = field(factory=dict)
    shown: set[str] = field(factory=set)
    _pieces: list[bytes] = field(factory=list)
    _piece: list[bytes] = field(factory=list)

    def add(self, version: str, text: bytes) -> None:
        """Write a version down; one that nobody could install, or that says it is another's, is left out."""
        package = self.page.project
        try:
            manifest = members(text)
            dist = members(manifest["dist"])
            said = decode(manifest["name"], str), decode(manifest["version"], str)
            url = self.page.locate(decode(dist["tarball"], str))
        except (PageError, KeyError):
            # One that was published in an odd way, years ago perhaps, is no reason to show none of the others.
            return
        if url is None or said != (package, version) or not _VERSION.fullmatch(version):
            return
        name = tarball(package, version)
        self.files[name] = url
        self._attest(version, dist)
        if self.abbreviate:
            manifest = _short_manifest(manifest)
        self._piece += [b"," if self.shown else b"{", encode(version), b":", *_opened(manifest, "dist"), *_opened(dist, "tarball"), b'"']
        self._pieces.append(b"".join(self._piece))
        self._piece = [f'{PREFIX}/{package}/-/{name}"}}}}'.encode()]
        self.shown.add(version)

    def _attest(self, version: str, dist: Mapping[str, bytes]) -> None:
        try:
            url = self.page.locate(decode(dist["attestations"], _Attestations)["url"])
        except (PageError, KeyError):
            return
        if url is not None:
            self.files[attestations(version)] = url

    def write(self, document: Mapping[str, bytes]) -> Written:
        """Return the whole document."""
        first, *others = [*self._pieces, b"".join(self._piece)]
        pieces = [b"".join([*_opened(document, "versions"), first or b"{"]), *others]
        pieces[-1] += b"}}"
        return Written(tuple(pieces), self.files)


def _opened(of: Mapping[str, bytes], last: str) -> list[bytes]:
    """Return an object as JSON up to the value of the member that is to stand last."""
    written = [b"{"]
    for name, text in of.items():
        if name != last:
            written += (encode(name), b":", text, b",")
    return [*written, encode(last), b":"]


# --- abbreviating -------------------------------------------------------------------------------------------------


def _short(document: Mapping[str, bytes]) -> dict[str, bytes]:
    short = {name: document[name] for name in ("name", "dist-tags")}
    modified = members(document.get("time", b"{}")).get("modified")
    if modified is not None:
        short["modified"] = modified
    return short


def _short_manifest(manifest: Mapping[str, bytes]) -> dict[str, bytes]:
    short = {name: text for name, text in manifest.items() if name in _ABBREVIATED_KEYS}
    if "hasInstallScript" not in short and _has_install_script(manifest.get("scripts")):
        short["hasInstallScript"] = b"true"
    return short


def _has_install_script(scripts: bytes | None) -> bool:
    if scripts is None:
        return False
    try:
        return not _INSTALL_SCRIPTS.isdisjoint(members(scripts))
    except PageError:
        # Old documents have all kinds of things there.
        return False


# --- parts --------------------------------------------------------------------------------------------------------


@frozen
class OneVersion:
    """What a document says of one version.

    Attributes:
        wanted: its number, or a tag.
    """

    wanted: str

    def __call__(self, page: bytes) -> bytes | None:
        """Return that; None where there is no such version."""
        try:
            document = members(page)
            version = decode(document["dist-tags"], dict[str, str]).get(self.wanted, self.wanted)
            return b"".join([members(document["versions"])[version]])
        except (PageError, KeyError):
            # What was read once can be read again, unless it is nested as deeply as was just bearable.
            return None


def dist_tags(page: bytes) -> bytes | None:
    """Return the tags of a document."""
    try:
        return b"".join([members(page)["dist-tags"]])
    except PageError:
        return None


# --- keys ---------------------------------------------------------------------------------------------------------


class _Keys(TypedDict):
    keys: list[dict[str, str | None]]


class KeysDialect:
    """Passes on the keys with which a registry signs its versions, which ``npm audit signatures`` asks of wherever it installs from."""

    forms: Final = Forms(Form(WHOLE))
    files_form: Final = 0

    def path(self, project: str) -> str:
        """Return where the keys are; they are nobody's in particular."""
        return project

    def accept(self, form: int) -> str:
        """Ask for JSON."""
        return WHOLE

    def refuse(self, status: int, message: str, lines: tuple[tuple[str, str], ...] = ()) -> Respond:
        """Answer as for packuments."""
        return refusal(status, message, lines)

    def write(self, page: Fetched, form: int) -> Written:
        """Write them as they are."""
        if page.media_type != WHOLE:
            raise PageError("is no JSON")
        return Written((encode(decode(page.body, _Keys)),), {})
