"""``python -m gatewaycore``: the command line."""

from __future__ import annotations

from gatewaycore.cli import main

if __name__ == "__main__":
    main()
