"""Values that stand in the environment, so that no secret is in a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gatewaycore.config.faults import Fault, Path, show


def from_environment(
    entry: Mapping[Any, Any], known: frozenset[str] | None, path: Path, environ: Mapping[str, str], faults: list[Fault]
) -> dict[Any, Any]:
    """Return the entry with the values that stand in the environment: ``url-env: EVENTS_URL`` for ``url``.

    Args:
        entry: as written.
        known: the keys that there are; None where any key may be.
        path: where it stands.
        environ: where to look.
        faults: takes what is wrong.
    """
    found = dict(entry)
    for key, name in entry.items():
        wanted = key.removesuffix("-env") if isinstance(key, str) else key
        if wanted == key or (known is not None and (key in known or wanted not in known)):
            continue
        del found[key]
        if entry.get(wanted) is not None:
            faults.append(Fault((*path, key), f"stands beside {wanted}", "keep one of the two"))
        elif not isinstance(name, str) or not name:
            faults.append(Fault((*path, key), f"expected the name of an environment variable, found {show(name)}"))
        elif name in environ:
            found[wanted] = environ[name]
            continue
        else:
            faults.append(Fault((*path, key), f"the environment has no {name[:80]}", f"set it, or write {wanted}: instead"))
        # Something stands there, so that nothing is said to be missing as well.
        found.setdefault(wanted, "")
    return found
