"""The same answers make the same files, wherever, whenever and by whatever they are made."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support import CRUFT, TEMPLATE, commit, cookiecutter, copy_template, git

ANSWERS = ("project_name=Größe & Co", "project_slug=same", 'description=It\'s \\ "the" $same.')
# Sets Python's clocks 400 days ahead.
LATER = """
import datetime, time
AHEAD = 400 * 86400
seconds, nanoseconds, today = time.time, time.time_ns, datetime.datetime
class Later(today):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(time.time(), tz)
    today = now
    @classmethod
    def utcnow(cls):
        return cls.utcfromtimestamp(time.time())
datetime.datetime = Later
time.time = lambda: seconds() + AHEAD
time.time_ns = lambda: nanoseconds() + AHEAD * 10**9
"""

[OLDEST] = re.findall(
    r"cookiecutter (\d+\.\d+\.\d+) or newer", (TEMPLATE / "README.md").read_text("utf-8")
)

Tree = dict[str, tuple[int, bytes | None]]


def environment_with(folder: Path, requirement: str) -> str:
    """Make a virtual environment with a distribution in it, and return its interpreter."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = str(folder / "bin" / "python")
    quiet = ("--quiet", "--disable-pip-version-check")
    subprocess.run([python, "-m", "pip", "install", *quiet, requirement], check=True)
    return python


def tree(folder: Path) -> Tree:
    """Return the mode and bytes of every path of a project outside its repository."""
    return {
        str(path.relative_to(folder)): (
            path.stat().st_mode,
            path.read_bytes() if path.is_file() else None,
        )
        for path in (folder, *folder.rglob("*"))
        if path.relative_to(folder).parts[:1] not in ((".git",), (".cruft.json",))
    }


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    out = tmp_path_factory.mktemp("first") / "out"
    assert cookiecutter(out, "--no-input", str(TEMPLATE), *ANSWERS).returncode == 0
    return tree(out / "same")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository") / "falcon.git"
    copy_template(folder)
    commit(folder, "v1")
    return folder


def assert_same(expected: Tree, out: Path, result: subprocess.CompletedProcess[str]) -> None:
    assert result.returncode == 0, result.stdout + result.stderr
    assert tree(out / "same") == expected


@pytest.mark.parametrize(
    ("umask", "variables"),
    [
        ("000", {}),
        ("077", {}),
        ("022", {"TZ": "Asia/Kathmandu", "LC_ALL": "C.UTF-8"}),
    ],
)
def test_elsewhere(
    expected: Tree, repository: Path, tmp_path: Path, umask: str, variables: dict[str, str]
) -> None:
    under = ("sh", "-c", f'umask {umask}; exec "$@"', "sh")
    clone = tmp_path / "clone"
    subprocess.run([*under, "git", "clone", "--quiet", str(repository), str(clone)], check=True)
    out = tmp_path / "out"
    arguments = ("--no-input", str(clone), *ANSWERS)
    assert_same(expected, out, cookiecutter(out, *arguments, under=under, **variables))


def test_another_day(expected: Tree, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(LATER)
    out = tmp_path / "out"
    arguments = ("--no-input", str(TEMPLATE), *ANSWERS)
    assert_same(expected, out, cookiecutter(out, *arguments, PYTHONPATH=str(tmp_path)))


def test_replay(expected: Tree, tmp_path: Path) -> None:
    first, out = tmp_path / "first", tmp_path / "out"
    assert cookiecutter(first, "--no-input", str(TEMPLATE), *ANSWERS).returncode == 0
    assert_same(expected, out, cookiecutter(out, "--replay", str(TEMPLATE)))


def test_git_url(expected: Tree, repository: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert_same(expected, out, cookiecutter(out, "--no-input", f"file://{repository}", *ANSWERS))


def test_zip(expected: Tree, repository: Path, tmp_path: Path) -> None:
    archive = tmp_path / "falcon.zip"
    git(repository, "archive", "--prefix=falcon/", f"--output={archive}", "v1")
    out = tmp_path / "out"
    assert_same(expected, out, cookiecutter(out, "--no-input", str(archive), *ANSWERS))


def test_cruft(expected: Tree, repository: Path, tmp_path: Path) -> None:
    answers = json.dumps(dict(answer.split("=", 1) for answer in ANSWERS))
    command = [*CRUFT, "create", "--no-input", "--extra-context", answers, str(repository)]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert_same(expected, tmp_path, result)
    assert not (tmp_path / "same" / ".git").exists()


@pytest.fixture(params=[f"=={OLDEST}", ">=2.7,<3"])
def python(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return an interpreter with the oldest or the newest cookiecutter that README.md names."""
    return environment_with(tmp_path / "environment", f"cookiecutter{request.param}")


@pytest.mark.slow
def test_versions(expected: Tree, tmp_path: Path, python: str) -> None:
    out = tmp_path / "out"
    result = cookiecutter(out, "--no-input", str(TEMPLATE), *ANSWERS, python=python)
    assert_same(expected, out, result)


@pytest.mark.slow
def test_older_version_is_refused(tmp_path: Path) -> None:
    python = environment_with(tmp_path / "environment", "cookiecutter==2.1.1")
    out = tmp_path / "out"
    result = cookiecutter(out, "--no-input", str(TEMPLATE), *ANSWERS, python=python)
    assert result.stderr == f"This is cookiecutter 2.1.1: {OLDEST} is needed, or newer.\n"
    assert result.returncode == 1
    assert not out.exists()
