"""Package type ``container``: images, served under one's own domain, whichever registry holds them.

The rooms, from the ground up: `names` and `patterns` (what images are called), `clients` (what each client survives), `answers` (what is
said from here), `paths` (what a request asks for), `backend` (where a registry is), `challenges` (what it wants to see), `tokens` (what
clients carry), `memory` (what was learned), `renaming` (what a registry says, in our names), `passing` (what passes as it is),
`conversation` (fetching an image), `broker` (fetching a token), `way` and `route` (one image), `endpoint` (whose token, and for what),
`registry` (deciding), `joining` (one registry of all the images of a domain), `rule` (settings).

Served is the pulling half of the OCI distribution API (v1.1): ping, manifests, blobs, tags and referrers. Nothing is pushed
through a gateway. Not known here: sockets, clocks, and how an answer is sent.
"""

from __future__ import annotations

from gatewaycore.rules.container.backend import Credentials
from gatewaycore.rules.container.names import ImageName
from gatewaycore.rules.container.patterns import ImagePattern
from gatewaycore.rules.container.rule import CollectionRule, ContainerRule

__all__ = ["CollectionRule", "ContainerRule", "Credentials", "ImageName", "ImagePattern"]
