"""What is done once, before the workers are forked, to the sockets that they accept from."""

import logging
import socket
import struct
import sys
import threading
from contextlib import suppress

from gunicorn.arbiter import Arbiter
from gunicorn.sock import TCP6Socket

from .settings import ServerSettings

logger = logging.getLogger(__name__)

# A client that sends nothing of its body for so long, or takes nothing of its answer, has gone.
READ_SECONDS = 30
SEND_SECONDS = 10


def when_ready(settings: ServerSettings, arbiter: Arbiter) -> None:
    """Listen for IPv6 beside IPv4, and end connections that make no progress.

    A socket for both would name a client by IPv4 in a way that FORWARDED_ALLOW_IPS does not know.
    Threads that an import has begun are not in the workers: that is logged.
    """
    log, is_default = arbiter.log, arbiter.cfg.bind == [f"0.0.0.0:{settings.port}"]
    if log and is_default and len(arbiter.LISTENERS) == 1:
        with suppress(OSError):  # there is no IPv6
            ipv6 = socket.create_server(("", settings.port), family=socket.AF_INET6).detach()
            arbiter.LISTENERS.append(TCP6Socket("", arbiter.cfg, log, fd=ipv6))
    for listener in arbiter.LISTENERS:
        # What it accepts inherits both.
        sock: socket.socket = listener.sock
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", READ_SECONDS, 0))
        if sock.family != socket.AF_UNIX and sys.platform == "linux":
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SEND_SECONDS * 1000)
    threads = {thread.name for thread in threading.enumerate()} - {threading.main_thread().name}
    if threads:
        logger.warning("begun before the fork, so not in the workers: %s", ", ".join(threads))
