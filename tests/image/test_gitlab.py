"""The scripts of GitLab's jobs do in a fresh clone, on the engine, what a runner has them do."""

import subprocess
from typing import Any

import pytest
import yaml
from conftest import BakeFunction
from support import Bake, git

pytestmark = [pytest.mark.image, pytest.mark.usefixtures("engine", "network")]


@pytest.fixture(scope="module")
def clone(bake_session: BakeFunction, tmp_path_factory: pytest.TempPathFactory) -> Bake:
    """Return a fresh clone of a service on GitLab."""
    url = "https://gitlab.com/acme/group/piped"
    baked = bake_session(project_slug="piped", repository_url=url)
    folder = tmp_path_factory.mktemp("clone") / "piped"
    git(baked.path, "clone", "--quiet", ".", str(folder))
    return Bake(folder, baked.answers)


def jobs(clone: Bake) -> dict[str, Any]:
    """Return the jobs of the pipeline by name, with what they extend."""
    found: dict[str, Any] = {}
    for name in (".gitlab-ci.yml", ".gitlab/release.yml"):
        found |= yaml.safe_load(clone.read(name))
    for job in found.values():
        parents = job.get("extends", []) if isinstance(job, dict) else []
        for parent in [parents] if isinstance(parents, str) else parents:
            job["variables"] = found[parent].get("variables", {}) | job.get("variables", {})
    return found


def run_job(clone: Bake, name: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the script of a job as a runner does, in one shell that ends at the first error.

    What comes before the script prepares the job's own image, so it is left out.
    """
    job = jobs(clone)[name]
    given = job.get("variables", {}) | variables
    return clone.run("bash", "-eo", "pipefail", "-c", "\n".join(job["script"]), **given)


@pytest.mark.parametrize("name", ["check", "image"])
def test_job_succeeds(clone: Bake, name: str) -> None:
    result = run_job(clone, name)
    assert result.returncode == 0, result.stdout + result.stderr
    assert clone.run("git", "status", "--porcelain", "--untracked-files=no").stdout == ""
    if name == "image":
        assert "b'hi'" in result.stdout
        assert (clone.path / "image.tar").stat().st_size > 1_000_000
