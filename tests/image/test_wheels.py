"""`make wheels` tells which locked dependency an image would have to compile."""

import re
import subprocess

import pytest
from conftest import BakeFunction
from images import docker
from servers import FileIndex
from support import Bake

pytestmark = [pytest.mark.image, pytest.mark.usefixtures("engine", "network")]

PLATFORMS = {"alpine:latest": "musllinux_1_2", "python:3.14-slim": "manylinux_2_28"}


@pytest.fixture(scope="module", params=PLATFORMS)
def baked(request: pytest.FixtureRequest, bake_session: BakeFunction) -> Bake:
    return bake_session(project_slug="wheeled", base_image=request.param)


@pytest.fixture
def platform(baked: Bake) -> str:
    """Return what wheels for the image are tagged with, up to the architecture."""
    return PLATFORMS[baked.answers["base_image"]]


@pytest.fixture(scope="module")
def tag(baked: Bake) -> str:
    """Return the tag of wheels for the Python of the image."""
    baked.make("wheels")
    version = docker("run", "--rm", "wheeled:latest-python", "python3", "--version")
    major, minor = re.findall(r"\d+", version)[:2]
    return f"cp{major}{minor}-cp{major}{minor}"


@pytest.fixture
def index(tag: str, file_index: FileIndex, monkeypatch: pytest.MonkeyPatch) -> FileIndex:
    """Return an index of made-up files, which pip is configured for."""
    assert tag
    monkeypatch.setenv("PIP_INDEX_URL", file_index.address)
    monkeypatch.setenv("UV_NO_CACHE", "1")
    return file_index


def lock(baked: Bake, pins: dict[str, list[str]]) -> None:
    """Write a lock of pins, each with the hashes of its files."""
    lines = (
        "".join([pin, *(f" \\\n    --hash=sha256:{each}" for each in pins[pin])]) for pin in pins
    )
    (baked.path / "requirements.txt").write_text("# a comment\n" + "\n".join(lines) + "\n")


def wheels(baked: Bake) -> subprocess.CompletedProcess[str]:
    """Run `make wheels`, whatever becomes of it."""
    return baked.run("make", "--silent", "wheels")


def test_the_rendered_lock_passes(bake: BakeFunction, baked: Bake) -> None:
    fresh = bake(project_slug="wheeled", base_image=baked.answers["base_image"])
    lines = fresh.make("--silent", "wheels").splitlines()
    assert [line for line in lines if line.startswith("Wheels")] == [
        "Wheels for x86_64:",
        "Wheels for aarch64:",
    ]


def test_wheels_pass(baked: Bake, index: FileIndex, tag: str, platform: str) -> None:
    names = [f"thing-1.0-{tag}-{platform}_{machine}.whl" for machine in ("x86_64", "aarch64")]
    pure = index.add("pure-2.0-py3-none-any.whl")
    lock(baked, {"thing==1.0": [index.add(name) for name in names], "pure==2.0": [pure]})
    assert wheels(baked).returncode == 0


@pytest.mark.parametrize("machines", [(), ("x86_64",)])
def test_a_missing_wheel_is_named(
    baked: Bake, index: FileIndex, tag: str, platform: str, machines: tuple[str, ...]
) -> None:
    other = next(each for each in PLATFORMS.values() if each != platform)
    names = [f"thing-1.0-{tag}-{platform}_{machine}.whl" for machine in machines]
    names += ["thing-1.0.tar.gz", f"thing-1.0-cp310-cp310-{platform}_aarch64.whl"]
    names += [f"thing-1.0-{tag}-{other}_{machine}.whl" for machine in ("x86_64", "aarch64")]
    pure = index.add("pure-2.0-py3-none-any.whl")
    lock(baked, {"pure==2.0": [pure], "thing==1.0": [index.add(name) for name in names]})
    result = wheels(baked)
    assert result.returncode != 0
    last = [line for line in result.stdout.splitlines() if line.startswith("Wheels")][-1]
    assert last == f"Wheels for {'aarch64' if machines else 'x86_64'}:"
    assert "thing==1.0 has no" in result.stderr
    assert "pure==2.0 has no" not in result.stderr


def test_a_wheel_that_the_lock_does_not_allow_is_none(baked: Bake, index: FileIndex) -> None:
    lock(baked, {"thing==1.0": [index.add("thing-1.0.tar.gz")]})
    index.add("thing-1.0-py3-none-any.whl")
    result = wheels(baked)
    assert result.returncode != 0
    assert "thing" in result.stderr
