"""The jobs of a service on GitLab, run as a runner runs them."""

import subprocess
from typing import Any

import yaml
from support import Bake


def jobs(bake: Bake) -> dict[str, Any]:
    """Return the jobs of the pipeline by name, with the variables of those that they extend."""
    found: dict[str, Any] = {}
    for name in (".gitlab-ci.yml", ".gitlab/release.yml"):
        found |= yaml.safe_load(bake.read(name))
    made = {name: job for name, job in found.items() if isinstance(job, dict) and "script" in job}
    for job in made.values():
        extended = job.get("extends", [])
        for parent in [extended] if isinstance(extended, str) else extended:
            job["variables"] = found[parent].get("variables", {}) | job.get("variables", {})
    return made


def run_job(bake: Bake, name: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the script of a job in one shell, which ends at the first error.

    What comes before the script prepares the job's own image, so it is left out.
    """
    job = jobs(bake)[name]
    given = job.get("variables", {}) | variables
    return bake.run("bash", "-eo", "pipefail", "-c", "\n".join(job["script"]), **given)
