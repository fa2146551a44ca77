"""Names of projects and files, and what they say of versions and platforms (PEP 425, PEP 440, PEP 491, PEP 503, PEP 625).

``packaging.utils`` knows the same, but imports ``subprocess`` and ``selectors`` on the way, which have no place in a core without
I/O, and refuses every file name from before PEP 491 and PEP 625: half of an old project's files. ``packaging.version`` does neither.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NewType

from attrs import frozen
from packaging.version import VERSION_PATTERN, InvalidVersion, Version

NormalName = NewType("NormalName", str)
"""A project's name as PEP 503 writes it in URLs: lower-case, "-" for every run of "-", "_" and ".": ``zope-interface``."""

# The classes are spelled out: with re.IGNORECASE, "[a-z]" takes the Kelvin sign as well.
_PROJECT: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_SEPARATORS: Final = re.compile(r"[-_.]+")
_ARCHIVE: Final = re.compile(r"\.(tar(?:\.(?:gz|bz2|xz|lz|lzma|zst|Z))?|t[bglx]z|zip|egg|exe|msi|rpm|deb|dmg)\Z")
# What old installers put behind the version ends it: numpy-1.6.1.win32-py3.1.exe, Twisted-8.2.0.macosx-10.4-i386.
_LEADING_VERSION: Final = re.compile(rf"{VERSION_PATTERN}(?=[.-]|\Z)", re.VERBOSE | re.IGNORECASE)


def is_project_name(text: str) -> bool:
    """Tell whether `text` may name a project (PEP 508 §Names)."""
    return _PROJECT.fullmatch(text) is not None


def normalise(name: str) -> NormalName:
    """Return `name` as PEP 503 §Normalized Names writes it. Total: other text than names gives text that names no project."""
    return NormalName(_SEPARATORS.sub("-", name).lower())


def parse_version(text: str | None) -> Version | None:
    """Return the version that `text` is (PEP 440), or None."""
    if text is None:
        return None
    try:
        return Version(text)
    except InvalidVersion:
        return None


@frozen
class FileName:
    """What a file's name says.

    Attributes:
        version: of the project, as PEP 440 normalises it, or None.
        file_type: "wheel", "sdist", "egg", "wininst", "msi", "rpm", "dumb" (what ``bdist_dumb`` made), "deb", "dmg"; None for others.
        platform: as events call it; "allplatforms" where it says that it fits any, None where it does not say.
        arch: as written, or None.
    """

    version: str | None = None
    file_type: str | None = None
    platform: str | None = None
    arch: str | None = None


NOTHING_SAID: Final = FileName()
_TYPES: Final[Mapping[str, str]] = {"egg": "egg", "exe": "wininst", "msi": "msi", "rpm": "rpm", "deb": "deb", "dmg": "dmg"}
_PLATFORM: Final = re.compile(
    r"(?<![A-Za-z0-9])(?:(?P<linux>manylinux|musllinux|linux)|(?P<macos>macosx|darwin)|(?P<windows>win(?=32|64|[-_])|mingw|cygwin)"
    r"|(?P<android>android)|(?P<ios>ios)(?=_)|(?P<freebsd>freebsd)|(?P<openbsd>openbsd)|(?P<aix>aix)|(?P<sunos>sunos|solaris)"
    r"|(?P<emscripten>emscripten|pyodide)|(?P<wasi>wasi))"
)
_ARCH: Final = re.compile(
    r"(?<![A-Za-z0-9])(x86_64|amd64|i[3-6]86|win32|aarch64|arm64(?:_v8a)?|armv\d\w?|armeabi_v7a|armhf|ppc64le|ppc64|ppc|s390x|riscv64"
    r"|loongarch64|universal2?|intel|fat(?:32|64)?|ia64|noarch|wasm32|x86)(?![A-Za-z0-9])"
)


def described(file_name: str, project: NormalName) -> FileName:
    """Return what the name of one of `project`'s files says.

    The project's name is known, so that "my-project-1.0-beta.tar.gz" holds no riddle: what follows the name is the version.
    """
    if file_name.endswith(".whl"):
        # PEP 491: neither name nor version of a wheel holds a "-".
        fields = file_name[:-4].split("-")
        version = parse_version(fields[1]) if len(fields) >= 3 else None
        tag = fields[-1] if len(fields) >= 5 else ""
        platform, arch = ("allplatforms", None) if tag == "any" else _platform(tag)
        return FileName(None if version is None else str(version), "wheel", platform, arch)
    ending = _ARCHIVE.search(file_name)
    file_type = None if ending is None else _TYPES.get(ending[1], "sdist")
    text, behind = _split(_behind_name(file_name if ending is None else file_name[: ending.start()], project), file_type)
    version = parse_version(text)
    platform, arch = _platform(behind)
    if file_type == "sdist" and platform is not None:
        file_type = "dumb"
    return FileName(None if version is None else str(version), file_type, platform, arch)


def _split(rest: str | None, file_type: str | None) -> tuple[str | None, str]:
    """Return the version in what follows a project's name, and what follows that."""
    if rest is None:
        return None, ""
    if file_type == "rpm":
        # name-version-release.arch: a release is no part of the version, though "1.0-1" could be one.
        text, _, behind = rest.partition("-")
        return text, behind
    if parse_version(rest) is not None:
        return rest, ""
    leading = _LEADING_VERSION.match(rest)
    return (None, "") if leading is None else (leading[0], rest[leading.end() :])


def version_of(file_name: str, project: NormalName) -> Version | None:
    """Return the version in the name of one of `project`'s files, or None when none can be read out of it."""
    return parse_version(described(file_name, project).version)


def belongs(file_name: str, project: NormalName, known: dict[str, bool]) -> bool:
    """Tell whether a file's name begins with that of `project`, as each of its files does.

    Args:
        file_name: of the file.
        project: the project.
        known: what was found out of other names of the same page; added to.
    """
    at = file_name.find("-")
    while at > 0:
        head = file_name[:at]
        found = known.get(head)
        if found is None:
            found = known[head] = normalise(head) == project
        if found:
            return True
        at = file_name.find("-", at + 1)
    return False


def _behind_name(stem: str, project: NormalName) -> str | None:
    at = stem.find("-")
    while at > 0:
        if normalise(stem[:at]) == project:
            return stem[at + 1 :]
        at = stem.find("-", at + 1)
    return None


def _platform(text: str) -> tuple[str | None, str | None]:
    found, arch = _PLATFORM.search(text), _ARCH.search(text)
    return None if found is None else found.lastgroup, None if arch is None else arch[1]
