"""The jobs of GitLab succeed in a fresh clone, on the engine."""

from collections.abc import Iterator

import pytest
from conftest import BakeFunction
from images import docker
from pipelines import run_job
from servers import Osv
from support import Bake, git

pytestmark = [pytest.mark.image, pytest.mark.usefixtures("engine", "network")]


@pytest.fixture(scope="module")
def clone(bake_session: BakeFunction, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bake]:
    """Yield a fresh clone of a service on GitLab."""
    url = "https://gitlab.com/acme/group/piped"
    baked = bake_session(project_slug="piped", repository_url=url)
    folder = tmp_path_factory.mktemp("clone") / "piped"
    git(baked.path, "clone", "--quiet", ".", str(folder))
    yield Bake(folder, baked.answers)
    docker("compose", "--project-directory", str(folder), "down", "--volumes")
    docker("image", "rm", "service:ci")


@pytest.mark.parametrize("name", ["check", "image"])
def test_job_succeeds(clone: Bake, osv: Osv, name: str) -> None:
    result = run_job(clone, name, **osv.environment)
    assert result.returncode == 0, result.stdout + result.stderr
    assert git(clone.path, "status", "--porcelain", "--untracked-files=no") == ""
    if name == "image":
        assert "b'hi'" in result.stdout
        assert (clone.path / "image.tar").stat().st_size > 1_000_000
