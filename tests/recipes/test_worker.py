"""The second command does its work as docs/recipes/worker.md says, beside the service, too."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from images import docker
from pages import Recipe
from services import Running
from support import assert_is_manifest, free_port

pytestmark = pytest.mark.image


@contextmanager
def worker(recipe: Recipe, data: Path, *arguments: str, port: str = "8000") -> Iterator[Running]:
    """Run the command while the context lasts, on a folder that has an inbox."""
    (data / "inbox").mkdir(exist_ok=True)
    options = (f"--volume={data}:/data", f"--user={os.getuid()}:{os.getgid()}", "--no-healthcheck")
    command = ("python3", "-m", f"{recipe.package}.worker", *arguments)
    with recipe.start(*options, command=command, PORT=port) as running:
        yield running


def status(running: Running) -> int:
    """Return the status with which it ends."""
    deadline = time.monotonic() + 60
    while running.inspect("{{.State.Running}}") == "true":
        assert time.monotonic() < deadline, running.logs()
        time.sleep(0.1)
    return int(running.inspect("{{.State.ExitCode}}"))


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_costs_what_the_index_says(recipe: Recipe) -> None:
    recipe.assert_costs_what_the_index_says()


def test_does_what_comes(recipe: Recipe, tmp_path: Path) -> None:
    with worker(recipe, tmp_path) as running:
        running.wait_for(message="the worker begins")
        for name in ("first", "second"):
            (tmp_path / name).write_text("hi Ada")
            (tmp_path / name).rename(tmp_path / "inbox" / name)
            running.wait_for(level="info", message="done", file=name, words=2)
        with recipe.run(probe=False) as service:
            assert running.lines()[0].keys() == service.lines()[0].keys()
    assert files(tmp_path / "done") == ["first", "second"]
    assert not files(tmp_path / "inbox")


@pytest.mark.parametrize(("arguments", "code"), [((), 0), (("--once",), 1)])
def test_stops_after_the_piece_in_hand(
    recipe: Recipe, tmp_path: Path, arguments: tuple[str, ...], code: int
) -> None:
    (tmp_path / "inbox" / "later").mkdir(parents=True)  # which would fail
    os.mkfifo(tmp_path / "inbox" / "a")
    with worker(recipe, tmp_path, *arguments) as running:
        running.wait_for(message="the worker begins")
        # the worker has it in hand until it is closed
        with (tmp_path / "inbox" / "a").open("w") as piece:
            docker("kill", "--signal=TERM", running.id)
            piece.write("hi Ada")
        assert status(running) == code
        assert running.lines(file="a", words=2)
    assert files(tmp_path / "inbox") == ["later"]


@pytest.mark.parametrize("name", ["INT", "TERM"])
def test_stops_where_there_is_nothing_to_do(recipe: Recipe, tmp_path: Path, name: str) -> None:
    with worker(recipe, tmp_path) as running:
        running.wait_for(message="the worker begins")
        docker("kill", f"--signal={name}", running.id)
        assert status(running) == 0
        assert running.lines()[-1]["message"] == "the worker ends"


def test_does_anew_what_was_killed(recipe: Recipe, tmp_path: Path) -> None:
    with worker(recipe, tmp_path) as running:
        running.wait_for(message="the worker begins")
        os.mkfifo(tmp_path / "inbox" / "a")
        with (tmp_path / "inbox" / "a").open("w"):
            docker("kill", running.id)
            assert status(running) == 137
    assert files(tmp_path / "inbox") == ["a"]


def test_is_unhealthy_where_it_hangs(recipe: Recipe, tmp_path: Path) -> None:
    command = ["python3", "-m", f"{recipe.package}.worker", "--check"]
    check = f"import subprocess; print(subprocess.call({command}))"
    wait_a_minute = (
        f"import os; from {recipe.package}.worker import HEARTBEAT as file;"
        "os.utime(file, (file.stat().st_mtime - 60,) * 2)"
    )
    with worker(recipe, tmp_path) as running:
        running.wait_for(message="the worker begins")
        os.mkfifo(tmp_path / "inbox" / "a")
        with (tmp_path / "inbox" / "a").open("w"):
            assert running.python(check) == "0"
            running.python(wait_a_minute)
            assert running.python(check) == "1"


def test_refuses_settings_as_the_service_does(recipe: Recipe, tmp_path: Path) -> None:
    ends = []
    with (
        worker(recipe, tmp_path, port="http") as running,
        recipe.start(probe=False, PORT="http") as service,
    ):
        for each in (running, service):
            code = status(each)
            [line] = each.lines()
            ends.append((code, line | {"time": None}))
    assert ends[0] == ends[1]


def test_ends_once_nothing_is_left(recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "inbox").mkdir()
    for name in ("first", "second"):
        (tmp_path / "inbox" / name).write_text("hi")
    with worker(recipe, tmp_path, "--once") as running:
        assert status(running) == 0
        assert len(running.lines(message="done")) == 2
    assert files(tmp_path / "done") == ["first", "second"]


@pytest.mark.parametrize("arguments", [(), ("--once",)])
def test_ends_where_a_piece_fails(
    recipe: Recipe, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox" / "a").write_bytes(b"\xff")
    with worker(recipe, tmp_path, *arguments) as running:
        assert status(running) == 1
        line = running.lines()[-1]
    assert (line["level"], line["logger"]) == ("critical", f"{recipe.package}.worker")
    assert "UnicodeDecodeError" in line["exception"]
    assert files(tmp_path / "inbox") == ["a"]


def test_runs_beside_the_service(recipe: Recipe) -> None:
    ports = {"PORT": str(free_port()), "METRICS_PORT": str(free_port())}
    try:
        recipe.compose("up", "--wait", **ports)
        names = ("falcon-service", "worker")
        ids = [recipe.compose("ps", "--quiet", name).strip() for name in names]
        service, second = (json.loads(docker("inspect", each))[0] for each in ids)
        # as hardened, and as much is set
        ours = second["HostConfig"]
        assert ours.pop("PortBindings") == {}
        assert service["HostConfig"].pop("PortBindings")
        assert ours == service["HostConfig"]
        assert ours["ReadonlyRootfs"]
        assert sorted(second["Config"]["Env"]) == sorted(service["Config"]["Env"])
        assert second["Config"]["StopTimeout"] == service["Config"]["StopTimeout"] == 30
        # what the service puts there
        move = "echo hi > /data/new && mv /data/new /data/inbox/hi"
        recipe.compose("exec", "-T", "falcon-service", "sh", "-c", move)
        deadline = time.monotonic() + 20
        while '"file":"hi"' not in recipe.compose("logs", "worker"):
            assert time.monotonic() < deadline, recipe.compose("logs")
            time.sleep(0.2)
        recipe.compose("stop")
        for each in ids:
            assert docker("inspect", "--format={{.State.ExitCode}}", each) == "0"
    finally:
        recipe.compose("down", "--volumes", **ports)


def test_manifests_fit_the_service(recipe: Recipe) -> None:
    def load(name: str) -> dict[str, Any]:
        made: dict[str, Any] = yaml.safe_load(recipe.baked.read(f"deploy/{name}.yaml"))
        return made

    second, cron = load("worker"), load("cron")
    for manifest in (second, cron):
        assert_is_manifest(manifest)
    assert {"cron.yaml", "worker.yaml"} < set(load("kustomization")["resources"])
    service = load("deployment")["spec"]["template"]
    pods = (second["spec"]["template"], cron["spec"]["jobTemplate"]["spec"]["template"])
    # one at a time
    assert second["spec"]["strategy"] == {"type": "Recreate"}
    assert cron["spec"]["concurrencyPolicy"] == "Forbid"
    # nothing that selects the service's pods selects theirs
    labels = [str(pod["metadata"]["labels"]) for pod in (service, *pods)]
    assert len(set(labels)) == 3
    assert second["spec"]["selector"]["matchLabels"] == pods[0]["metadata"]["labels"]
    [container] = service["spec"].pop("containers")
    check = pods[0]["spec"]["containers"][0]["livenessProbe"]["exec"]["command"]
    beside = yaml.safe_load(recipe.baked.read("compose.yaml"))["services"]["worker"]
    assert ["CMD", *check] == beside["healthcheck"]["test"]
    assert check == ["python3", "-m", f"{recipe.package}.worker", "--check"]
    for pod, options in zip(pods, ([], ["--once"]), strict=True):
        [ours] = pod["spec"].pop("containers")
        assert ours["command"] == ["python3", "-m", f"{recipe.package}.worker", *options]
        for name in ("image", "envFrom", "securityContext", "volumeMounts"):
            assert ours[name] == container[name]
        assert ours["resources"]["limits"] == container["resources"]["limits"]
        assert not ours.keys() & {"ports", "readinessProbe"}
        assert pod["spec"].items() >= service["spec"].items()
