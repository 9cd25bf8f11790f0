"""How gunicorn serves the application; see https://gunicorn.org/reference/settings/."""

import sys
from pathlib import Path

from {{ cookiecutter.__package_name }}.settings import SettingError, Settings

try:
    settings = Settings.from_environment()
except SettingError as error:
    sys.exit(str(error))

wsgi_app = "{{ cookiecutter.__package_name }}.app:create_app()"
bind = f"0.0.0.0:{settings.port}"
loglevel = settings.log_level
accesslog = "-"

# One process; WEB_CONCURRENCY asks for more. Its threads wait for databases and other services
# at the same time, and answer the probes while others wait.
worker_class = "gthread"
threads = 8

# Every worker touches its heartbeat file once a second: in memory, where a slow disk cannot make
# the worker look dead, and which is writable when the root file system is not.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None

# The socket of gunicornc would need a writable home directory.
control_socket_disable = True

# Requests in flight get 25 s after SIGTERM: 5 s less than the stop_grace_period of compose.yaml
# and than the 30 s of Kubernetes, so that gunicorn ends by itself and is not killed.
graceful_timeout = 25

# More than the 60 s for which load balancers commonly keep an idle connection, so that they
# close it first and never send a request into a connection that is being closed.
keepalive = 75
