"""A lock is made from the indexes and with the passwords that pip and git know."""

import os
import re
from pathlib import Path

import pytest
from conftest import BakeFunction
from servers import FileIndex, PrivateGit, PrivateIndex
from support import Bake

pytestmark = pytest.mark.slow


def require(baked: Bake, *names: str) -> None:
    """Add dependencies to a service."""
    pyproject = baked.path / "pyproject.toml"
    more = "".join(f'    "{name}",\n' for name in names)
    text = pyproject.read_text()
    assert text.count('    "gunicorn>=') == 1
    pyproject.write_text(text.replace('    "gunicorn>=', f'{more}    "gunicorn>='))


def installed(baked: Bake, name: str) -> str:
    """Return the version of a distribution in the environment of the tools."""
    code = f"from importlib.metadata import version; print(version({name!r}))"
    return baked.run(".venv/bin/python", "-c", code).stdout.strip()


@pytest.mark.parametrize(
    ("variable", "config"),
    [
        ("PIP_EXTRA_INDEX_URL", "{}"),
        ("PIP_CONFIG_FILE", "[install]\nextra-index-url =\n    {}\n    {}more/\n"),
        ("HOME", "[global]\nextra-index-url = {}\n"),
    ],
)
def test_further_index(
    bake: BakeFunction, file_index: FileIndex, tmp_path: Path, variable: str, config: str
) -> None:
    baked = bake()
    require(baked, "canarylib")
    hashed = file_index.add("canarylib-1.0-py3-none-any.whl")
    file = tmp_path / ".config" / "pip" / "pip.conf"
    file.parent.mkdir(parents=True)
    file.write_text(config.format(*[file_index.address] * 2))
    value = {"HOME": str(tmp_path), "PIP_CONFIG_FILE": str(file)}.get(variable, file.read_text())
    baked.make("lock", **{variable: value})
    assert f"canarylib==1.0 \\\n    --hash=sha256:{hashed}" in baked.read("requirements.txt")


def test_best_version_of_all_indexes(bake: BakeFunction, file_index: FileIndex) -> None:
    baked = bake()
    file_index.add("falcon-0.1-py3-none-any.whl")
    baked.make("lock", PIP_EXTRA_INDEX_URL=file_index.address)
    assert "\nfalcon==4." in baked.read("requirements.txt")


def test_index_of_pips_install(
    bake: BakeFunction, private_index: PrivateIndex, tmp_path: Path
) -> None:
    baked = bake()
    file = tmp_path / "pip.conf"
    for password, succeeds in ((private_index.password, True), ("wrong", False)):
        address = private_index.address_with(password)
        file.write_text(
            f"[global]\nindex-url = http://127.0.0.1:9/\n[install]\nindex-url = {address}\n"
        )
        result = baked.run("make", "lock", UV_NO_CACHE="1", PIP_CONFIG_FILE=str(file))
        assert (result.returncode == 0) == succeeds, result.stderr


def test_password_of_an_index_in_netrc(
    bake: BakeFunction, private_index: PrivateIndex, tmp_path: Path
) -> None:
    baked = bake()
    netrc = tmp_path / "netrc"
    netrc.write_text(
        f"machine 127.0.0.1 login {private_index.user} password {private_index.password}\n"
    )
    given = {"PIP_INDEX_URL": private_index.address, "UV_NO_CACHE": "1", "PIP_NO_CACHE_DIR": "1"}
    private_index.served.clear()
    baked.make("lock", ".venv/installed", NETRC=str(netrc), **given)
    assert any(name.startswith("falcon-") for name in private_index.served)


def test_password_of_a_repository_in_netrc(
    bake: BakeFunction, private_git: PrivateGit, tmp_path: Path
) -> None:
    baked = bake(github_dependency=private_git.add("canarygit"))
    given = {
        "NETRC": os.path.relpath(private_git.netrc, baked.path),
        "UV_CACHE_DIR": str(tmp_path / "uv"),
    }
    baked.make(".venv/installed", **given)
    assert re.search(r"canarygit\.git@[0-9a-f]{40}\n", baked.read("requirements-git.txt"))
    assert installed(baked, "canarygit") == "1.0"
    result = baked.run("make", "lock", **given | {"NETRC": "", "UV_CACHE_DIR": str(tmp_path / "2")})
    assert result.returncode != 0


def test_repository_that_requires_a_repository(bake: BakeFunction, private_git: PrivateGit) -> None:
    outer = private_git.add("outer", private_git.add("inner"), "packaging")
    baked = bake(github_dependency=outer)
    given = {"NETRC": str(private_git.netrc)}
    baked.make("lock", **given)
    pins = re.findall(
        r"^(\w+) @ git\+http\S+@[0-9a-f]{40}$", baked.read("requirements-git.txt"), re.M
    )
    assert pins == ["inner", "outer"]
    for lock in ("requirements.txt", "requirements-dev.txt"):
        assert " @ git+" not in baked.read(lock)
        assert "\npackaging==" in baked.read(lock)
    baked.make("lint", **given)
    assert installed(baked, "inner") == "1.0"
