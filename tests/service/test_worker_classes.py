"""Whatever worker class gunicorn is told to use, the service logs, counts and stops as it does."""

import json
import threading
import time

import pytest
from conftest import BakeFunction
from services import Service, add_probe

pytestmark = pytest.mark.image

# What changes a worker when it is installed: gevent has a class, uvloop an event loop.
EXTRAS = {"wsgi": "gunicorn[gevent]", "asgi": "uvloop>=0.23"}


@pytest.fixture(scope="module")
def services(bake_session: BakeFunction, engine: None, network: None) -> dict[str, Service]:
    """Return a service of each interface, whose image holds what its other workers need."""
    made = {}
    for interface, extra in EXTRAS.items():
        slug = f"classes-{interface}"
        baked = bake_session(project_slug=slug, interface=interface)
        add_probe(baked)
        pyproject = baked.path / "pyproject.toml"
        line = f'dependencies = [\n    "{extra}",'
        pyproject.write_text(pyproject.read_text().replace("dependencies = [", line, 1))
        baked.make("lock")
        baked.make("docker")
        made[interface] = Service(baked, f"{slug}:latest")
    return made


@pytest.mark.parametrize(
    ("interface", "arguments"),
    [
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
        response, text = running.ask("/", X_Request_ID="first")
        assert (response.status, text) == (200, b"hi")
        assert running.wait_for(request_id="first")["status"] == 200
        response, text = running.ask("/probe/error")
        assert response.status == 500
        assert json.loads(text)["request_id"] == response.headers["X-Request-ID"]
        assert running.requests("/") == 1
        errors = len(running.lines(level="error"))

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
        assert len(running.lines(level="error")) == errors == 1
