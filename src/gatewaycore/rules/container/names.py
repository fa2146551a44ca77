"""Image names: the grammar of references, and which registry answers for a name.

This room knows the grammar of the OCI distribution specification (v1.1 §Pull) and the defaults that container clients
apply to what people type ("hello-world" is "docker.io/library/hello-world"). It knows nothing of requests or of rules.
"""

from __future__ import annotations

import re
from ipaddress import IPv6Address

from attrs import evolve, frozen

from gatewaycore.errors import ConfigError, Problem

HUB = "docker.io"
"""The registry that a name without a registry means."""

HUB_API_HOST = "registry-1.docker.io"
"""Where that registry speaks the distribution API; the name itself serves web pages."""

NAME_MAX = 255
"""Clients and registries refuse longer names (OCI distribution-spec v1.1 §Pull)."""

_HUB_ALIASES = frozenset({HUB, "index.docker.io", HUB_API_HOST, "registry.hub.docker.com"})
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DIGEST = re.compile(r"([a-z0-9]+(?:[+._-][a-z0-9]+)*):([A-Za-z0-9=_-]+)")
_HEX = re.compile(r"[a-f0-9]+")
_HEX_DIGITS = {"sha256": 64, "sha384": 96, "sha512": 128}
_DIGEST_MAX = 255
_IDENTIFIER = re.compile(r"[a-f0-9]{64}")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_REGISTRY = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[A-Fa-f0-9:]+\])(?::([0-9]{{1,5}}))?")
_OPTIONS_WITH_VALUE = frozenset({"--arch", "--authfile", "--cert-dir", "--creds", "--os", "--platform", "--variant"})


def is_repository(text: str) -> bool:
    """Tell whether `text` is a repository name, without a registry (OCI distribution-spec v1.1 §Pull, ``<name>``)."""
    return len(text) <= NAME_MAX and _REPOSITORY.fullmatch(text) is not None


def is_tag(text: str) -> bool:
    """Tell whether `text` is a tag (OCI distribution-spec v1.1 §Pull, ``<reference>``)."""
    return _TAG.fullmatch(text) is not None


def is_digest(text: str) -> bool:
    """Tell whether `text` is a digest (OCI image-spec v1.1 §Digests); registered algorithms must have their own length."""
    if len(text) > _DIGEST_MAX:
        return False
    found = _DIGEST.fullmatch(text)
    if found is None:
        return False
    algorithm, encoded = found.groups()
    digits = _HEX_DIGITS.get(algorithm)
    # An algorithm unknown here is the backend's to judge: the specification lets new ones appear.
    return digits is None or (len(encoded) == digits and _HEX.fullmatch(encoded) is not None)


@frozen
class ImageName:
    """A normalised image reference.

    Attributes:
        registry: host with an optional port, "docker.io" where none was written; in the case it was written in.
        repository: "library/hello-world"; lower-case.
        tag: without ":"; None where none was written.
        digest: "sha256:…"; None where none was written.
    """

    registry: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> ImageName:
        """Parse a reference as container clients do, Docker Hub's defaults included.

        Raises:
            ConfigError: `text` is no image reference.
        """
        if _IDENTIFIER.fullmatch(text):
            raise _refuse(text, "64 hexadecimal digits are an image's id, not its name")
        registry, rest = _split_registry(text)
        rest, at, digest = rest.partition("@")
        repository, colon, tag = rest.partition(":")
        if at and not is_digest(digest):
            raise _refuse(text, f"{digest[:80]!r} is no digest", "write sha256: and 64 lower-case hexadecimal digits")
        if colon and not is_tag(tag):
            raise _refuse(text, f"{tag[:80]!r} is no tag", "up to 128 of A-Z a-z 0-9 _ . - and neither . nor - first")
        if repository != repository.lower():
            raise _refuse(text, "a repository's name has an upper-case letter", f"write {repository.lower()[:80]!r}")
        if not is_repository(repository):
            raise _refuse(text, f"{repository[:80]!r} is no repository name", "a-z 0-9, with single . _ or - inside, joined by /")
        if not _is_registry(registry):
            raise _refuse(text, f"{registry[:80]!r} is no registry host", "write a host name, with :port where it needs one")
        if len(registry) + 1 + len(repository) > NAME_MAX:
            raise _refuse(text, f"registry and repository are longer than {NAME_MAX} characters")
        return cls(registry, repository, tag if colon else None, digest if at else None)

    def __str__(self) -> str:
        tag = "" if self.tag is None else f":{self.tag}"
        digest = "" if self.digest is None else f"@{self.digest}"
        return f"{self.registry}/{self.repository}{tag}{digest}"


def parse_backend(text: str) -> ImageName:
    """Parse what people write as an image's backend: a reference, or the whole pull command.

    Every name of Docker Hub's registry becomes "docker.io", and the registry is lower-cased; tag and digest stay on the result.

    Raises:
        ConfigError: `text` names no image, or more than one.
    """
    reference = _reference_of(text)
    if "://" in reference:
        raise _refuse(text, "a URL is no image reference", f"write {reference.partition('://')[2][:80]!r}")
    first, slash, rest = reference.partition("/")
    if slash and first.lower() in _HUB_ALIASES:
        reference = f"{HUB}/{rest}"
    name = ImageName.parse(reference)
    if not _is_address(name.registry):
        raise _refuse(text, f"{name.registry} is no IPv6 address")
    return evolve(name, registry=name.registry.lower())


def parse_registry(text: str) -> str:
    """Parse a registry's host, as people write it; return it lower-case, every name of Docker Hub's registry as "docker.io".

    Raises:
        ConfigError: `text` is no host, or says more than a host.
    """
    host = text.strip().lower()
    if "://" in host:
        raise _refuse(text, "a URL is no registry host", f"write {host.partition('://')[2].rstrip('/')[:80]!r}")
    if not _is_registry(host) or not _is_address(host):
        raise _refuse(text, "not a registry host", "write a host name such as ghcr.io, with :port where it needs one")
    return HUB if host in _HUB_ALIASES else host


def api_host(registry: str) -> str:
    """Return the host that speaks the distribution API for `registry`."""
    return HUB_API_HOST if registry == HUB else registry


def _is_registry(text: str) -> bool:
    found = _REGISTRY.fullmatch(text) if len(text) <= NAME_MAX else None
    return found is not None and int(found.group(1) or 0) < 65536


def _is_address(registry: str) -> bool:
    """Tell whether what stands in brackets is an IPv6 address, which the grammar of references leaves open."""
    if not registry.startswith("["):
        return True
    try:
        IPv6Address(registry[1 : registry.index("]")])
    except ValueError:
        return False
    return True


def _split_registry(text: str) -> tuple[str, str]:
    """Split "registry/rest" as container clients do: a first component is a registry only where it cannot be a repository's."""
    first, slash, rest = text.partition("/")
    if not slash:
        return HUB, f"library/{text}"
    if not (first == "localhost" or "." in first or ":" in first or first != first.lower()):
        return HUB, text
    if first in (HUB, "index.docker.io"):
        return HUB, rest if "/" in rest else f"library/{rest}"
    return first, rest


def _reference_of(text: str) -> str:
    words = text.split()
    if len(words) < 2:
        return text.strip()
    if "pull" not in words:
        raise _refuse(text, "neither an image reference nor a pull command", "write ghcr.io/acme/x or docker pull ghcr.io/acme/x")
    images: list[str] = []
    value_follows = False
    for word in words[words.index("pull") + 1 :]:
        if not value_follows and not word.startswith("-"):
            images.append(word)
        value_follows = word in _OPTIONS_WITH_VALUE
    if len(images) != 1:
        raise _refuse(text, f"a pull command of {len(images)} images", "name one image")
    return images[0]


def _refuse(text: str, what: str, hint: str = "") -> ConfigError:
    shown = text if len(text) <= 120 else f"{text[:117]}..."
    return ConfigError([Problem(f"image name {shown!r}", what, hint)])
