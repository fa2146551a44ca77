"""Which packages have badges. Nobody learns of any other: a private package and one that does not exist are answered alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from attrs import field, frozen

# What other gateways call the same types.
_TYPES = {"docker": "container", "oci": "container", "pypi": "python"}


@frozen
class Reference:
    """How a request names a package: by its id, or by an owner and a name.

    Attributes:
        text: what follows the form's prefix, decoded.
        by_id: which of the two it is.
        package_type: what the request says the package's type is.
    """

    text: str
    by_id: bool
    package_type: str | None = None


Published: TypeAlias = Callable[[Reference], str | None]
"""Returns what events call the package that is meant, or None where it is not public, or not there."""


@frozen
class Package:
    """A package as badges know it.

    Attributes:
        key: what events call it: its id where it has one, else its name.
        type: the tag of its type.
    """

    key: str
    name: str
    type: str


@frozen
class Listing:
    """Packages, and which of them are public: a `Published`.

    Attributes:
        packages: all of them, in the order of the configuration.
        public: names and ids of public ones; one that ends with "*" stands for all that begin so.
        username: whose packages they are; None where any owner may be named.
        admits: tell of an image's name whether a collection has it.
    """

    packages: Sequence[Package]
    public: Sequence[str]
    username: str | None = None
    admits: Sequence[Callable[[str], bool]] = ()
    _exact: frozenset[str] = field(init=False, repr=False)
    _beginnings: tuple[str, ...] = field(init=False, repr=False)
    _ids: dict[str, Package] = field(init=False, repr=False)
    _names: dict[str, list[Package]] = field(init=False, repr=False)

    @_exact.default
    def _(self) -> frozenset[str]:
        return frozenset(text for text in self.public if not text.endswith("*"))

    @_beginnings.default
    def _(self) -> tuple[str, ...]:
        return tuple(text[:-1] for text in self.public if text.endswith("*"))

    @_ids.default
    def _(self) -> dict[str, Package]:
        return {package.key: package for package in reversed(self.packages) if self._shows(package)}

    @_names.default
    def _(self) -> dict[str, list[Package]]:
        found: dict[str, list[Package]] = {}
        for package in self.packages:
            if self._shows(package):
                found.setdefault(package.name, []).append(package)
        return found

    def __call__(self, reference: Reference) -> str | None:
        """Return what events call the package that is meant."""
        if reference.by_id:
            package = self._ids.get(reference.text)
            return package.key if package is not None else self._image(reference.text)
        wanted = reference.package_type
        wanted = None if wanted is None else _TYPES.get(wanted.lower(), wanted.lower())
        for name in self._called(reference.text):
            for package in self._names.get(name, ()):
                if wanted in (None, package.type):
                    return package.key
            image = self._image(name) if wanted in (None, "container") else None
            if image is not None:
                return image
        return None

    def public_keys(self) -> Iterator[str]:
        """Iterate over what events call the public packages; images of collections are not among them."""
        return iter(self._ids)

    def unknown(self) -> Iterator[tuple[int, str]]:
        """Iterate over the entries of `public`, with their places, that stand for no package there is."""
        known = {text for package in self.packages for text in (package.key, package.name)}
        for place, text in enumerate(self.public):
            if text.endswith("*"):
                fits = bool(self.admits) or any(one.startswith(text[:-1]) for one in known)
            else:
                fits = text in known or any(admits(text) for admits in self.admits)
            if not fits:
                yield place, text

    def _shows(self, package: Package) -> bool:
        return self._is_public(package.key) or self._is_public(package.name)

    def _is_public(self, name: str) -> bool:
        return name in self._exact or name.startswith(self._beginnings)

    def _called(self, text: str) -> Iterator[str]:
        """Iterate over the names that may be meant by ``owner/name``; an image's own name has such a "/" in it."""
        owner, _, name = text.partition("/")
        if name and self.username in (None, owner):
            yield name
        yield text

    def _image(self, name: str) -> str | None:
        return name if self._is_public(name) and any(admits(name) for admits in self.admits) else None
