"""Ask the service whether it is live; end with a status other than 0 if it is not."""

import os
import sys
from http.client import HTTPConnection

connection = HTTPConnection("127.0.0.1", int(os.environ["PORT"]), timeout=2)
connection.request("GET", "/livez")
sys.exit(connection.getresponse().status != 200)
