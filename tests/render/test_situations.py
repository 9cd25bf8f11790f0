"""Where a service cannot be made, nothing is overwritten, and what was made is removed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support import TEMPLATE, cookiecutter


@pytest.mark.parametrize("answer", ["author_email=team@example.com", "author_email=bad"])
def test_existing_folder_is_not_touched(tmp_path: Path, answer: str) -> None:
    kept = tmp_path / "out" / "falcon-service" / "kept"
    kept.parent.mkdir(parents=True)
    kept.write_text("kept")
    result = cookiecutter(tmp_path / "out", "--no-input", str(TEMPLATE), answer)
    assert result.returncode == 1
    assert "Traceback" not in result.stdout + result.stderr
    assert [path.name for path in kept.parent.iterdir()] == ["kept"]


def test_modes_in_an_existing_repository_are_kept(tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = ("--no-input", "--overwrite-if-exists", str(TEMPLATE))
    assert cookiecutter(out, *command).returncode == 0
    secret = out / "falcon-service" / ".env"
    secret.touch(mode=0o600)
    assert cookiecutter(out, *command).returncode == 0
    assert secret.stat().st_mode & 0o777 == 0o600


def test_files_of_the_owner_among_those_of_the_template_are_kept(tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = ("--no-input", "--overwrite-if-exists", str(TEMPLATE))
    assert cookiecutter(out, *command).returncode == 0
    owned = [out / "falcon-service" / ".github" / name for name in ("owners", "workflows/own.yaml")]
    for path in owned:
        path.write_text("kept")
    assert cookiecutter(out, *command).returncode == 0
    assert [path.read_text() for path in owned] == ["kept", "kept"]


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.symlink_to("/sys/fs")  # where not even root can make a folder
    result = cookiecutter(out, "--no-input", str(TEMPLATE))
    assert result.returncode == 1
    assert f"Unable to create directory at {out}/falcon-service" in result.stderr


def test_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.write_text("kept")
    result = cookiecutter(out, "--no-input", str(TEMPLATE))
    assert result.returncode == 1
    assert f"Not a directory: '{out}/falcon-service'" in result.stderr
    assert out.read_text() == "kept"


@pytest.mark.parametrize("text", ["100 {% off", "{{ 7", "{# note", "{{ 1 / 0 }}"])
def test_answer_on_the_command_line_that_is_a_broken_template(tmp_path: Path, text: str) -> None:
    out = tmp_path / "out"
    result = cookiecutter(out, "--no-input", str(TEMPLATE), f"description={text}")
    assert result.returncode == 1
    assert not out.exists()


def test_interrupted_prompt(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "cookiecutter", "--output-dir", str(tmp_path), str(TEMPLATE)]
    with subprocess.Popen(
        command,
        env=os.environ | {"PYTHONUNBUFFERED": "1", "HOME": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write("My Service\n")
        process.stdin.flush()
        while not process.stdout.readline().startswith("  [1/"):
            pass
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert errors.strip() == "Aborted!"
    assert process.returncode == 1
    assert not (tmp_path / "my-service").exists()
