"""Names of projects and files, and the versions in them (PEP 440, PEP 491, PEP 503, PEP 625).

``packaging.utils`` knows the same, but imports ``subprocess`` and ``selectors`` on the way, which have no place in a core without
I/O, and refuses every file name from before PEP 491 and PEP 625: half of an old project's files. ``packaging.version`` does neither.
"""

from __future__ import annotations

import re
from typing import Final, NewType

from packaging.version import VERSION_PATTERN, InvalidVersion, Version

NormalName = NewType("NormalName", str)
"""A project's name as PEP 503 writes it in URLs: lower-case, "-" for every run of "-", "_" and ".": ``zope-interface``."""

# The classes are spelled out: with re.IGNORECASE, "[a-z]" takes the Kelvin sign as well.
_PROJECT: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_SEPARATORS: Final = re.compile(r"[-_.]+")
_ARCHIVE: Final = re.compile(r"\.(?:tar\.(?:gz|bz2|xz|lzma|Z)|tgz|tbz|zip|egg|exe|msi|rpm|deb|dmg)\Z")
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


def version_of(file_name: str, project: NormalName) -> Version | None:
    """Return the version in the name of one of `project`'s files, or None when none can be read out of it.

    The project's name is known, so that "my-project-1.0-beta.tar.gz" holds no riddle: what follows the name is the version.
    """
    if file_name.endswith(".whl"):
        # PEP 491: neither name nor version of a wheel holds a "-".
        fields = file_name.split("-", 2)
        return parse_version(fields[1]) if len(fields) == 3 else None
    stem = _ARCHIVE.sub("", file_name)
    at = stem.find("-")
    while at > 0:
        if normalise(stem[:at]) == project:
            rest = stem[at + 1 :]
            leading = _LEADING_VERSION.match(rest)
            return parse_version(rest) or parse_version(leading[0] if leading else None)
        at = stem.find("-", at + 1)
    return None
