"""Where a service cannot be made, one line says so, and nothing is left behind or overwritten."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import cookiecutter as cookiecutter_package
import pytest
from support import TEMPLATE, cookiecutter

# Makes a service, and prints what is left in the output folder.
MAKE = "python3 -m cookiecutter --no-input -o /out /template; code=$?; ls -A /out; exit $code"


def assert_one_line(result: subprocess.CompletedProcess[str], line: str) -> None:
    assert re.fullmatch(f"{line}\n", result.stderr), result.stderr
    assert result.stdout == ""
    assert result.returncode == 1


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.symlink_to("/sys/fs")  # where not even root can make a folder
    result = cookiecutter(out, "--no-input", str(TEMPLATE))
    assert_one_line(result, rf"Nothing is made: \[Errno \d+\] .*: '{out}/falcon-service'")


def test_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.write_text("kept")
    result = cookiecutter(out, "--no-input", str(TEMPLATE))
    assert_one_line(result, rf"Nothing is made: .* Not a directory: '{out}/falcon-service'")
    assert out.read_text() == "kept"


def test_file_that_cannot_be_finished(tmp_path: Path) -> None:
    out = tmp_path / "out"
    kept = out / "kept"
    kept.mkdir(parents=True)
    limit = ("sh", "-c", 'ulimit -f 8 && "$@"', "sh")
    result = cookiecutter(out, "--no-input", str(TEMPLATE), under=limit)
    assert_one_line(result, r"Nothing is made: \[Errno 27\] File too large")
    assert list(out.iterdir()) == [kept]


@pytest.mark.image
def test_full_disk(tools: str) -> None:
    options = (
        "--tmpfs=/out:size=100k",
        f"--volume={TEMPLATE}:/template:ro",
        f"--volume={Path(cookiecutter_package.__file__).parents[1]}:/packages:ro",
        "--env=PYTHONPATH=/packages",
    )
    command = ["docker", "run", "--rm", *options, tools, "sh", "-c", MAKE]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert_one_line(result, r"Nothing is made: \[Errno 28\] No space left on device")


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
        process.stdin.write("My Service\n")
        process.stdin.flush()
        while not process.stdout.readline().startswith("  [1/"):
            pass
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert errors.strip() == "Aborted!"
    assert process.returncode == 1
    assert not (tmp_path / "my-service").exists()


def test_answer_in_another_encoding(tmp_path: Path) -> None:
    result = cookiecutter(
        tmp_path / "out",
        str(TEMPLATE),
        typed="Caf\udce9\n",
        PYTHONIOENCODING="utf-8:strict",
    )
    assert re.search(r"project_name cannot be read: 'utf-8' codec .*\n$", result.stderr)
    assert result.stderr.count("\n") == 1
    assert result.returncode == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("100 {% off", "Encountered unknown tag 'off'."),
        ("{{ 7", "unexpected end of template, expected 'end of print statement'."),
        ("{# note", "Missing end of comment tag"),
        ("{{ 1 / 0 }}", "division by zero"),
    ],
)
def test_answer_on_the_command_line_that_is_a_broken_template(
    tmp_path: Path, text: str, reason: str
) -> None:
    out = tmp_path / "out"
    result = cookiecutter(out, "--no-input", str(TEMPLATE), f"description={text}")
    assert_one_line(result, re.escape(f'description "{text}" cannot be rendered: {reason}'))
    assert not out.exists()
