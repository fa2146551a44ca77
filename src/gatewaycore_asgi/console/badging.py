"""Badges to copy: what a README needs to show the numbers of a package."""

from __future__ import annotations

from urllib.parse import quote

from attrs import frozen

from gatewaycore.badges import Reference, render
from gatewaycore.config import Config
from gatewaycore_asgi.console.catalogue import Known


@frozen
class Snippet:
    """A badge.

    Attributes:
        label: what it shows.
        url: where it is served.
        picture: what it looks like, as a URL that holds it.
        markdown, html: what is copied.
    """

    label: str
    url: str
    picture: str
    markdown: str
    html: str


_KINDS = (("downloads", "installs-badge", "12k"), ("companies", "company-badge", "38/month"))


def snippets(config: Config, known: Known) -> tuple[Snippet, ...] | str:
    """Return the badges of a package, or why it has none, and what to do.

    Args:
        config: of the gateway.
        known: the package.
    """
    settings = config.badges
    if settings is None or not settings.domains:
        return "No badges are served yet: the section badges of the configuration says on which domains, and of which packages."
    if config.listing(settings)(Reference(known.key, True)) is None:
        return f"This package has no badges, for its numbers are private. To make them public, add it to badges: packages: [{known.key}]."
    found = []
    for label, form, example in _KINDS:
        url = f"https://{settings.domains[0]}/package/{form}/{quote(known.key, safe='/')}"
        picture = f"data:image/svg+xml,{quote(render(label, example))}"
        alt = f"{label} of {known.name}".replace("[", "(").replace("]", ")")
        found.append(Snippet(label, url, picture, f"![{alt}]({url})", f'<img src="{url}" alt="{label}">'))
    return tuple(found)
