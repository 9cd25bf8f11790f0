"""`make lock` pins the base image to the digest that its tag has now."""

import re
import sys
import threading
from collections.abc import Iterator

import pytest
from conftest import BakeFunction
from images import HARDENED, docker, running
from servers import Registry
from support import CHOICES, Bake, free_port

pytestmark = [pytest.mark.image, pytest.mark.usefixtures("engine")]


@pytest.fixture
def registry() -> Iterator[Registry]:
    with Registry() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def bases(baked: Bake) -> list[str]:
    """Give the images that a Dockerfile starts from."""
    return re.findall(r"^FROM ([^\s:]\S*:\S+)", baked.read("Dockerfile"), re.MULTILINE)


def move(baked: Bake, host: str) -> None:
    """Take the base images from another registry."""
    dockerfile = baked.path / "Dockerfile"
    text = re.sub(r"^FROM (?=\S+:)", f"FROM {host}/", dockerfile.read_text(), flags=re.MULTILINE)
    dockerfile.write_text(text)


def pin(baked: Bake, **environment: str) -> list[str]:
    """Pin the base images; give the lines that were printed."""
    result = baked.run(sys.executable, "docker/pin_base.py", "Dockerfile", **environment)
    assert result.returncode == 0, result.stderr
    return (result.stdout + result.stderr).splitlines()


@pytest.mark.parametrize("base_image", CHOICES["base_image"])
def test_pins_to_what_the_registry_has(
    bake: BakeFunction, registry: Registry, base_image: str
) -> None:
    baked = bake(base_image=base_image)
    move(baked, registry.host)
    images, before = bases(baked), baked.read("Dockerfile")
    assert len(images) == 1 + (base_image == "python:3.13")
    for layer in ("first", "second", "second"):
        digest = registry.publish(layer)
        assert pin(baked) == []
        assert bases(baked) == [f"{image}@{digest}" for image in images]
        assert baked.read("Dockerfile").replace(f"@{digest}", "") == before


def test_pins_to_what_was_pulled_where_no_registry_answers(bake: BakeFunction) -> None:
    baked = bake()
    host = f"127.0.0.1:{free_port()}"
    move(baked, host)
    image = f"{host}/alpine:latest"
    docker("tag", "alpine:latest", image)
    digests = docker("image", "inspect", "--format", '{{join .RepoDigests " "}}', image).split()
    # the classic image store has none of what was not pulled by this name
    known = next((each.partition("@")[2] for each in digests if each.startswith(host)), "")
    outcome = "is pinned as pulled" if known else "stays unpinned"
    try:
        [line] = pin(baked)
    finally:
        docker("image", "rm", image)
    assert line.startswith(f"{image} {outcome}: its registry gives no digest: ")
    assert bases(baked) == [f"{image}@{known}" if known else image]


@pytest.mark.parametrize("lost", [{"DOCKER_HOST": "unix:///nowhere"}, {"PATH": ""}])
def test_leaves_it_where_no_digest_can_be_had(bake: BakeFunction, lost: dict[str, str]) -> None:
    baked = bake()
    host = f"127.0.0.1:{free_port()}"
    move(baked, host)
    for digest, outcome in (("", "stays unpinned"), ("@sha256:" + "0" * 64, "keeps its digest")):
        dockerfile = baked.path / "Dockerfile"
        dockerfile.write_text(dockerfile.read_text().replace(":latest AS", f":latest{digest} AS"))
        before = baked.read("Dockerfile")
        [line] = pin(baked, **lost)
        assert line.startswith(f"{host}/alpine:latest {outcome}: its registry gives no digest: ")
        assert baked.read("Dockerfile") == before


def test_lock_pins_it_and_wheels_reads_it(bake: BakeFunction, registry: Registry) -> None:
    baked = bake(base_image="python:3.13-alpine")
    move(baked, registry.host)
    digest = registry.publish("only")
    baked.make("lock")
    assert bases(baked) == [f"{registry.host}/python:3.13-alpine@{digest}"]
    assert " for musl and Python 3.13 on " in baked.make("wheels").splitlines()[-1]


@pytest.mark.usefixtures("network")
def test_builds_from_the_pin(bake: BakeFunction) -> None:
    baked = bake(project_slug="pinned")
    pin(baked)
    assert re.fullmatch(r"alpine:latest@sha256:[0-9a-f]{64}", *bases(baked))
    baked.make("docker")
    with running("pinned:latest", *HARDENED) as container:
        container.wait_until("healthy")
    assert baked.run(sys.executable, "-m", "pre_commit", "run", "hadolint", "-a").returncode == 0
