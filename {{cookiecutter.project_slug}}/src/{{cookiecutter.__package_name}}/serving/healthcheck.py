"""Ask the service whether it is live; end with a status other than 0 if it is not.

The port for metrics answers whatever the service is busy with, and wherever it listens.
"""

import sys
from http.client import HTTPConnection

from .settings import ServerSettings

settings = ServerSettings.from_environment()
connection = HTTPConnection("localhost", settings.metrics_port or settings.port, timeout=2)
connection.request("GET", "/livez")
sys.exit(connection.getresponse().status != 200)
