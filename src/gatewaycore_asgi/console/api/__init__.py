"""The API: what the dashboard shows and does, for programs; described by an OpenAPI 3.1 document.

| room | knows |
|---|---|
| `problems` | errors -> problem details (RFC 9457) |
| `limits`, `paging`, `bodies` | how often, how much at once, how large |
| `means` | what handlers work with, and who asks |
| `models` | what is sent and answered |
| `uploads` | what was sent to be imported |
| `describing` | the OpenAPI document |
| `handlers` | the roster of what can be asked; one file for each kind of thing |
| `app` | one ASGI application |
"""

from __future__ import annotations

from gatewaycore_asgi.console.api.app import Api, document
from gatewaycore_asgi.console.api.describing import OPENAPI, PREFIX
from gatewaycore_asgi.console.api.limits import Quota, Slots
from gatewaycore_asgi.console.api.means import limits_of, read_key, write_key
from gatewaycore_asgi.console.api.uploads import UploadBounds

__all__ = ["OPENAPI", "PREFIX", "Api", "Quota", "Slots", "UploadBounds", "document", "limits_of", "read_key", "write_key"]
