"""`make lock` pins the base image to the digest that its tag has now."""

import re
import sys

import pytest
from conftest import BakeFunction
from images import docker
from servers import Registry
from support import Bake, free_port

pytestmark = [pytest.mark.image, pytest.mark.usefixtures("engine")]


def bases(baked: Bake) -> list[str]:
    """Return the images that a Dockerfile starts from."""
    return re.findall(r"^FROM ([^\s:]\S*:\S+)", baked.read("Dockerfile"), re.MULTILINE)


def move(baked: Bake, host: str) -> None:
    """Take the base images from another registry."""
    dockerfile = baked.path / "Dockerfile"
    text = re.sub(r"^FROM (?=\S+:)", f"FROM {host}/", dockerfile.read_text(), flags=re.MULTILINE)
    dockerfile.write_text(text)


@pytest.mark.parametrize("base_image", ["alpine:latest", "python:3.14"])
def test_pins_to_what_the_registry_has(
    bake: BakeFunction, registry: Registry, base_image: str
) -> None:
    baked = bake(base_image=base_image)
    move(baked, registry.host)
    images, before, files = bases(baked), baked.read("Dockerfile"), baked.files()
    assert len(images) == 1 + (base_image == "python:3.14")
    for name in ("first", "second"):
        digest = registry.publish(name)
        baked.make("lock")
        assert bases(baked) == [f"{image}@{digest}" for image in images]
        assert baked.read("Dockerfile").replace(f"@{digest}", "") == before
    assert {name for name in baked.files() if not name.startswith(".venv/")} == files


@pytest.mark.parametrize("digest", ["", "@sha256:" + "0" * 64])
def test_leaves_it_where_no_registry_answers(bake: BakeFunction, digest: str) -> None:
    baked = bake()
    move(baked, f"127.0.0.1:{free_port()}")
    dockerfile = baked.path / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text().replace(":latest AS", f":latest{digest} AS"))
    before = baked.read("Dockerfile")
    (baked.path / "requirements.txt").write_text("")
    result = baked.run("make", "lock")
    assert result.returncode == 0, result.stderr
    [line] = result.stderr.splitlines()
    assert line.startswith("ERROR: ")
    assert "connection refused" in line
    assert baked.read("Dockerfile") == before
    assert "falcon==" in baked.read("requirements.txt")


@pytest.mark.usefixtures("network")
def test_builds_from_the_pin(bake: BakeFunction) -> None:
    digest = docker("image", "inspect", "--format", "{{.Id}}", "alpine:latest")
    if "containerd.snapshotter" not in docker("info"):
        pytest.skip("the classic image store knows no digest of what was loaded")
    baked = bake(project_slug="pinned")
    dockerfile = baked.path / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text().replace(":latest AS", f":latest@{digest} AS"))
    baked.make("docker")
    assert baked.run(sys.executable, "-m", "pre_commit", "run", "hadolint", "-a").returncode == 0
