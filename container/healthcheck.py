"""HEALTHCHECK of the image: asks /healthz of the service in the same container. Exit 0 when it answers 200.

The standard library only, and http.client because it goes through no proxy.
"""

import http.client
import os
import sys

host = os.environ.get("HEALTH_HOST") or "127.0.0.1"  # 0.0.0.0 and ::, too, are this machine to a client
port = int(os.environ.get("HEALTH_PORT") or 8080)
connection = http.client.HTTPConnection(host, port, timeout=8)
try:
    connection.request("GET", "/healthz")
    status = connection.getresponse().status
except OSError as error:
    sys.exit(f"no answer at port {port}: {error.strerror or error}")
sys.exit(0 if status == 200 else f"/healthz answers {status}")
