"""A Django project in one file, with a gateway beside it: its domains are the gateway's, every other host is Django's.

Run it: ``gunicorn django_app``, then ``curl -i -H "Host: get.acme.example" localhost:8000/install.sh``.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path

from gatewaycore_wsgi import GatewayApp

if not settings.configured:
    settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["acme.example", "localhost", "testserver"], SECRET_KEY="only an example")


def versions(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"versions": ["1.1.0"]})


urlpatterns = [path("versions", versions)]

django = get_wsgi_application()
gateway = GatewayApp.from_file(Path(__file__).with_name("gateway.yaml"))


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Serve the gateway's domains and, for hosts of Django's own, what lies below /download."""
    host = environ.get("HTTP_HOST", "").lower().partition(":")[0]
    if gateway.service.gateway.router.knows(host):
        return gateway(environ, start_response)
    if environ["PATH_INFO"].startswith("/download/"):
        # PEP 3333 §"environ Variables": what has been used of the path moves over to SCRIPT_NAME.
        mount = environ.get("SCRIPT_NAME", "") + "/download"
        return gateway({**environ, "SCRIPT_NAME": mount, "PATH_INFO": environ["PATH_INFO"][len("/download") :]}, start_response)
    answer: Iterable[bytes] = django(environ, start_response)
    return answer
