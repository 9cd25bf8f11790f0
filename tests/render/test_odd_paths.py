"""A service works wherever its folder is."""

import shutil
from pathlib import Path

import pytest
from conftest import BakeFunction
from support import ARTICLE_DEPENDENCY, TEMPLATE, Bake, cookiecutter

pytestmark = pytest.mark.slow

ODD = 'it\'s $HOME & "q" #1 ü [x]'


def test_commands_work(bake: BakeFunction, git_config: Path, tmp_path: Path) -> None:
    made = bake(github_dependency=ARTICLE_DEPENDENCY)
    baked = Bake(tmp_path / ODD / "falcon-service", made.answers)
    shutil.copytree(made.path, baked.path)
    netrc = tmp_path / ODD / "netrc"
    netrc.touch()
    given = {"GIT_CONFIG_GLOBAL": str(git_config), "NETRC": str(netrc), "BASES": ""}
    for goal in ("lock", "check", "test", "lint", "openapi"):
        baked.make(goal, **given)
    assert "plain-text-markdown-extention @ git+" in baked.read("requirements-git.txt")
    assert "openapi" in baked.read("openapi.json")
    # the server's own start, which this setting ends
    result = baked.run("make", "run", PORT="http")
    assert "PORT is 'http': it must be a number from 1 to 65535" in result.stdout


def test_cookiecutter_writes_there(tmp_path: Path) -> None:
    result = cookiecutter(tmp_path / ODD, "--no-input", str(TEMPLATE))
    assert result.returncode == 0
    assert (tmp_path / ODD / "falcon-service" / ".git").exists()
