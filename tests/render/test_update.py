"""`cruft update` brings a service to the next release, and keeps its owners' changes."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from support import CRUFT, PROMPTS, TEMPLATE, Bake, append, commit, copy_template, git, replace

PROJECT = "{{cookiecutter.project_slug}}"


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a repository of the template with two releases.

    v1 is the newest release of the template, or the template as it is if there is none. v2 is the
    template as it is with one more change, by a filter that v1 does not have.
    """
    folder = tmp_path_factory.mktemp("releases") / "template"
    tags = git(TEMPLATE, "tag", "--list", "v*", "--sort=-v:refname").split()
    if tags:
        git(TEMPLATE, "clone", "--quiet", "--no-tags", "--branch", tags[0], ".", str(folder))
        git(folder, "tag", "v1")
        git(folder, "rm", "-r", "--quiet", ".")
        copy_template(folder)
    else:
        copy_template(folder)
        commit(folder, "v1")
    project = folder / PROJECT
    replace(folder / "template_extensions.py", "functions = (", "functions = (str.swapcase, ")
    append(project / "README.md", '\n## {{ "news" | swapcase }}\n\nThe second release.\n')
    replace(project / ".editorconfig", "root = true\n", "# The second release.\nroot = true\n")
    (project / "NEWS.md").write_text("The second release.\n")
    commit(folder, "v2")
    return folder


@pytest.fixture
def service(releases: Path, tmp_path: Path) -> Bake:
    """Return a service of the first release, in a repository."""
    create = [*CRUFT, "create", "--no-input", "--checkout", "v1", str(releases)]
    subprocess.run(create, cwd=tmp_path, check=True)
    folder = tmp_path / "falcon-service"
    commit(folder, "v1")
    return Bake(folder, {})


def update(service: Bake, *options: str) -> set[str]:
    """Update to the second release, and return the files that have conflicts."""
    result = service.run(*CRUFT, "update", "--skip-apply-ask", "--checkout", "v2", *options)
    assert result.returncode == 0, result.stdout + result.stderr
    assert (service.path / "NEWS.md").exists()
    assert not list(service.path.rglob("*.rej"))
    return set(git(service.path, "diff", "--name-only", "--diff-filter=U").split())


def test_edits_stay_and_news_come(service: Bake) -> None:
    replace(service.path / "README.md", "# Falcon Service\n", "# Falcon Service, ours\n")
    (module,) = service.path.glob("src/*/__init__.py")
    append(module, "\nOURS = True\n")
    (service.path / "ours.txt").write_text("ours\n")
    (service.path / "compose.dev.yaml").unlink()
    commit(service.path, "ours")
    assert update(service) == set()
    readme = service.read("README.md")
    assert readme.startswith("# Falcon Service, ours\n")
    assert readme.endswith("\n## NEWS\n\nThe second release.\n")
    assert service.read(".editorconfig").startswith("# The second release.\n")
    assert module.read_text().endswith("\nOURS = True\n")
    assert service.read("ours.txt") == "ours\n"
    assert not (service.path / "compose.dev.yaml").exists()
    tests = service.run(sys.executable, "-m", "pytest", "-p", "no:cacheprovider")
    assert tests.returncode == 0, tests.stdout
    git(service.path, "add", "--all")
    hooks = service.run(sys.executable, "-m", "pre_commit", "run", "--all-files")
    assert hooks.returncode == 0, hooks.stdout


def test_both_edits_of_a_line_are_shown(service: Bake) -> None:
    replace(service.path / ".editorconfig", "root = true\n", "root = false\n")
    commit(service.path, "ours")
    assert update(service) == {".editorconfig"}
    assert service.read(".editorconfig").startswith(
        "<<<<<<< ours\nroot = false\n=======\n# The second release.\nroot = true\n>>>>>>> theirs\n"
    )


@pytest.fixture
def service_of_an_organization(tmp_path: Path) -> Bake:
    """Return a service of a release that asked for an organization on GitHub, and of no URL."""
    template = tmp_path / "template"
    copy_template(template)
    prompts, project = template / "cookiecutter.json", template / PROJECT
    for path in (prompts, *(path for path in project.rglob("*") if path.is_file())):
        text = path.read_text("utf-8")
        path.write_text(text.replace("cookiecutter.repository_url", "cookiecutter.__url"), "utf-8")
    url = (
        "https://github.com/{{ cookiecutter.github_organization }}/{{ cookiecutter.project_slug }}"
    )
    default = PROMPTS["repository_url"]
    asked = f'"github_organization": "example",\n  "__url": "{url}"'
    replace(prompts, f'"repository_url": "{default}"', asked)
    replace(prompts, '  "__check_repository_url": "{{ cookiecutter | refuse_bad_answers }}",\n', "")
    (project / ".github").mkdir()
    (project / "renovate.json").rename(project / ".github" / "renovate.json")
    commit(template, "v1")
    git(template, "rm", "-r", "--quiet", ".")
    copy_template(template)
    (project / "NEWS.md").write_text("The second release.\n")
    commit(template, "v2")
    answer = json.dumps({"github_organization": "acme"})
    create = ("create", "--no-input", "--checkout", "v1", "--extra-context", answer, str(template))
    subprocess.run([*CRUFT, *create], cwd=tmp_path, check=True)
    commit(tmp_path / "falcon-service", "v1")
    return Bake(tmp_path / "falcon-service", {})


def test_organization_becomes_a_url(service_of_an_organization: Bake) -> None:
    service = service_of_an_organization
    files = service.files()
    append(service.path / ".github" / "workflows" / "ci.yaml", "# ours\n")
    replace(service.path / ".github" / "renovate.json", "{\n", '{\n  "timezone": "UTC",\n')
    commit(service.path, "ours")
    # as the documentation says
    [options] = re.findall(
        r"^pipx run cruft update (--variables.*)$",
        (TEMPLATE / "README.md").read_text(),
        re.MULTILINE,
    )
    assert update(service, *shlex.split(options)) == set()
    assert service.files() - files == {"NEWS.md", "renovate.json"}
    assert files - service.files() == {".github/renovate.json"}
    assert service.read(".github/workflows/ci.yaml").endswith("# ours\n")
    assert json.loads(service.read("renovate.json"))["timezone"] == "UTC"
    url = "https://github.com/acme/falcon-service"
    for name in ("docker-bake.hcl", "pyproject.toml"):
        assert f'"{url}"' in service.read(name)
    for name in ("README.md", "deploy/kustomization.yaml"):
        assert "ghcr.io/acme/falcon-service" in service.read(name)
    answers = json.loads(service.read(".cruft.json"))["context"]["cookiecutter"]
    assert answers["repository_url"] == url
    assert "github_organization" not in answers
