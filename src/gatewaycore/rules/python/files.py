"""A project's files: as the configuration lists them, and as they are answered.

A listed file is redirected to; its bytes are never seen here, so that everything a page says about it is what the configuration says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import quote, urldefrag

from attrs import define, field, frozen
from packaging.version import Version

from gatewaycore.decision import Redirect
from gatewaycore.event import Observation
from gatewaycore.outgoing import authority, carry
from gatewaycore.rules.indexes.live import file_href
from gatewaycore.rules.python.names import FileName, NormalName, described, parse_version
from gatewaycore.rules.python.simple import digest_fragment
from gatewaycore.rules.variables import query_variables

# Digits in hex of the algorithms that installers check; a page with a hash that no file can have would stop every install.
_DIGEST_LENGTHS: Final = {"md5": 32, "sha1": 40, "sha224": 56, "sha256": 64, "sha384": 96, "sha512": 128, "blake2b": 128, "blake2s": 64}
_HEX: Final = re.compile(r"[0-9A-Fa-f]+")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_ASCII: Final = "".join(map(chr, range(0x21, 0x7F)))
_PLAIN: Final = re.compile(r"[!-~]*")


@frozen
class PythonFile:
    """One file of a Python project.

    Attributes:
        file_name: "numpy-1.22.1.zip"; the last part of its address here.
        url: where it is fetched from: an absolute http(s) URL; a fragment such as ``#sha256=…`` is kept.
        version: what the event says; read out of the file's name when not given.
        hashes: algorithm to hex digest; without any, a digest in the fragment of `url` counts.
        requires_python: which Pythons may install it (PEP 345): ">=3.8".
        gpg_sig: whether a signature lies beside it; None when that is not known.
        yanked: whether it was withdrawn, or the reason why (PEP 592).
        size: bytes (PEP 700), where known.
    """

    file_name: str
    url: str
    version: str | None = None
    hashes: Mapping[str, str] = field(factory=dict, hash=False)
    requires_python: str | None = None
    gpg_sig: bool | None = None
    yanked: str | bool | None = None
    size: int | None = None

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what is wrong with it, and what to write instead."""
        if not self.file_name or self.file_name in (".", "..") or "/" in self.file_name or _CONTROL.search(self.file_name):
            yield f"file-name {self.file_name!r} is not the name of a file", "the last part of its URL, without a slash"
        elif not _encodable(self.file_name):
            yield f"file-name {self.file_name!r} is not Unicode text", "a lone surrogate stands in it"
        if authority(_location(self.url)) is None:
            yield f"url {self.url!r} is not an absolute http(s) URL", "https://host/path"
        for algorithm, digest in self.hashes.items():
            length = _DIGEST_LENGTHS.get(algorithm)
            if length is None:
                yield f"hashes: unknown algorithm {algorithm!r}", "one of " + ", ".join(_DIGEST_LENGTHS)
            elif len(digest) != length or not _HEX.fullmatch(digest):
                yield f"hashes: {digest!r} is no {algorithm}", f"{length} hexadecimal digits"
        if self.size is not None and self.size < 0:
            yield f"size {self.size} is negative", "bytes"


@define(slots=True)
class Listed:
    """A file, ready to be answered. Nobody mutates it.

    Attributes:
        file: its settings.
        href: its address, relative to the page of its project, percent-encoded, without a fragment.
        hashes: the digests that pages show.
        version: for sorting and for the project's list of versions.
        redirect: the answer to a request without a query.
        observation: its part of the event.
    """

    file: PythonFile
    href: str
    hashes: Mapping[str, str]
    version: Version | None
    redirect: Redirect
    observation: Observation

    @classmethod
    def compile(cls, file: PythonFile, *, project: NormalName, package: str, label: str, status: int) -> Listed:
        """Make it of settings without problems."""
        said = described(file.file_name, project)
        named = parse_version(said.version)
        location = _location(file.url)
        return cls(
            file,
            file_href(file.file_name),
            _lower(file.hashes) if file.hashes else _fragment_hashes(location),
            parse_version(file.version) or named,
            Redirect(location, status),
            Observation(
                package=package,
                package_type="python",
                rule=label,
                kind="download",
                version=file.version if file.version is not None else said.version,
                platform=said.platform,
                arch=said.arch,
                variables=file_variables(file.file_name, said),
            ),
        )

    def digest(self) -> str:
        """Return the fragment for a link to it, ``#sha256=…`` (PEP 503): one digest, the strongest that every installer knows; or ""."""
        return digest_fragment(self.hashes)

    def answer(self, query: str) -> Redirect:
        """Return where it is, the request's `query` carried along."""
        redirect = self.redirect
        return Redirect(carry(redirect.location, query), redirect.status) if query else redirect

    def observe(self, query: str) -> Observation:
        """Return its part of the event, with the parameters of the request's `query`."""
        seen = self.observation
        if not query:
            return seen
        variables = {**query_variables(query), **seen.variables}
        return Observation(
            seen.package, seen.package_type, seen.rule, seen.kind, seen.version, seen.platform, seen.arch, variables=variables
        )


def file_variables(name: str, said: FileName) -> dict[str, str]:
    """Return the variables of a file's event."""
    return {"file": name} if said.file_type is None else {"file": name, "file-type": said.file_type}


def _location(url: str) -> str:
    # Visible ASCII stays as written: the operator's URL is sent exactly, signatures and odd fragments included.
    return url if _PLAIN.fullmatch(url) else quote(url, safe=_ASCII, errors="replace")


def _lower(hashes: Mapping[str, str]) -> Mapping[str, str]:
    # Nearly always they are: then there is no second mapping to keep, for each of thousands of files.
    return hashes if all(map(str.islower, hashes.values())) else {name: digest.lower() for name, digest in hashes.items()}


def _fragment_hashes(url: str) -> dict[str, str]:
    algorithm, _, digest = urldefrag(url).fragment.partition("=")
    known = len(digest) == _DIGEST_LENGTHS.get(algorithm) and _HEX.fullmatch(digest)
    return {algorithm: digest.lower()} if known else {}


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
