"""Guests are kept in a real database, and its faults are answered."""

import json
import os
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from images import Container, build, docker
from pages import RECIPES, Recipe
from services import Running
from support import assert_is_manifest, free_port

pytestmark = pytest.mark.image

# The sockets of each process that are connected to a database.
SOCKETS = """
import json, os
from pathlib import Path
rows = [row.split() for name in ("tcp", "tcp6") for row in open(f"/proc/net/{name}")]
inodes = {row[9] for row in rows if row[2].endswith(":1538") and row[3] == "01"}
found = {}
for process in Path("/proc").glob("[0-9]*"):
    links = {os.readlink(file) for file in process.glob("fd/*") if file.is_symlink()}
    found[process.name] = [inode for inode in inodes if f"socket:[{inode}]" in links]
print(json.dumps(found))
"""

# What Pod Security "restricted" demands of the Job.
POD = {
    "automountServiceAccountToken": False,
    "enableServiceLinks": False,
    "securityContext": {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    },
}


@pytest.fixture(scope="module")
def images(engine: None) -> Iterator[None]:
    """Build what stands in for the images that the page names, under their names."""
    page = (RECIPES / "postgresql.md").read_text("utf-8")
    folder = Path(__file__).parent
    tags = set(re.findall(r"image: (\S+/dbmate:\S+|postgres:\S+)$", page, re.MULTILINE))
    assert len(tags) == 2
    for tag in tags:
        name, version = tag.rpartition("/")[2].split(":")
        file = f"--file={folder / name}.Dockerfile"
        build(folder, tag, file, f"--build-arg=VERSION={version}")
    yield
    docker("image", "rm", "--force", *tags)


@pytest.fixture(scope="module", autouse=True)
def environment_of_compose() -> Iterator[None]:
    """Set what the services of a compose file must not share with those of another."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("PORT", "METRICS_PORT"):
            patch.setenv(name, str(free_port()))
        patch.setenv("WEB_CONCURRENCY", "2")
        yield


def deploy(recipe: Recipe, **environment: str) -> Running:
    """Bring the service up as the page says, and return it."""
    recipe.compose("up", "--detach", "--wait", **environment)
    container = recipe.compose("ps", "--quiet", "falcon-service").split()[-1]
    return Running(container, "127.0.0.1", int(os.environ["PORT"]))


def sql(recipe: Recipe, statement: str) -> str:
    """Run SQL in the database, and return what it selects."""
    command = ("exec", "-T", "database", "psql", "--username=postgres", "-Atc", statement)
    return recipe.compose(*command).strip()


@contextmanager
def locked(recipe: Recipe) -> Iterator[None]:
    """Lock the table while the context lasts."""
    lock = "BEGIN; LOCK TABLE guests; SELECT pg_sleep(600)"
    holders = "FROM pg_locks WHERE relation = 'guests'::regclass AND mode = 'AccessExclusiveLock'"
    command = ("psql", "--username=postgres", "--command", lock)
    recipe.compose("exec", "--detach", "database", *command)
    deadline = time.monotonic() + 30
    while sql(recipe, f"SELECT count(*) {holders}") == "0":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    try:
        yield
    finally:
        sql(recipe, f"SELECT pg_terminate_backend(pid) {holders}")


def until_ready(running: Running) -> None:
    """Wait until every worker is likely to have been asked, and to be ready."""
    deadline = time.monotonic() + 60
    answers = 0
    while answers < 20:
        answers = answers + 1 if running.ask("/readyz")[0].status == 200 else 0
        assert time.monotonic() < deadline, running.logs()


def assert_asks_to_come_again(running: Running, path: str = "/guests") -> None:
    """Assert that a request is told that the database is away."""
    response, body = running.ask(path)
    assert response.status == 503
    assert response.headers["Retry-After"] == "2"
    assert response.headers["Content-Type"] == "application/problem+json"
    assert json.loads(body).keys() == {"title", "status", "request_id"}


def sockets(running: Running) -> list[set[str]]:
    """Return the connections to the database that each worker has, once both have some."""
    deadline = time.monotonic() + 30
    while True:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(running.ask, ["/guests"] * 16))
        found = [set(each) for each in json.loads(running.python(SOCKETS)).values() if each]
        if len(found) == 2:
            return found
        assert time.monotonic() < deadline, running.logs()


@pytest.fixture(scope="module")
def running(recipe: Recipe, images: None) -> Iterator[Running]:
    """Yield the service beside its database, whose tables are migrated."""
    try:
        yield deploy(recipe)
    finally:
        recipe.compose("down", "--volumes")


def test_costs_what_the_index_says(recipe: Recipe) -> None:
    recipe.assert_costs_what_the_index_says()


def test_guests_are_kept(recipe: Recipe, running: Running) -> None:
    for name in ("Ada", "Grace", "Ada"):
        body = json.dumps({"name": name}).encode()
        response, _ = running.ask("/guests", "POST", body=body, Content_Type="application/json")
        assert response.status == 204
    assert json.loads(running.ask("/guests")[1]) == {"names": ["Ada", "Grace"]}
    assert sql(recipe, "SELECT count(*) FROM guests") == "2"
    # more often than there are connections
    for _ in range(20):
        assert running.ask("/guests", "POST", Content_Type="application/json")[0].status == 422


def test_each_worker_has_connections_of_its_own(running: Running) -> None:
    assert not set.intersection(*sockets(running))


def test_database_goes_away_and_comes_back(recipe: Recipe, running: Running) -> None:
    workers = running.workers(2)
    sockets(running)  # all workers have connections, which break
    recipe.compose("stop", "database")
    for _ in range(4):
        assert_asks_to_come_again(running)
        response, body = running.ask("/readyz")
        assert (response.status, body) == (503, b"not ready")
        assert running.ask("/livez")[0].status == 200
    recipe.compose("start", "database")
    until_ready(running)
    assert json.loads(running.ask("/guests")[1]) == {"names": ["Ada", "Grace"]}
    assert running.workers(2) == workers
    assert len([line for line in running.lines() if "Booting" in line["message"]]) == 2
    assert not running.lines(level="error")


def test_network_drops_what_is_sent(recipe: Recipe, running: Running) -> None:
    """Nobody closes the connections, neither of a request that waits nor those of the next."""
    sockets(running)
    database = recipe.compose("ps", "--quiet", "database").split()[-1]
    names = "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}}{{end}}"
    network = Container(database).inspect(names)
    with locked(recipe), ThreadPoolExecutor() as pool:
        waiting = pool.submit(running.ask, "/guests")
        time.sleep(1)
        docker("network", "disconnect", network, database)
        assert waiting.result()[0].status == 503
        assert_asks_to_come_again(running)
    docker("network", "connect", "--alias=database", network, database)
    until_ready(running)


def test_more_requests_than_connections(recipe: Recipe, running: Running) -> None:
    """They wait for the table, or for a connection on ASGI, and for a thread on WSGI."""
    number = 40 if recipe.is_asgi else 8
    with locked(recipe), ThreadPoolExecutor(number) as pool:
        list(pool.map(lambda _: assert_asks_to_come_again(running), range(number)))
    until_ready(running)
    assert running.ask("/guests")[0].status == 200


def test_a_migration_that_fails_ends_the_rollout(recipe: Recipe, running: Running) -> None:
    migration = recipe.baked.path / "deploy/migrations/20990101000000_broken.sql"
    migration.write_text(
        "-- migrate:up\nCREATE TABLE half ();\nALTER TABLE missing ADD x int;\n-- migrate:down\n"
    )
    try:
        with pytest.raises(AssertionError, match='relation "missing" does not exist'):
            recipe.compose("run", "--rm", "migrate")
        with pytest.raises(AssertionError, match="up --detach"):
            deploy(recipe)  # changes nothing of the service, which goes on
    finally:
        migration.unlink()
    assert running.ask("/guests")[0].status == 200
    assert sql(recipe, "SELECT to_regclass('half')") == ""
    recipe.compose("run", "--rm", "migrate")


def test_password_is_in_no_line(recipe: Recipe, running: Running) -> None:
    [password] = re.findall("POSTGRES_PASSWORD=(.+)", recipe.baked.read(".env"))
    assert f":{password}@" in "".join(running.inspect("{{.Config.Env}}"))
    assert password not in recipe.compose("logs")
    status, printed = recipe.fail(DATABASE_URL="postgresql://guest:%secret@database/")
    [line] = printed.splitlines()
    assert status == 1
    assert json.loads(line)["message"] == "DATABASE_URL is no URL of a PostgreSQL database"


def test_pools_survive_a_fork(recipe: Recipe, running: Running) -> None:
    again = deploy(recipe, GUNICORN_CMD_ARGS="--preload")
    assert not set.intersection(*sockets(again))
    assert again.stop()[0] == 0
    assert not [line for line in again.lines() if line["level"] in {"warning", "error"}]


def test_ci_starts_it_all(recipe: Recipe, images: None) -> None:
    """The last step of CI is run in a project of its own."""
    workflow = yaml.safe_load(recipe.baked.read(".github/workflows/ci.yaml"))
    step = workflow["jobs"]["check"]["steps"][-1]
    environment = step["env"] | {"IMAGE": recipe.image, "COMPOSE_PROJECT_NAME": f"ci-{recipe.name}"}
    environment |= {name: str(free_port()) for name in ("PORT", "METRICS_PORT")}
    try:
        result = recipe.baked.run("bash", "-euc", step["run"], **environment)
        assert result.returncode == 0, result.stderr
        assert result.stdout.endswith('{"names":[]}')
    finally:
        recipe.compose("down", "--volumes", **environment)


def test_job_does_what_compose_does(recipe: Recipe) -> None:
    job, deployment = (
        yaml.safe_load(recipe.baked.read(f"deploy/{name}.yaml"))
        for name in ("migrate", "deployment")
    )
    assert_is_manifest(job)
    pod = job["spec"]["template"]["spec"]
    assert {name: pod[name] for name in POD} == POD
    [container], [service] = pod["containers"], deployment["spec"]["template"]["spec"]["containers"]
    assert container["securityContext"] == service["securityContext"]
    [source] = [each["secretRef"] for each in service["envFrom"] if "secretRef" in each]
    [variable] = container["env"]
    assert variable["name"] == variable["valueFrom"]["secretKeyRef"]["key"] == "DATABASE_URL"
    assert variable["valueFrom"]["secretKeyRef"]["name"] == source["name"]
    migrate = yaml.safe_load(recipe.baked.read("compose.yaml"))["services"]["migrate"]
    assert container["image"] == migrate["image"]
    assert container["args"] == migrate["command"].split()
    assert "migrate.yaml" not in recipe.baked.read("deploy/kustomization.yaml")
