"""A Flask app with a gateway below one of its paths.

Run it: ``flask --app flask_app run``, then ``curl -i localhost:5000/download/linux/1.1.0/rocket-skates.tgz``.
"""

from __future__ import annotations

from pathlib import Path

from flask import Flask, Response, jsonify
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from gatewaycore_wsgi import GatewayApp

gateway = GatewayApp.from_file(Path(__file__).with_name("gateway.yaml"))
app = Flask(__name__)


@app.get("/versions")
def versions() -> Response:
    return jsonify(["1.1.0"])


# Requests for the host of this app are answered as the config's default-domain says.
app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/download": gateway})  # type: ignore[method-assign]
