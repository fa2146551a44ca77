"""The WSGI adapter: performs what `gatewaycore` decides, and decides nothing itself."""

from gatewaycore_wsgi.app import GatewayApp

__all__ = ["GatewayApp"]
