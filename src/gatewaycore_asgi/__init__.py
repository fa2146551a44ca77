"""The ASGI adapter: performs what `gatewaycore` decides, and decides nothing itself."""

from gatewaycore_asgi.app import GatewayApp

__all__ = ["GatewayApp"]
