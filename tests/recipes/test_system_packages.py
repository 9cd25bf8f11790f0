"""Packages of the system are in the image where the service needs them, and else in the build."""

import os
import sys
from pathlib import Path

import pytest
from conftest import BakeFunction
from images import build, docker, flatten
from pages import RECIPES, Recipe, follow

pytestmark = [pytest.mark.image, pytest.mark.usefixtures("engine", "network")]

HADOLINT = (sys.executable, "-m", "pre_commit", "run", "--all-files", "hadolint")
# A mirror of Alpine may have few packages: what it is sure to have takes the place of the page's.
OTHERS = (
    ('+    "psycopg[c]>=3.3,<4",\n', ""),
    (" libpq tzdata ", " sqlite "),
    (" gcc libpq-dev musl-dev python3-dev\n", " git\n"),
)


def test_both_images_of_alpine(bake: BakeFunction, tmp_path: Path) -> None:
    page = (RECIPES / "system-packages.md").read_text("utf-8")
    for listed, other in OTHERS:
        assert page.count(listed) == 1
        page = page.replace(listed, other)
    baked = bake()
    follow(page, baked, IMAGE="packages-alpine")
    baked.make("minimal", IMAGE="packages-alpine")
    for image in ("packages-alpine", "packages-alpine-minimal"):
        assert docker("run", "--rm", image, "sqlite3", ":memory:", "select 1") == "1"
        assert not {"usr/bin/git", "usr/bin/gcc"} & flatten(image, tmp_path).keys()
    flags = f"{os.environ['DOCKER_BUILD_FLAGS']} --set=*.target=build"
    baked.make("docker", IMAGE="packages-build", DOCKER_BUILD_FLAGS=flags)
    assert docker("run", "--rm", "packages-build", "git", "--version")
    assert baked.run(*HADOLINT).returncode == 0


def test_debian(bake: BakeFunction, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(__file__).parent
    build(folder, "packages-base", f"--file={folder}/headers.Dockerfile")
    base = "--set=*.contexts.python:3.14-slim=docker-image://packages-base"
    monkeypatch.setenv("DOCKER_BUILD_FLAGS", f"{os.environ['DOCKER_BUILD_FLAGS']} {base}")
    recipe = Recipe.made("system-packages", bake(base_image="python:3.14-slim"))
    with recipe.run(probe=False) as running:
        assert running.python("import psycopg; print(psycopg.pq.__impl__)") == "c"
        code = "import zoneinfo; print(zoneinfo.ZoneInfo('Europe/Berlin'))"
        assert running.python(code) == "Europe/Berlin"
    assert "usr/bin/gcc" not in flatten(recipe.image, tmp_path)
    assert recipe.baked.run(*HADOLINT).returncode == 0
    recipe.assert_costs_what_the_index_says()
