"""`cruft update` brings a service to the next release, and keeps its owners' changes."""

import subprocess
import sys
from pathlib import Path

import pytest
from support import CRUFT, TEMPLATE, Bake, commit, copy_template, git

PROJECT = "{{cookiecutter.project_slug}}"


def append(path: Path, text: str) -> None:
    path.write_text(path.read_text("utf-8") + text, "utf-8")


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert text.count(old) == 1, f"{path} must have {old!r} once"
    path.write_text(text.replace(old, new), "utf-8")


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


def update(service: Bake) -> set[str]:
    """Update to the second release, and return the files that have conflicts."""
    result = service.run(*CRUFT, "update", "--skip-apply-ask", "--checkout", "v2")
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
