"""Any answers are refused in one line, or make a service that works and has them in it."""

import ast
import contextlib
import io
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import CodeType
from typing import Any
from unittest import mock

import pytest
import yaml
from answers import Answers, answers
from cookiecutter.exceptions import FailedHookException
from cookiecutter.main import cookiecutter
from hypothesis import HealthCheck, given, note, settings
from images import config, docker, engine_answers
from jinja2 import Environment
from packaging.requirements import Requirement
from support import CHOICES, PROMPTS, TEMPLATE, Bake, markdown_text

from template_extensions import quoted

BATCH = 300
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", BATCH))
LONG = EXAMPLES > BATCH
PARSERS: dict[str, Callable[[str], Any]] = {
    ".py": ast.parse,
    ".toml": tomllib.loads,
    ".yaml": yaml.safe_load,
    ".yml": yaml.safe_load,
    ".json": json.loads,
}
PYTHON_M = (sys.executable, "-m")

# cookiecutter compiles all templates anew for every bake.
compile_template = Environment.compile
compiled: dict[tuple[object, ...], CodeType] = {}

# Asks each service whose folder is an argument, as gunicorn serves it, in a process of its own.
ASK = r"""
import os, re, sys
from importlib import import_module
from falcon.testing import TestClient
for folder in sys.argv[1:]:
    child = os.fork()
    if not child:
        sys.path.insert(0, f"{folder}/src")
        config = open(f"{folder}/gunicorn.conf.py").read()
        served = re.search(r'^wsgi_app = "(.+):(\w+)\(\)"', config, re.MULTILINE)
        client = TestClient(getattr(import_module(served[1]), served[2])())
        for path in ("/", "/livez", "/readyz"):
            assert client.simulate_get(path).status_code == 200, (folder, path)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        sys.exit(f"{folder} does not answer")
"""


@lru_cache(maxsize=1000)
def parse(suffix: str, text: str) -> Any:  # noqa: ANN401
    """Parse a file; most files are the same in most bakes."""
    return PARSERS[suffix](text) if suffix in PARSERS else text


def parsed(bake: Bake, name: str) -> Any:  # noqa: ANN401
    """Return a file of a bake, parsed."""
    return parse(Path(name).suffix, bake.read(name))


def compile_once(
    environment: Environment, source: str, name: str | None = None, filename: str | None = None
) -> CodeType:
    """Compile a template, unless an earlier bake did."""
    key = (source, name, filename)
    if key not in compiled:
        compiled[key] = compile_template(environment, *key)
    return compiled[key]


def run_hook(script: str, cwd: str = ".") -> None:
    """Run a rendered hook in this process, which is quicker than in a new one."""
    with contextlib.chdir(cwd), contextlib.redirect_stdout(io.StringIO()):
        try:
            runpy.run_path(script, run_name="__main__")
        except SystemExit as end:
            if end.code:
                raise FailedHookException(end.code) from end


def bake_here(out: Path, typed: dict[str, str], arguments: dict[str, str] | None = None) -> Bake:
    """Bake in this process with answers from the prompts, or from the command line."""

    def answer(name: str, default: str | list[str], *_: object) -> str:
        return typed.get(name, default if isinstance(default, str) else default[0])

    home = out.parent / ".git"  # which the hooks of the bakes do not look into
    config = home / "config.yaml"
    config.write_text(f"replay_dir: {home}\ncookiecutters_dir: {home}\n")
    with (
        mock.patch("cookiecutter.prompt.read_user_variable", answer),
        mock.patch("cookiecutter.prompt.read_user_choice", answer),
        mock.patch("cookiecutter.hooks.run_script", run_hook),
        mock.patch.object(Environment, "compile", compile_once),
    ):
        path = cookiecutter(
            str(TEMPLATE),
            no_input=arguments is not None,
            extra_context=arguments,
            output_dir=str(out),
            config_file=str(config),
        )
    replay = json.loads((home / f"{TEMPLATE.name}.json").read_text("utf-8"))
    return Bake(Path(path), replay["cookiecutter"])


def labels(bake_file: str) -> dict[str, str]:
    """Return the labels of a docker-bake.hcl that do not name a variable.

    Without a template in them, HCL reads these strings as JSON does.
    """
    name = r'"org\.opencontainers\.image\.(\w+)"'
    line = rf'^    {name} += ("(?:[^"\\]|\\["\\]|\\u[0-9a-f]{{4}})*")$'
    strings = dict(re.findall(line, bake_file, re.MULTILINE))
    assert not re.search(r"[$%]\{", "".join(strings.values()))
    return {name: json.loads(string) for name, string in strings.items()}


def assert_answers_read_back(bake: Bake) -> None:
    """Parse every file, and compare the free text in them with what was answered."""
    for name in bake.files():
        parsed(bake, name)
    answer = bake.answers
    project = parsed(bake, "pyproject.toml")["project"]
    assert project["name"] == answer["project_slug"]
    assert project["description"] == answer["description"]
    author = {"name": answer["author_name"], "email": answer["author_email"]}
    assert project["authors"] == [author]
    requirements = [Requirement(line) for line in project["dependencies"]]
    direct = [each for each in requirements if each.url]
    assert len(direct) == bool(answer["github_dependency"])
    assert all(str(each.url) in answer["github_dependency"] for each in direct)
    assert project["urls"] == {"Repository": answer["repository_url"]}
    label = labels(bake.read("docker-bake.hcl"))
    assert label["source"] == answer["repository_url"]
    assert label["title"] == answer["project_slug"]
    assert label["description"] == answer["description"]
    assert label["authors"] == f"{answer['author_name']} <{answer['author_email']}>"
    title, description = bake.read("README.md").split("\n\n")[:2]
    assert markdown_text(title) == answer["project_name"]
    assert markdown_text(description) == answer["description"]
    owner = f"Copyright (c) {answer['author_name']}\n"
    assert answer["license"] == "Apache-2.0" or owner in bake.read("LICENSE")


@dataclass
class Run:
    """The results of many answers.

    Attributes:
        folder: Where the bakes of the current batch are, by number.
        images: Whether to build an image of one bake of each batch.
    """

    folder: Path
    images: bool = False
    refused: Counter[str] = field(default_factory=Counter)
    accepted: int = 0
    built: int = 0
    batch: list[Bake] = field(default_factory=list)
    seen: set[int] = field(default_factory=set)

    def add(self, answers: Answers) -> None:
        """Bake, and make the checks that need no other tool.

        Raises:
            AssertionError: A check fails; the bake is kept.
        """
        out = self.folder / "last"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        note(f"baked in {out}")
        try:
            bake = bake_here(out, answers.given)
        except SystemExit as refusal:
            # below it is the command that keeps the other answers
            line = str(refusal).partition("\n")[0]
            name = line.partition(" ")[0]
            assert name in PROMPTS, line
            assert line.isprintable(), line
            assert not answers.good, line
            assert list(out.iterdir()) == []
            self.refused[name] += 1
            return
        assert answers.given.items() <= bake.answers.items()
        assert_answers_read_back(bake)
        self.accepted += 1
        kept = self.folder / str(self.accepted)
        out.rename(kept)
        self.batch.append(Bake(kept / bake.path.name, bake.answers))

    def check(self) -> None:
        """Check the batch with the tools that start slowly, and empty it.

        Raises:
            AssertionError: A check fails; the bakes are kept.
        """
        shutil.copy(self.batch[0].path / ".pre-commit-config.yaml", self.folder)
        # hadolint reads one configuration; what it ignores depends on the base image alone
        rules = {rule for bake in self.batch for rule in parsed(bake, ".hadolint.yaml")["ignored"]}
        (self.folder / ".hadolint.yaml").write_text(f"ignored: {sorted(rules)}\n")
        new = {bake.path: self.new_files(bake) for bake in self.batch}
        listed = self.folder / ".git" / "new"
        listed.write_text("".join(f"{path / name}\n" for path in new for name in new[path]))
        self.run("git", "read-tree", "--empty")
        self.run("git", "add", f"--pathspec-from-file={listed}")
        self.run(*PYTHON_M, "pre_commit", "run", "--all-files", "--show-diff-on-failure")
        for path, names in new.items():
            if "Makefile" in names:
                self.run("make", "--dry-run", "help", folder=path)
        code = re.compile(r"src/|gunicorn\.conf\.py")
        changed = [str(path) for path, names in new.items() if any(map(code.match, names))]
        self.run(sys.executable, "-c", ASK, *changed)
        self.run(*PYTHON_M, "pytest", "-p", "no:cacheprovider", folder=self.batch[0].path)
        if self.images:
            self.build(next(bake for bake in self.batch if not bake.answers["github_dependency"]))
        for bake in self.batch:
            shutil.rmtree(bake.path.parent)
        self.batch.clear()

    def new_files(self, bake: Bake) -> list[str]:
        """Return the files of a bake that no earlier bake had with the same content."""
        hashes = {name: hash((name, bake.read(name))) for name in bake.files()}
        new = sorted(name for name, value in hashes.items() if value not in self.seen)
        self.seen.update(hashes.values())
        return new

    def run(self, *command: str, folder: Path | None = None) -> str:
        """Run a command, which must succeed, in the folder or in another, and return its output.

        Raises:
            AssertionError: It failed; the message lists the bakes in its output.
        """
        result = subprocess.run(
            command, cwd=folder or self.folder, capture_output=True, text=True, check=False
        )
        printed = result.stdout + result.stderr
        numbers = set(re.findall(r"\b(\d+)/[a-z]", printed))
        named = [bake for bake in self.batch if bake.path.parent.name in numbers]
        assert result.returncode == 0, f"{named[:5]}\n{printed}"
        return printed

    def build(self, bake: Bake) -> None:
        """Build the image of a bake, and compare its labels."""
        image = f"fuzzed-{bake.answers['project_slug']}"
        bake.make("docker", IMAGE=image)
        label = config(image)["Labels"]
        docker("image", "rm", image)
        prefix = "org.opencontainers.image."
        read = {name: label[prefix + name] for name in ("title", "description", "authors")}
        assert read == {
            "title": bake.answers["project_slug"],
            "description": bake.answers["description"],
            "authors": f"{bake.answers['author_name']} <{bake.answers['author_email']}>",
        }
        self.built += 1

    def report(self) -> str:
        """Return the counts in a few lines."""
        fields = ", ".join(f"{name} {count}" for name, count in self.refused.most_common())
        return (
            f"refused {self.refused.total()}: {fields}\n"
            f"accepted {self.accepted}\n"
            f"images built {self.built}"
        )


@given(answers().filter(lambda answers: answers.good))
@settings(max_examples=10, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_argument_is_a_template(tmp_path_factory: pytest.TempPathFactory, answers: Answers) -> None:
    folder = tmp_path_factory.mktemp("arguments")
    subprocess.run(["git", "init", "--quiet", str(folder)], check=True)
    arguments = {
        name: value if name in CHOICES else f"{{{{ {quoted(value)} }}}}"
        for name, value in answers.given.items()
    }
    typed = bake_here(folder / "typed", answers.given)
    given = bake_here(folder / "given", {}, arguments)
    assert typed.files() == given.files()
    assert all(typed.read(name) == given.read(name) for name in typed.files())


@pytest.mark.slow
def test_any_answers_are_refused_or_make_a_service(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # in a repository, where no service gets one of its own
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    run = Run(tmp_path, images=LONG and engine_answers())

    @given(answers())
    @settings(
        max_examples=BATCH,
        deadline=None,
        derandomize=not LONG,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    def example(answers: Answers) -> None:
        run.add(answers)

    for _ in range(0, EXAMPLES, BATCH):
        example()
        run.check()
    with capsys.disabled():
        print(f"\n{run.report()}")
