"""With any worker class of gunicorn, the service logs, counts and stops as it does with its own."""

import json
import re
import threading
import time

import pytest
from conftest import BakeFunction
from services import Service, add_probe

pytestmark = pytest.mark.image

# What changes a worker when it is installed: gevent has a class, uvloop an event loop.
EXTRAS = {"wsgi": "gevent", "asgi": "uvloop>=0.23"}
# The oldest gunicorn that pyproject.toml allows; all other tests run with the newest.
OLDEST = "27.0.0"


@pytest.fixture(scope="module")
def services(bake_session: BakeFunction, engine: None, network: None) -> dict[str, Service]:
    """Return a service of each interface, whose image holds what its other workers need."""
    made = {}
    for interface, extra in EXTRAS.items():
        slug = f"classes-{interface}"
        baked = bake_session(project_slug=slug, interface=interface)
        add_probe(baked)
        pyproject = baked.path / "pyproject.toml"
        extended = pyproject.read_text()
        assert f'"gunicorn>={OLDEST.removesuffix(".0.0")},<28"' in extended
        extended = re.sub('"gunicorn>=.*"', f'"gunicorn[gevent]=={OLDEST}"', extended)
        line = f'dependencies = [\n    "{extra}",'
        pyproject.write_text(extended.replace("dependencies = [", line, 1))
        baked.make("lock")
        baked.make("docker")
        made[interface] = Service(baked, f"{slug}:latest")
    return made


@pytest.mark.parametrize(
    ("interface", "arguments"),
    [
        ("wsgi", ""),
        ("wsgi", "--worker-class=gthread"),
        ("wsgi", "--worker-class=sync"),
        ("wsgi", "--worker-class=gevent"),
        ("asgi", ""),
        ("asgi", "--worker-class=asgi"),
    ],
)
def test_worker_class(services: dict[str, Service], interface: str, arguments: str) -> None:
    service = services[interface]
    with service.run(
        WEB_CONCURRENCY="2", DRAIN_SECONDS="1", GUNICORN_CMD_ARGS=arguments
    ) as running:
        modules = json.loads(running.ask("/probe/modules")[1])
        assert ("uvloop" in modules) == service.is_asgi
        assert ("gevent" in modules) == ("gevent" in arguments)
        assert running.lines(message=f"Starting gunicorn {OLDEST}")
        response, text = running.ask("/", X_Request_ID="first")
        assert (response.status, text) == (200, b"hi")
        assert running.wait_for(request_id="first")["status"] == 200
        response, text = running.ask("/probe/error")
        assert response.status == 500
        assert json.loads(text)["request_id"] == response.headers["X-Request-ID"]
        for _ in range(16):  # of both workers
            assert running.ask("/livez", port=9090)[0].status == 200
        assert running.requests("/") == 1
        assert len(running.lines(level="error")) == 1

        slow: list[int] = []
        client = threading.Thread(
            target=lambda: slow.append(running.ask("/probe/slow?seconds=2")[0].status)
        )
        client.start()
        time.sleep(0.5)
        status, seconds = running.stop()
        client.join()
        assert slow == [200]
        assert status == 0
        assert seconds < 6
        assert len(running.lines(level="error")) == 1
