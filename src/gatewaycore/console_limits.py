"""How much of everything the console and its API hold: for one token, for one organisation, and at once.

Whoever signs in need not be who runs the gateway: what they may ask for, send and make has bounds, each of which can be set.
"""

from __future__ import annotations

from attrs import frozen


@frozen(kw_only=True)
class ConsoleLimits:
    """The section `limits` of `console`.

    Attributes:
        requests: that a token may make at the API, in `window_s`; of each process.
        window_s: after which all of them may be made again.
        exports: files of events and tables as CSV that are sent at once; of each process.
        exports_each: how many of those are for the same user.
        import_bytes: of one file that is sent to be imported.
        imports_bytes: of all files together that were sent and are kept until they are imported.
        packages: that may be made in the console for an organisation.
        collections: the same.
        domains: that an organisation may say are its own.
        members: of an organisation; and guests of a package.
        tokens: of a user.
    """

    requests: int = 600
    window_s: int = 60
    exports: int = 8
    exports_each: int = 2
    import_bytes: int = 1024 * 1024 * 1024
    imports_bytes: int = 4 * 1024 * 1024 * 1024
    packages: int = 1000
    collections: int = 100
    domains: int = 100
    members: int = 1000
    tokens: int = 100


DEFAULT_CONSOLE_LIMITS = ConsoleLimits()
