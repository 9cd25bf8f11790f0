"""The jobs of a release on GitLab, with programs that only record what they are told."""

import os
import re
from pathlib import Path

import pytest
import yaml
from conftest import BakeFunction
from pipelines import jobs, run_job
from support import Bake, append

# Records its arguments, the password that is piped to it, and the image that it is to push.
RECORDER = r"""#!/bin/sh
echo "${0##*/} $*" >> "$RECORD"
case "$*" in
*--password-stdin*) cat >> "$RECORD" ;;
*--metadata-file=release.json*)
    echo '{"release": {"containerimage.digest": "sha256:d1ce"}}' > release.json ;;
esac
case "$*" in "buildx bake "*) echo "$IMAGE" >> "$RECORD" ;; esac
"""
SIGNED, UNSIGNED = "https://gitlab.com/acme/group/Piped", "https://gitlab.example.com/acme/piped"


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Set what a runner sets for the tag v0.1.0, and return where commands are recorded."""
    for name in ("cosign", "docker"):
        (tmp_path / name).write_text(RECORDER)
        (tmp_path / name).chmod(0o755)
    record = tmp_path / "record"
    variables = {
        "CI_COMMIT_TAG": "v0.1.0",
        "CI_REGISTRY": "registry.example.com",
        "CI_REGISTRY_IMAGE": "registry.example.com/acme/piped",
        "CI_REGISTRY_PASSWORD": "canary",
        "CI_REGISTRY_USER": "robot",
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "RECORD": str(record),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return record


def set_release(baked: Bake) -> None:
    """Write the version of pyproject.toml, and one before it, into the changelog."""
    sections = "\n## [0.1.0] - 2026-01-02\n\n- New.\n\n## [0.0.9] - 2026-01-01\n\n- Old.\n"
    append(baked.path / "CHANGELOG.md", sections)


@pytest.mark.parametrize("url", [SIGNED, UNSIGNED])
def test_publishes(bake: BakeFunction, runner: Path, url: str) -> None:
    baked = bake(repository_url=url)
    set_release(baked)
    result = run_job(baked, "publish")
    assert result.returncode == 0, result.stdout + result.stderr
    login, typed, emulator, context, builder, bakes, image, *signs = runner.read_text(
        "utf-8"
    ).splitlines()
    assert login == "docker login --username robot --password-stdin registry.example.com"
    assert typed == "canary"
    assert re.match("docker run --privileged --rm tonistiigi/binfmt:.* --install arm64$", emulator)
    assert context.removeprefix("docker context create") == builder.removeprefix(
        "docker buildx create --use"
    )
    assert bakes.startswith("docker buildx bake ")
    assert bakes.endswith(" release")
    assert image == "registry.example.com/acme/piped:0.1.0"
    signed = ["cosign sign --yes registry.example.com/acme/piped@sha256:d1ce"]
    assert signs == (signed if url == SIGNED else [])


def test_another_version_is_not_published(bake: BakeFunction, runner: Path) -> None:
    baked = bake(repository_url=SIGNED)
    set_release(baked)
    result = run_job(baked, "publish", CI_COMMIT_TAG="v0.2.0")
    assert result.returncode != 0
    assert "v0.2.0" in result.stderr
    assert not runner.exists()


def test_notes_are_those_of_the_changelog(bake: BakeFunction, runner: Path) -> None:
    baked = bake(repository_url=SIGNED)
    set_release(baked)
    assert run_job(baked, "release").returncode == 0
    [notes] = {jobs(baked)["release"]["release"]["description"]}
    assert baked.read(notes) == "\n- New.\n\n"


def test_comes_after_every_other_job(bake: BakeFunction) -> None:
    baked = bake(repository_url=SIGNED)
    pipeline = yaml.safe_load(baked.read(".gitlab-ci.yml"))
    assert pipeline["include"] == [{"local": ".gitlab/release.yml"}]
    made = jobs(baked)
    # a job is in the stage before deploy where it names none
    assert [name for name, job in made.items() if ".release" not in job.get("extends", [])] == [
        *("check", "image", "scan")
    ]
    assert not any("stage" in made[name] for name in ("check", "image", "scan"))
    assert yaml.safe_load(baked.read(".gitlab/release.yml"))[".release"]["stage"] == "deploy"
    assert "needs" not in made["publish"]
    assert made["release"]["needs"] == ["publish"]
