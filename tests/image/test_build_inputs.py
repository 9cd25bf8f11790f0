"""A build takes what pip and git take, and is for the platform that it names."""

import re
import shutil
from pathlib import Path

import pytest
from conftest import BakeFunction
from images import assert_nothing_leaks, docker, save
from servers import FileIndex, PrivateGit
from support import CHOICES, Bake

pytestmark = [pytest.mark.image, pytest.mark.usefixtures("engine", "network")]

# Programs that say what an emulator makes them say.
EMULATED = r"""
FROM alpine:latest
RUN printf '#!/bin/sh\necho aarch64\n' > /usr/local/bin/uname && chmod +x /usr/local/bin/uname
"""


def versions(image: str, *names: str) -> str:
    """Return the versions of distributions in an image."""
    code = f"from importlib.metadata import version; print(*map(version, {names}))"
    return docker("run", "--rm", image, "python3", "-c", code)


@pytest.mark.parametrize("variable", ["PIP_EXTRA_INDEX_URL", "PIP_CONFIG_FILE", "HOME"])
def test_further_index(
    bake: BakeFunction, file_index: FileIndex, tmp_path: Path, variable: str
) -> None:
    baked = bake(project_slug="further")
    hashed = file_index.add("canarylib-1.0-py3-none-any.whl")
    address = file_index.address.replace("://", "://user:canary-password@")
    with (baked.path / "requirements.txt").open("a") as lock:
        lock.write(f"canarylib==1.0 --hash=sha256:{hashed}\n# {tmp_path}\n")
    file = tmp_path / ".config" / "pip" / "pip.conf"
    file.parent.mkdir(parents=True)
    file.write_text(f"[install]\nextra-index-url = {address}\n")
    value = {"HOME": str(tmp_path), "PIP_CONFIG_FILE": str(file)}.get(variable, address)
    baked.make("docker", **{variable: value})
    assert versions("further:latest", "canarylib") == "1.0"
    assert_nothing_leaks(save("further:latest", tmp_path), "further:latest", "canary-password")
    docker("image", "rm", "further:latest")


@pytest.mark.parametrize("base_image", CHOICES["base_image"][1:])
def test_repository_that_requires_a_repository(
    bake: BakeFunction, private_git: PrivateGit, tmp_path: Path, base_image: str
) -> None:
    outer = private_git.add("outer", private_git.add("inner"))
    baked = bake(project_slug="nested", base_image=base_image, github_dependency=outer)
    baked.make("docker", NETRC=str(private_git.netrc))
    assert versions("nested:latest", "outer", "inner") == "1.0 1.0"
    assert_nothing_leaks(save("nested:latest", tmp_path), "nested:latest")
    docker("image", "rm", "nested:latest")


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "NETRC", "PIP_CONFIG_FILE", "APK_REPOSITORIES"])
def test_secret_that_is_too_long(bake: BakeFunction, tmp_path: Path, name: str) -> None:
    baked = bake()
    file = tmp_path / 'it\'s $HOME, "long"'
    for length, says in ((500 * 1024 + 1, True), (500 * 1024, False)):
        file.write_bytes(b"#" * length)
        (tmp_path / "link").unlink(missing_ok=True)
        (tmp_path / "link").symlink_to(file)
        given = {name: str(tmp_path / "link"), "DOCKER_BUILD_FLAGS": "--print"}
        for goal in ("docker", "minimal", "release"):
            result = baked.run("make", "--silent", goal, **given)
            assert (result.returncode != 0) == says
            line = f"{tmp_path}/link: longer than 500 KiB, which no secret of a build may be; "
            assert result.stderr.startswith(line) == says
            assert not (says and "buildx" in result.stdout + result.stderr)


@pytest.fixture(scope="module", params=CHOICES["base_image"])
def of_base(request: pytest.FixtureRequest, bake_session: BakeFunction) -> Bake:
    return bake_session(project_slug="foreign", base_image=request.param)


def test_image_of_another_platform_is_refused(of_base: Bake) -> None:
    goals = ["docker", "release"] + ["minimal"] * ("\nminimal:" in of_base.read("Makefile"))
    flags = {"DOCKER_BUILD_FLAGS": "--network=host --sbom=false", "BUILDKIT_PROGRESS": "plain"}
    for goal in goals:
        result = of_base.run(
            *("make", goal, f"OUTPUT=type=oci,dest={of_base.path}/release.tar"),
            DOCKER_DEFAULT_PLATFORM="linux/arm64",
            **flags,
        )
        assert result.returncode != 0
        # for some base images, the engine has its own words
        says = r"ERROR: the base image is for x86_64, not for arm64|no match for platform"
        assert re.search(says, result.stderr), result.stderr


def test_image_of_another_platform_is_built_by_its_own_programs(bake: BakeFunction) -> None:
    baked = bake(project_slug="foreign")
    docker("build", "--tag=foreign:base", "--platform=linux/arm64", "-", typed=EMULATED)
    dockerfile = baked.path / "Dockerfile"
    text = dockerfile.read_text().replace("FROM alpine:latest", "FROM foreign:base")
    dockerfile.write_text(text)
    baked.make("docker", DOCKER_DEFAULT_PLATFORM="linux/arm64")
    found = docker("image", "inspect", "--format", "{{.Architecture}}", "foreign:latest")
    assert found == "arm64"
    docker("image", "rm", "foreign:latest", "foreign:base")


def test_build_where_the_path_is_odd(bake: BakeFunction, tmp_path: Path) -> None:
    made = bake(project_slug="odd")
    baked = Bake(tmp_path / 'it\'s $HOME & "q" #1 ü [x]' / "odd", made.answers)
    shutil.copytree(made.path, baked.path)
    netrc = baked.path.parent / "netrc"
    netrc.touch()
    baked.make("docker", "wheels", NETRC=str(netrc))
    assert baked.run("docker", "compose", "config", "--quiet").returncode == 0
    docker("image", "rm", "odd:latest", "odd:latest-python")
