"""The tag, the version and the changelog of a release agree, or one line says how they differ."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from support import TEMPLATE

CHANGES = "# Changelog\n\n## [Unreleased]\n{}\n## [1.2.0] - 2026-11-24\n\n### Added\n\n- This.\n"


def check(folder: Path, tag: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(TEMPLATE / "tools" / "check-release"), tag]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("tag", "version", "changes", "line"),
    [
        ("v1.2.0", "1.2.0", CHANGES, ""),
        ("1.2.0", "1.2.0", CHANGES, "The tag is 1.2.0, and the version in pyproject.toml 1.2.0."),
        ("v1.2.0", "1.1.0", CHANGES, "The tag is v1.2.0, and the version in pyproject.toml 1.1.0."),
        ("v1.3.0", "1.3.0", CHANGES, "CHANGELOG.md must have [1.3.0] - YYYY-MM-DD as its newest"),
        ("v1.2.0", "1.2.0", CHANGES.replace("2026-", ""), "CHANGELOG.md must have [1.2.0] -"),
        ("v1.2.0", "1.2.0", CHANGES.format("\n- Not yet.\n"), "CHANGELOG.md must begin with an"),
        (
            "v1.2.0",
            "1.2.0",
            CHANGES[: CHANGES.index("## [1.2")],
            "CHANGELOG.md must have",
        ),
    ],
)
def test_release(tmp_path: Path, tag: str, version: str, changes: str, line: str) -> None:
    (tmp_path / "pyproject.toml").write_text(f'[project]\nversion = "{version}"\n')
    (tmp_path / "CHANGELOG.md").write_text(changes.replace("{}", ""))
    result = check(tmp_path, tag)
    assert result.returncode == bool(line)
    assert result.stderr.startswith(line)
    assert result.stderr.count("\n") == bool(line)


def test_changelog_has_the_sections_that_a_release_needs() -> None:
    version = tomllib.loads((TEMPLATE / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    changes = (TEMPLATE / "CHANGELOG.md").read_text("utf-8")
    assert "\n## [Unreleased]\n" in changes
    assert check(TEMPLATE, f"v{version}x").stderr.startswith(f"The tag is v{version}x, and")
