"""The last hook commits the project where it can, and says what to run where it cannot."""

import subprocess
from pathlib import Path

import pytest
from support import TEMPLATE, Bake, cookiecutter

NEXT = (
    "Next:\n"
    "    cd falcon-service\n"
    "    make docker    # build the image\n"
    "    make run       # or serve without Docker, on http://127.0.0.1:8000\n"
)


def test_first_commit(tmp_path: Path) -> None:
    result = cookiecutter(tmp_path / "out", "--no-input", str(TEMPLATE))
    baked = Bake(tmp_path / "out" / "falcon-service", {})
    assert result.stdout == NEXT
    assert baked.run("git", "log", "--format=%D %s").stdout == (
        "HEAD -> main chore: start the service\n"
    )
    assert baked.run("git", "status", "--porcelain").stdout == ""


def test_without_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AUTHOR_NAME", "AUTHOR_EMAIL", "COMMITTER_NAME", "COMMITTER_EMAIL"):
        monkeypatch.delenv(f"GIT_{name}")
    config = tmp_path / "gitconfig"
    config.write_text("[user]\n\tuseConfigOnly = true\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    result = cookiecutter(tmp_path / "out", "--no-input", str(TEMPLATE))
    assert result.returncode == 0
    assert result.stdout.startswith('Not committed: "git commit" failed. Once git is set up, run:')
    assert result.stdout.endswith(NEXT)
    assert not (tmp_path / "out" / "falcon-service" / ".git").exists()


def test_what_is_printed_commits_later(tmp_path: Path) -> None:
    result = cookiecutter(tmp_path / "out", "--no-input", str(TEMPLATE), PATH=str(tmp_path))
    baked = Bake(tmp_path / "out" / "falcon-service", {})
    assert baked.run("sh", "-c", result.stdout.splitlines()[1]).returncode == 0
    assert baked.run("git", "log", "--format=%D %s").stdout == (
        "HEAD -> main chore: start the service\n"
    )


def test_without_git(tmp_path: Path) -> None:
    result = cookiecutter(tmp_path / "out", "--no-input", str(TEMPLATE), PATH=str(tmp_path))
    assert result.returncode == 0
    assert result.stdout.startswith('Not committed: "git init" failed. Once git is set up, run:')
    assert (tmp_path / "out" / "falcon-service" / "Dockerfile").exists()


def test_inside_a_repository(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    result = cookiecutter(tmp_path / "out", "--no-input", str(TEMPLATE))
    assert result.stdout == NEXT
    assert not (tmp_path / "out" / "falcon-service" / ".git").exists()
