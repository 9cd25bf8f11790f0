"""A build takes what pip and git take, and is for the platform that it names."""

import os
import re
import shutil
import ssl
from pathlib import Path

import pytest
from conftest import BakeFunction
from images import assert_nothing_leaks, docker, save
from servers import FileIndex, PrivateGit
from support import CHOICES, Bake

pytestmark = [pytest.mark.image, pytest.mark.usefixtures("engine", "network")]


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


def test_repository_that_requires_a_repository(
    bake: BakeFunction, private_git: PrivateGit, tmp_path: Path
) -> None:
    outer = private_git.add("outer", private_git.add("inner"))
    baked = bake(project_slug="nested", github_dependency=outer)
    baked.make("docker", NETRC=str(private_git.netrc))
    assert versions("nested:latest", "outer", "inner") == "1.0 1.0"
    assert_nothing_leaks(save("nested:latest", tmp_path), "nested:latest")
    docker("image", "rm", "nested:latest")


def test_longest_secret(bake: BakeFunction, tmp_path: Path) -> None:
    baked = bake(project_slug="longest")
    assert "in a file of at most 500 KiB" in baked.read("README.md")
    trusted = Path(os.environ.get("SSL_CERT_FILE") or ssl.get_default_verify_paths().cafile or "")
    bundle = tmp_path / "bundle.pem"
    for length, succeeds in ((500 * 1024, True), (500 * 1024 + 1, False)):
        bundle.write_bytes(trusted.read_bytes().ljust(length, b"\n"))
        flags = "--network=host --no-cache --set=*.target=python"
        result = baked.run("make", "docker", SSL_CERT_FILE=str(bundle), DOCKER_BUILD_FLAGS=flags)
        assert (result.returncode == 0) == succeeds, result.stderr
    assert "secret ca too big" in result.stderr
    docker("image", "rm", "longest:latest")


@pytest.mark.parametrize("base_image", CHOICES["base_image"])
def test_image_of_another_platform_is_refused(bake: BakeFunction, base_image: str) -> None:
    baked = bake(project_slug="foreign", base_image=base_image)
    # for some base images, the engine has its own words
    says = "ERROR: the base image is for x86_64, not for arm64|no match for platform"
    for goal in ["docker", "release"] + ["minimal"] * ("\nminimal:" in baked.read("Makefile")):
        result = baked.run(
            *("make", goal, f"OUTPUT=type=oci,dest={baked.path}/release.tar"),
            DOCKER_DEFAULT_PLATFORM="linux/arm64",
            DOCKER_BUILD_FLAGS="--network=host --sbom=false",
            BUILDKIT_PROGRESS="plain",
        )
        assert result.returncode != 0
        assert re.search(says, result.stderr), result.stderr


def test_build_where_the_path_is_odd(bake: BakeFunction, tmp_path: Path) -> None:
    made = bake(project_slug="odd")
    baked = Bake(tmp_path / 'it\'s $HOME & "q" #1 ü [x]' / "odd", made.answers)
    shutil.copytree(made.path, baked.path)
    netrc = baked.path.parent / "netrc"
    netrc.touch()
    baked.make("docker", "wheels", NETRC=str(netrc))
    assert baked.run("docker", "compose", "config", "--quiet").returncode == 0
    docker("image", "rm", "odd:latest", "odd:latest-python")
