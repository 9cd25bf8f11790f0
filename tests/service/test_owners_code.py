"""What the owner's code does works in every worker, and what goes wrong in it is told."""

import json
from pathlib import Path

import pytest
from services import Service

pytestmark = pytest.mark.image

# Besides `library`, these take the place of `create_app`'s body.
THREAD = """
import threading
from concurrent.futures import ThreadPoolExecutor
def create_app(settings, create_app=create_app):
    pool = ThreadPoolExecutor(1)
    pool.submit(int).result()
    beats = []
    threading.Thread(target=lambda: [beats.append(1)], daemon=True).start()
    app = create_app(settings)
    class Pool:
        {async_}def on_get(self, req, resp):
            resp.media = [pool.submit(os.getpid).result(timeout=5) == os.getpid(), len(beats)]
    app.add_route("/pool", Pool())
    return app
"""
EARLY = """
import threading
import time
threading.Thread(target=time.sleep, args=[60], name="early", daemon=True).start()
"""
METRICS = """
from prometheus_client import Counter, Gauge, Histogram, Summary
HELLOS = Counter("hellos", "...")
PAID = Counter("paid", "...", ["by"])
CARD = PAID.labels("card")
OPEN = Gauge("open_things", "...", multiprocess_mode="sum")
SIZE = Histogram("size_bytes", "...")
TOOK = Summary("took_seconds", "...")
def create_app(settings, create_app=create_app):
    app = create_app(settings)
    class Count:
        {async_}def on_get(self, req, resp):
            HELLOS.inc()
            CARD.inc(2)
            OPEN.inc()
            SIZE.observe(3)
            TOOK.observe(4)
            resp.media = os.getpid()
    app.add_route("/count", Count())
    return app
"""


def mount(service: Service, folder: Path, code: str) -> str:
    """Return the option that has a container run the service with code at the end of app.py."""
    app = service.baked.read(f"src/{service.package}/app.py")
    more = code.replace("{async_}", "async " if service.is_asgi else "")
    (folder / "app.py").write_text(f"{app}\n\nimport os\n{more}")
    (folder / "app.py").chmod(0o644)
    return f"--volume={folder}/app.py:/app/src/{service.package}/app.py:ro"


def test_a_pool_made_in_create_app_works_in_every_worker(service: Service, tmp_path: Path) -> None:
    option = mount(service, tmp_path, THREAD)
    with service.run(option, probe=False, WEB_CONCURRENCY="2") as running:
        running.workers(2)
        for _ in range(20):
            assert json.loads(running.ask("/pool")[1]) == [True, 1]
        assert not running.lines(level="warning")


def test_says_which_threads_are_lost(service: Service, tmp_path: Path) -> None:
    option = mount(service, tmp_path, EARLY)
    with service.run(option, probe=False, WEB_CONCURRENCY="1") as running:
        (line,) = running.lines(level="warning")
        assert line["message"] == "begun before the fork, so not in the workers: early"


def test_metrics_made_at_import_are_summed_over_the_workers(
    service: Service, tmp_path: Path
) -> None:
    option = mount(service, tmp_path, METRICS)
    with service.run(option, probe=False, WEB_CONCURRENCY="2") as running:
        running.workers(2)
        found = running.metrics()
        assert found["hellos_total"] == found['paid_total{by="card"}'] == 0
        asked = {running.ask("/count")[1] for _ in range(40)}
        assert len(asked) == 2
        found = running.metrics()
        assert found["hellos_total"] == 40
        assert found['paid_total{by="card"}'] == 80
        assert found["open_things"] == 40
        assert found['size_bytes_bucket{le="5.0"}'] == found["size_bytes_count"] == 40
        assert found["took_seconds_sum"] == 160


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("raise RuntimeError('no library')", "RuntimeError: no library"),
        ("import nowhere_to_be_found", "No module named 'nowhere_to_be_found'"),
        ("def create_app(settings) pass", "SyntaxError"),
    ],
)
def test_an_import_that_fails_is_one_line_with_its_traceback(
    service: Service, tmp_path: Path, code: str, error: str
) -> None:
    status, printed = service.fail(mount(service, tmp_path, code))
    assert status == 1
    *_, line = map(json.loads, printed.splitlines())
    assert line["exception"].startswith("Traceback (most recent call last)")
    assert error in line["exception"]


def test_an_error_in_create_app_is_a_line_with_its_traceback(
    service: Service, tmp_path: Path
) -> None:
    """Gunicorn prints its text besides, to standard error."""
    code = "def create_app(settings):\n    raise RuntimeError('no database')"
    status, printed = service.fail(mount(service, tmp_path, code), WEB_CONCURRENCY="1")
    assert status == 3
    lines = [json.loads(line) for line in printed.splitlines()]
    (line,) = [line for line in lines if "exception" in line]
    assert line["exception"].startswith("Traceback (most recent call last)")
    assert line["exception"].endswith("RuntimeError: no database")


def test_a_wrong_setting_is_one_line(service: Service) -> None:
    for variables in ({"PORT": "http"}, {"LOG_FORMAT": "xml"}, {"SCRIPT_NAME": "api"}):
        ((name, value),) = variables.items()
        status, printed = service.fail(**variables)
        assert status == 1
        (line,) = map(json.loads, printed.splitlines())
        assert line["level"] == "critical"
        assert line["message"].startswith(f"{name} is {value!r}: it must be ")


def test_no_responder_ends_the_service(service: Service) -> None:
    with service.run(WEB_CONCURRENCY="2") as running:
        workers = running.workers(2)
        for _ in range(4):
            response, _ = running.ask("/probe/exit")
            assert response.status == 500
            assert response.headers["Content-Type"] == "application/problem+json"
        assert running.ask("/")[0].status == 200
        assert running.workers() == workers


def test_requests_are_logged_or_not_as_one_wants(service: Service) -> None:
    for name, value in (("LOG_LEVEL", "error"), ("ACCESS_LOG", "false")):
        for log_format in ("json", "text"):
            option = f"--env={name}={value}"
            with service.run(option, LOG_FORMAT=log_format, WEB_CONCURRENCY="1") as running:
                running.ask("/")
                running.ask("/probe/error")
                logs = running.logs()
                assert "GET /" not in logs
                assert "a secret" in logs
