"""The steps of the workflows, run in order as a runner runs them, release what passes and no more.

What is not of the steps is left out: actions of others, whose inputs alone are looked at. The
engine may have no emulator for arm64 and reach no scanner for SBOMs, so both have a stand-in.
"""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any
from urllib.request import Request

import pytest
import yaml
from conftest import BakeFunction
from images import build, config, docker, running
from servers import KIND, Osv
from support import Bake, commit, free_port, get, git, replace

pytestmark = [pytest.mark.image, pytest.mark.usefixtures("engine", "network")]

REPOSITORY = "Owner/Flow"
# Two platforms that one machine has, in the place of amd64 and arm64.
PLATFORMS = "linux/amd64,linux/amd64/v2"
SCANNER = "scanner-of-tests:latest"
SCAN = """#!/bin/sh
cat > "$BUILDKIT_SCAN_DESTINATION/sbom.spdx.json" <<END
{
  "_type": "https://in-toto.io/Statement/v0.1",
  "predicateType": "https://spdx.dev/Document",
  "predicate": {
    "spdxVersion": "SPDX-2.3",
    "SPDXID": "SPDXRef-DOCUMENT",
    "name": "$(ls "$BUILDKIT_SCAN_SOURCE" | tr '\\n' ' ')"
  }
}
END
"""
GH = '#!/bin/sh\nprintf "%s\\n" "$GH_REPO" "$GH_TOKEN" "$@" > "$RUNNER_TEMP/gh"\n'


@dataclass
class Runner:
    """A runner in a clone, with the programs that hosted runners have, but for a stand-in of gh."""

    clone: Path
    temp: Path
    registry: str
    tag: str = "v1.2.3"
    build_flags: str = f"--sbom=generator={SCANNER}"
    variables: dict[str, str] = field(default_factory=dict)
    ran: list[str] = field(default_factory=list)
    used: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    printed: str = ""

    def __post_init__(self) -> None:
        """Put the stand-in of gh where it is found first."""
        gh = self.temp / "bin" / "gh"
        gh.parent.mkdir()
        gh.write_text(GH)
        gh.chmod(0o755)

    def run(self, workflow: str, *passed: str) -> bool:
        """Run a workflow but for jobs that have passed, and return whether every step succeeds."""
        document = yaml.safe_load((self.clone / workflow).read_text("utf-8"))
        jobs: dict[str, Any] = document["jobs"]
        needs = {name: {job["needs"]} if "needs" in job else set() for name, job in jobs.items()}
        succeeded = set(passed)
        for name in TopologicalSorter(needs).static_order():
            if name in succeeded or not needs[name] <= succeeded:
                continue
            if self.run_job(jobs[name], document.get("env", {})):
                succeeded.add(name)
        return succeeded == jobs.keys()

    def run_job(self, job: dict[str, Any], environment: dict[str, str]) -> bool:
        """Run the workflow that a job calls, or its steps, and return whether all succeed."""
        if "uses" in job:
            return self.run(job["uses"].removeprefix("$/"))
        environment = environment | job.get("env", {})
        stand_ins = {"PLATFORMS": PLATFORMS, "REGISTRY": self.registry}
        environment |= {name: stand_ins[name] for name in stand_ins.keys() & environment.keys()}
        self.variables = {
            "github.ref_name": self.tag,
            "github.repository": REPOSITORY,
            "github.token": "token-of-the-run",
        } | {f"env.{name}": value for name, value in environment.items()}
        return all(
            self.run_step(step, environment | self.fill(step.get("env", {})))
            for step in job["steps"]
        )

    def run_step(self, step: dict[str, Any], environment: dict[str, str]) -> bool:
        """Run a step, and return whether it succeeds."""
        if "uses" in step:
            self.used.append((step["uses"].partition("@")[0], self.fill(step.get("with", {}))))
            return True
        assert "${{" not in step["run"]
        outputs = self.temp / "outputs"
        outputs.write_text("")
        environment |= {
            "CI": "true",
            "GITHUB_ACTOR": "octocat",
            "GITHUB_OUTPUT": str(outputs),
            "GITHUB_REF_NAME": self.tag,
            "GITHUB_REPOSITORY": REPOSITORY,
            "PATH": f"{self.temp}/bin:{os.environ['PATH']}",
            "RUNNER_TEMP": str(self.temp),
        }
        # what this machine has not, or only one program can have
        flags = [os.environ["DOCKER_BUILD_FLAGS"], environment.get("DOCKER_BUILD_FLAGS", "")]
        if "make release" in step["run"]:
            # the builder of an engine unpacks what it pushes, and so cannot rewrite its timestamps
            flags += [self.build_flags, "--set=release.output=type=registry"]
        environment["DOCKER_BUILD_FLAGS"] = " ".join(flags)
        if "PORT" in environment:
            environment |= {"PORT": str(free_port()), "METRICS_PORT": str(free_port())}
        self.ran.append(step.get("name", step["run"]))
        result = subprocess.run(
            ["bash", "-e", "-c", step["run"]],
            cwd=self.clone,
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        self.printed += result.stdout
        for line in outputs.read_text().splitlines():
            name, _, value = line.partition("=")
            self.variables[f"steps.{step['id']}.outputs.{name}"] = value
        return result.returncode == 0

    def fill(self, texts: dict[str, Any]) -> dict[str, str]:
        """Return texts with their expressions put in."""
        return {
            name: re.sub(r"\$\{\{ ([\w.]+) \}\}", lambda it: self.variables[it[1]], str(text))
            for name, text in texts.items()
        }

    def ask(self, path: str) -> str:
        """Return what the registry answers."""
        request = Request(f"http://{self.registry}/v2/{path}", headers={"Accept": KIND})
        return get(request)[1]


@pytest.fixture(scope="module")
def clone(
    bake_session: BakeFunction, tools: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("workflows")
    (folder / "Dockerfile").write_text(
        'FROM alpine:latest\nCOPY --chmod=755 scan /\nENTRYPOINT ["/scan"]\n'
    )
    (folder / "scan").write_text(SCAN)
    build(folder, SCANNER)
    baked: Bake = bake_session(project_slug="flow")
    replace(baked.path / "pyproject.toml", 'version = "0.1.0"', 'version = "1.2.3"')
    replace(baked.path / "CHANGELOG.md", "[Unreleased]", "[1.2.3] - 2026-11-25")
    commit(baked.path, "v1.2.3")
    clone = folder / "flow"
    git(folder, "clone", "--quiet", str(baked.path), str(clone))
    yield clone
    docker("image", "rm", "--force", "service:ci", SCANNER)


@pytest.fixture
def runner(clone: Path, tools: str, osv: Osv, tmp_path: Path) -> Iterator[Runner]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in osv.environment.items():
            patch.setenv(name, value)
        registry = f"127.0.0.1:{free_port()}"
        settings = {"version": 0.1, "storage": {"inmemory": {}}, "http": {"addr": registry}}
        (tmp_path / "registry.yaml").write_text(json.dumps(settings))
        options = ("--network=host", f"--volume={tmp_path}:{tmp_path}")
        serve = ("docker-registry", "serve", f"{tmp_path}/registry.yaml")
        with running(tools, *options, command=serve):
            runner = Runner(clone, tmp_path, registry)
            assert json.loads(runner.ask("_catalog")) == {"repositories": []}
            yield runner
    git(clone, "checkout", "--quiet", ".")
    docker("compose", "--project-directory", str(clone), "down", "--volumes")
    docker("logout", runner.registry)


def assert_stops(runner: Runner, step: str, *passed: str) -> None:
    """Assert that a release fails in a step, pushes nothing, and is not announced."""
    assert not runner.run(".github/workflows/release.yaml", *passed)
    assert runner.ran[-1] == step, runner.printed
    assert json.loads(runner.ask("_catalog")) == {"repositories": []}
    assert not (runner.temp / "gh").exists()
    assert "actions/attest" not in dict(runner.used)


def test_what_passes_is_released(runner: Runner) -> None:
    assert runner.run(".github/workflows/release.yaml"), runner.printed
    ci = yaml.safe_load((runner.clone / ".github/workflows/ci.yaml").read_text())
    [job] = ci["jobs"].values()
    steps = [it.get("name", it["run"]) for it in job["steps"] if "run" in it]
    assert runner.ran[: len(steps)] == steps
    assert "make audit" in steps
    [scan] = [given for action, given in runner.used if action == "anchore/scan-action"]
    assert config(scan["image"])["Labels"]["org.opencontainers.image.version"] == "v1.2.3"

    name = REPOSITORY.lower()
    assert json.loads(runner.ask("_catalog")) == {"repositories": [name]}
    assert json.loads(runner.ask(f"{name}/tags/list"))["tags"] == ["1.2.3"]
    image = f"{runner.registry}/{name}:1.2.3"
    shown = "{{print .Manifest.Digest}}"
    digest = docker("buildx", "imagetools", "inspect", "--format", shown, image)
    attested = [given for action, given in runner.used if action == "actions/attest"]
    for given in attested:
        assert given["subject-digest"] == digest
        assert given["subject-name"].lower() == f"{runner.registry}/{name}"
    sboms = [Path(it["sbom-path"]) for it in attested if "sbom-path" in it]
    assert sboms == [Path("linux-amd64.json"), Path("linux-arm64.json")]
    # as the action requires
    sbom = json.loads((runner.clone / "linux-amd64.json").read_text())
    assert sbom["spdxVersion"]
    assert sbom["SPDXID"]
    assert (runner.clone / "linux-amd64-v2.json").exists()
    said = (runner.temp / "gh").read_text().splitlines()
    options = ["--verify-tag", "--generate-notes"]
    assert said == [REPOSITORY, "token-of-the-run", "release", "create", "v1.2.3", *options]


def test_tag_of_another_version_stops_it(runner: Runner) -> None:
    runner.tag = "v1.2.4"
    assert_stops(runner, "make version", "check")


def test_change_that_is_not_logged_stops_it(runner: Runner) -> None:
    replace(runner.clone / "CHANGELOG.md", "[1.2.3] - 2026-11-25", "[Unreleased]")
    assert_stops(runner, "make version", "check")


def test_finding_of_a_linter_stops_it(runner: Runner) -> None:
    replace(runner.clone / "src/flow/hello.py", "\n\nfrom", "\n\nimport os\n\nfrom")
    assert_stops(runner, "make lint")


def test_failing_test_stops_it(runner: Runner) -> None:
    replace(runner.clone / "src/flow/hello.py", '"hi"', '"ho"')
    assert_stops(runner, "make test")


def test_vulnerability_stops_it(runner: Runner, osv: Osv) -> None:
    osv.know("gunicorn", "GHSA-aaaa-bbbb-cccc")
    assert_stops(runner, "make audit")


def test_missing_scanner_stops_it(runner: Runner) -> None:
    runner.build_flags = f"--sbom=generator={runner.registry}/none"
    assert_stops(runner, "Push REGISTRY/OWNER/REPOSITORY:VERSION", "check")
    assert f"{runner.registry}/none:latest: not found" in runner.printed


def test_image_without_an_sbom_is_not_attested(runner: Runner) -> None:
    runner.build_flags = "--sbom=false"
    assert not runner.run(".github/workflows/release.yaml", "check")
    assert runner.ran[-1] == "Push REGISTRY/OWNER/REPOSITORY:VERSION"
    assert "release.json" in git(runner.clone, "status", "--short")
    assert "actions/attest" not in dict(runner.used)
    assert not (runner.temp / "gh").exists()
