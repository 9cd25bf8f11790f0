"""Every choice of every prompt makes a project that is clean as rendered."""

import ast
import json
import re
import sys
import tomllib
from collections.abc import Callable
from itertools import product
from pathlib import PurePath

import pytest
import yaml
from allpairspy import AllPairs
from conftest import BakeFunction
from support import ARTICLE_DEPENDENCY, CHOICES, Bake

from template_extensions import MAX_SLUG_LENGTH

DEPENDENCIES = [
    "",
    ARTICLE_DEPENDENCY,
    "git+ssh://git@github.com/org/repo.git@v1#egg=thing",
    "thing @ https://github.com/org/repo/archive/refs/tags/v1.zip",
]
REPOSITORIES = [
    "https://github.com/Example/falcon-service",
    "https://gitlab.com/Example/group/falcon_service",
    "https://gitlab.example.com/example/falcon-service",
    "https://git.example.com:8443/example/falcon-service",
]
AXES = CHOICES | {"github_dependency": DEPENDENCIES, "repository_url": REPOSITORIES}
COMBINATIONS = [dict(zip(AXES, values, strict=True)) for values in AllPairs(list(AXES.values()))]

FILES = {
    ".dockerignore",
    ".editorconfig",
    ".gitignore",
    ".grype.yaml",
    ".hadolint.yaml",
    ".pre-commit-config.yaml",
    "AGENTS.md",
    "CHANGELOG.md",
    "Dockerfile",
    "LICENSE",
    "Makefile",
    "README.md",
    "compose.dev.yaml",
    "compose.yaml",
    "deploy/autoscaler.yaml",
    "deploy/budget.yaml",
    "deploy/deployment.yaml",
    "deploy/kustomization.yaml",
    "deploy/monitoring/dashboard.json",
    "deploy/monitoring/kustomization.yaml",
    "deploy/monitoring/podmonitor.yaml",
    "deploy/monitoring/rules.yaml",
    "deploy/network.yaml",
    "deploy/service.yaml",
    "dev.py",
    "docker-bake.hcl",
    "docker/trim_stdlib.py",
    "gunicorn.conf.py",
    "openapi.json",
    "pyproject.toml",
    "renovate.json",
    "src/falcon_service/__init__.py",
    "src/falcon_service/app.py",
    "src/falcon_service/greetings.py",
    "src/falcon_service/hello.py",
    "src/falcon_service/serving/__init__.py",
    "src/falcon_service/serving/access.py",
    "src/falcon_service/serving/application.py",
    "src/falcon_service/serving/body.py",
    "src/falcon_service/serving/capacity.py",
    "src/falcon_service/serving/context.py",
    "src/falcon_service/serving/healthcheck.py",
    "src/falcon_service/serving/interface.py",
    "src/falcon_service/serving/listening.py",
    "src/falcon_service/serving/logs.py",
    "src/falcon_service/serving/metrics.py",
    "src/falcon_service/serving/middleware.py",
    "src/falcon_service/serving/openapi.py",
    "src/falcon_service/serving/problems.py",
    "src/falcon_service/serving/settings.py",
    "src/falcon_service/serving/stopping.py",
    "src/falcon_service/serving/tracing.py",
    "src/falcon_service/serving/worker.py",
    "src/falcon_service/settings.py",
    "tests/serving/conftest.py",
    "tests/serving/test_application.py",
    "tests/serving/test_capacity.py",
    "tests/serving/test_logs.py",
    "tests/serving/test_metrics.py",
    "tests/serving/test_openapi.py",
    "tests/serving/test_rules.py",
    "tests/serving/test_server.py",
    "tests/test_app.py",
    "tests/test_greetings.py",
    "tests/test_settings.py",
}
LOCKS = {"requirements.txt", "requirements-dev.txt"}
# The files that a schema of check-jsonschema is for.
SCHEMAS = {
    "github-workflows": ".github/workflows/*",
    "gitlab-ci": "[.]gitlab*/**/*.yml",
    "renovate": "renovate.json",
}
FORGES = {
    "github": {".github/workflows/ci.yaml", ".github/workflows/release.yaml"},
    "gitlab": {".gitlab-ci.yml", ".gitlab/release.yml"},
}

# What stands in a file for some choices alone; these are the names of sets of them.
BROUGHT: dict[str, dict[str, tuple[str, ...]]] = {
    "alpine": {
        "Dockerfile": ("ARG ROOT=", "apk add --no-cache alpine-baselayout-data", "AS minimal"),
        "Makefile": ("docker minimal release", "\nminimal:"),
        "README.md": ("`make minimal`", "A new Alpine"),
    },
    "alpine wsgi": {
        "Dockerfile": ("-bundle mimalloc2", "lacks Alpine's community", "LD_PRELOAD"),
    },
    "python": {
        "Dockerfile": ("pip uninstall --yes --root-user-action=ignore pip \\\n    && python3 -I",)
    },
    "musl": {
        ".hadolint.yaml": ("# Alpine deletes", "DL3018"),
        "Makefile": ("-unknown-linux-musl",),
        "README.md": ("`APK_REPOSITORIES`", "take `python:3.14-slim`"),
        "docker-bake.hcl": ('variable "APK_REPOSITORIES"', '"apk_repositories"'),
    },
    "glibc": {
        ".hadolint.yaml": ("# Debian deletes", "DL3008"),
        "Makefile": ("-unknown-linux-gnu",),
        "README.md": ("`APT_SOURCES`",),
        "docker-bake.hcl": ('variable "APT_SOURCES"', '"apt_sources"'),
    },
    "full": {"Dockerfile": ("FROM python:3.14-slim AS python\n\nFROM python:3.14 AS build",)},
    "git": {
        "Dockerfile": ("requirements-git.txt", "id=git_config"),
        "Makefile": (
            "NOT_GIT = ",
            "credential.helper",
            "> requirements-git.txt",
            "--requirement requirements-git.txt",
            "--overrides=requirements-git.txt",
        ),
        "README.md": ("`GIT_CONFIG_GLOBAL`", "pins the dependencies from git"),
        "docker-bake.hcl": ('variable "GIT_CONFIG_GLOBAL"', '"git_config"'),
    },
    "ssh": {
        "Dockerfile": ("--mount=type=ssh",),
        "Makefile": ("KNOWN_HOSTS", "--allow=ssh"),
        "README.md": ("`SSH_AUTH_SOCK`",),
        "docker-bake.hcl": ('variable "KNOWN_HOSTS"', '"known_hosts"', "ssh = SSH_AUTH_SOCK"),
    },
    "musl git": {"Dockerfile": ("apk add --no-cache git",)},
    "musl ssh": {"Dockerfile": (" openssh-client-default",)},
    "slim git": {"Dockerfile": ("--no-install-recommends git",)},
    "slim ssh": {"Dockerfile": (" openssh-client \\",)},
    "dependency": {"Makefile": ("\nrequirements.txt:\n", "$${BASES-")},
    "wsgi": {
        "README.md": ("| `THREADS` |", "threads that no slow client takes"),
        "compose.yaml": ("\n      - THREADS\n",),
        "gunicorn.conf.py": ("\nthreads = ", "\npre_request = "),
        "src/falcon_service/settings.py": ("\n    threads: ",),
        "src/falcon_service/serving/worker.py": ("(ThreadWorker)",),
    },
    "asgi": {"src/falcon_service/serving/worker.py": ("(ASGIWorker)",)},
    "proprietary": {"README.md": ("All rights reserved",)},
    "gitlab": {
        "README.md": (
            "`.gitlab-ci.yml`",
            "schedule one for every night",
            "the\nimages of the pipeline",
            "renovate-runner",
            "GitLab builds the image",
        )
    },
    "signed": {"README.md": ("cosign verify registry.gitlab.com/",)},
    "unsigned": {"README.md": ("The image is not signed",)},
    "github": {
        ".pre-commit-config.yaml": ("zizmor",),
        "README.md": (
            "`.github/workflows/ci.yaml`",
            "every night in CI",
            "the\nactions",
            "its app",
        ),
    },
    "github.com": {"README.md": ("gh attestation verify oci://ghcr.io/",)},
    "other": {"README.md": ("On another forge", "`__forge=gitlab`")},
}
# What leads a command of a build through a network: secrets by their IDs, a cache, and SSH.
LEADS = {
    "apk add": {"apk_repositories", "ca"},
    "apt-get": {"apt_sources", "ca"},
    "pip install": {
        *("ca", "cache", "netrc", "pip_config", "pip_index_url", "pip_extra_index_url"),
    },
    "source=requirements-git.txt": {"git_config"},
}
PARSERS: dict[str, Callable[[str], object]] = {
    ".json": json.loads,
    ".py": ast.parse,
    ".toml": tomllib.loads,
    ".yaml": yaml.safe_load,
    ".yml": yaml.safe_load,
}


@pytest.fixture(
    scope="module",
    params=COMBINATIONS,
    ids=lambda answers: "-".join(filter(None, answers.values())),
)
def bake_of_choices(request: pytest.FixtureRequest, bake_session: BakeFunction) -> Bake:
    return bake_session(**request.param)


def assert_hooks_find_nothing(bake: Bake) -> None:
    result = bake.run(sys.executable, "-m", "pre_commit", "run", "--all-files")
    assert result.returncode == 0, result.stdout + result.stderr
    assert bake.run("git", "status", "--porcelain").stdout == ""


def test_combinations_hold_every_choice() -> None:
    for name, values in CHOICES.items():
        assert {combination[name] for combination in COMBINATIONS} == set(values)


def test_files(bake_of_choices: Bake) -> None:
    locked = not bake_of_choices.answers["github_dependency"]
    url = bake_of_choices.answers["repository_url"]
    forge = FORGES["gitlab" if "gitlab." in url else "github"]
    assert bake_of_choices.files() == FILES | forge | (LOCKS if locked else set())
    folders = [it for it in bake_of_choices.path.rglob("*") if it.is_dir()]
    assert all(any(it.iterdir()) for it in folders if ".git" not in it.parts)


def test_host_of_any_name_can_be_a_gitlab(bake: BakeFunction) -> None:
    baked = bake(repository_url=REPOSITORIES[-1], **{"__forge": "gitlab"})
    assert baked.files() == FILES | FORGES["gitlab"] | LOCKS


def test_files_parse_and_hold_no_trace_of_the_template(bake_of_choices: Bake) -> None:
    for name in bake_of_choices.files():
        text = bake_of_choices.read(name)
        parser = PARSERS.get((bake_of_choices.path / name).suffix)
        if parser:
            parser(text)
        # but for the templates of GitHub's workflows and of docker
        assert not re.search(r"(?<!\$)\{\{(?! ?(print|json) \.)|\{%|cookiecutter", text), name
        assert text == text.strip("\n") + "\n" or name == "LICENSE", name
        assert "\n\n\n" not in text or name.endswith(".py") or name == "LICENSE", name


def test_text_of_a_choice_is_there_for_it_alone(bake_of_choices: Bake) -> None:
    answers = bake_of_choices.answers
    base, dependency = answers["base_image"], answers["github_dependency"]
    url = answers["repository_url"]
    made = {
        "gitlab": "gitlab." in url,
        "github": "gitlab." not in url,
        "github.com": "github.com" in url,
        "signed": "gitlab.com" in url,
        "unsigned": "gitlab." in url and "gitlab.com" not in url,
        "other": "git.example.com" in url,
        "alpine": base == "alpine:latest",
        "python": base != "alpine:latest",
        "musl": "alpine" in base,
        "glibc": "alpine" not in base,
        "slim": base.endswith("-slim"),
        "full": base == "python:3.14",
        "dependency": dependency != "",
        "git": "git+" in dependency,
        "ssh": "git+ssh" in dependency,
        "asgi": answers["interface"] == "asgi",
        "wsgi": answers["interface"] == "wsgi",
        "proprietary": answers["license"] == "Proprietary",
    }
    for choices, files in BROUGHT.items():
        wanted = all(made[choice] for choice in choices.split())
        for name, texts in files.items():
            for text in texts:
                assert (text in bake_of_choices.read(name)) == wanted, (name, text)


def test_files_do_not_know_of_the_other_choice_of_interface(bake_of_choices: Bake) -> None:
    # gunicorn has these names for both
    other = {"wsgi": "asgi", "asgi": r"(?<!gunicorn\.http\.)wsgi(?!_app)"}[
        bake_of_choices.answers["interface"]
    ]
    for name in bake_of_choices.files():
        assert not re.search(other, bake_of_choices.read(name), re.IGNORECASE), name


def test_commands_have_the_secrets_of_a_choice(bake_of_choices: Bake) -> None:
    dockerfile = bake_of_choices.read("Dockerfile")
    led = 0
    for run in re.findall(r"^RUN (?:.*\\\n)*.*", dockerfile, re.MULTILINE):
        wanted = set().union(*(leads for words, leads in LEADS.items() if words in run))
        if "git_config" in wanted and "git+ssh" in bake_of_choices.answers["github_dependency"]:
            wanted |= {"known_hosts", "ssh"}
        mounted = re.findall(r"--mount=type=(?:secret,id=(\w+)|(cache|ssh))", run)
        assert {secret or kind for secret, kind in mounted} == wanted, run
        led += bool(wanted)
    assert led >= 1


@pytest.mark.parametrize("interface", CHOICES["interface"])
def test_agents_are_told_of_what_is_there(bake: BakeFunction, interface: str) -> None:
    baked = bake(interface=interface)
    text, makefile = baked.read("AGENTS.md"), baked.read("Makefile")
    assert len(text.splitlines()) <= 25
    names = re.findall(r"`([^`\n]+)`", text)
    targets = {word for name in names if name.startswith("make ") for word in name.split()[1:]}
    files = {name for name in names if "/" in name or re.search(r"\.\w+$", name)}
    assert {"lint", "test", "docker", "lock", "openapi"} == targets
    assert all(f"\n{target}:" in makefile for target in targets)
    assert len(files) >= 10
    package = "src/falcon_service"
    for name in files:
        found = [*baked.path.glob(name), *(baked.path / package).glob(name)]
        assert found, name


def test_hooks_find_nothing(bake_of_choices: Bake) -> None:
    assert_hooks_find_nothing(bake_of_choices)


# The code depends on no other choice.
@pytest.mark.slow
@pytest.mark.parametrize("interface", CHOICES["interface"])
@pytest.mark.parametrize("tool", [("pytest", "-p", "no:cacheprovider"), ("mypy",)])
def test_its_own_tests_and_types_pass(
    bake: BakeFunction, interface: str, tool: tuple[str, ...]
) -> None:
    baked = bake(interface=interface)
    # fixtures of the owner's tests, beside those of tests/serving
    (baked.path / "tests" / "conftest.py").touch()
    result = baked.run(sys.executable, "-m", *tool)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("interface", CHOICES["interface"])
def test_changes_nothing_inside_of_another_module(bake: BakeFunction, interface: str) -> None:
    """Besides, ruff's SLF finds the use of private members."""
    baked = bake(interface=interface)
    for name in baked.files():
        tree = ast.parse(baked.read(name)) if name.endswith(".py") else ast.Module([], [])
        nodes = list(ast.walk(tree))
        imports = [it for it in nodes if isinstance(it, ast.Import | ast.ImportFrom)]
        names = {alias.asname or alias.name for it in imports for alias in it.names}
        for it in imports:
            if isinstance(it, ast.ImportFrom) and not it.level:
                assert not [alias.name for alias in it.names if alias.name.startswith("_")], name
        stored = [it for it in nodes if isinstance(it, ast.Attribute | ast.Subscript)]
        for target in stored:
            if isinstance(target.ctx, ast.Store) and isinstance(target.value, ast.Name):
                text = ast.unparse(target)
                # Python's own hook, which is made to be set
                assert target.value.id not in names or text == "threading.excepthook", name


@pytest.mark.parametrize("url", REPOSITORIES)
def test_configuration_fits_its_schema(bake: BakeFunction, url: str) -> None:
    baked = bake(repository_url=url)
    for schema, pattern in SCHEMAS.items():
        names = [str(path) for path in baked.path.glob(pattern)]
        options = ("--builtin-schema", f"vendor.{schema}", *names)
        if names:
            result = baked.run(sys.executable, "-m", "check_jsonschema", *options)
            assert result.returncode == 0, result.stdout + result.stderr


def test_renovate_can_read_what_is_pinned(bake_of_choices: Bake) -> None:
    images = re.findall(r"^FROM (\S+) AS (\S+)$", bake_of_choices.read("Dockerfile"), re.MULTILINE)
    stages = {stage for _, stage in images}
    bases = {image for image, _ in images} - stages - {"scratch", "${ROOT}"}
    name = bake_of_choices.answers["base_image"]
    assert bases == ({name, f"{name}-slim"} if name == "python:3.14" else {name})
    renovate = json.loads(bake_of_choices.read("renovate.json"))
    [pattern] = renovate["pip-compile"]["managerFilePatterns"]
    for lock in LOCKS & bake_of_choices.files():
        assert re.search(pattern.strip("/"), lock)
        # Renovate runs this command, and takes no value without "="
        header = bake_of_choices.read(lock).splitlines()[1]
        options = r"( --(output-file|constraints|group|no-emit-package)=\S+)+"
        assert re.fullmatch(rf"#    uv pip compile{options} pyproject\.toml", header)


@pytest.mark.slow
def test_longest_and_shortest_names_keep_the_format(bake: BakeFunction) -> None:
    for slug, interface in product(("x" * MAX_SLUG_LENGTH, "x"), CHOICES["interface"]):
        assert_hooks_find_nothing(bake(project_slug=slug, interface=interface))


def test_dependency_is_written_as_pep_508(bake: BakeFunction) -> None:
    for reference, written in {
        ARTICLE_DEPENDENCY: ARTICLE_DEPENDENCY,
        "git+ssh://git@github.com/org/repo.git#egg=thing[fast]": (
            "thing[fast] @ git+ssh://git@github.com/org/repo.git#egg=thing[fast]"
        ),
        "a@git+https://github.com/o/r.git ;python_version>'3'": (
            "a @ git+https://github.com/o/r.git ; python_version>'3'"
        ),
    }.items():
        project = tomllib.loads(bake(github_dependency=reference).read("pyproject.toml"))["project"]
        assert project["dependencies"][-1] == written


def test_license_is_the_one_chosen(bake: BakeFunction) -> None:
    titles = {"Apache-2.0": "Apache License", "Proprietary": "All rights reserved"}
    for name in CHOICES["license"]:
        baked = bake(license=name, author_name="Jane Doe")
        assert titles.get(name, name.split("-")[0]) in baked.read("LICENSE")
        project = tomllib.loads(baked.read("pyproject.toml"))["project"]
        assert project["license"] == ("LicenseRef-Proprietary" if name == "Proprietary" else name)
        assert name == "Apache-2.0" or "Copyright (c) Jane Doe\n" in baked.read("LICENSE")


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(name for name in FILES if name.startswith("tests/")))
def test_package_may_be_called_like_one_of_its_tests(bake: BakeFunction, name: str) -> None:
    baked = bake(project_slug=PurePath(name).stem.replace("_", "-"))
    result = baked.run(sys.executable, "-m", "pytest", "--collect-only")
    assert result.returncode == 0, result.stdout + result.stderr
