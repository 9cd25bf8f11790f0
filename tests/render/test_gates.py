"""`make version` and `make audit` stop what must not be released."""

import os
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest
from conftest import BakeFunction
from servers import Osv
from support import Bake, append, replace

pytestmark = pytest.mark.slow

ALIAS = "GHSA-aaaa-bbbb-cccc"


@pytest.fixture(scope="module")
def installed(bake_session: BakeFunction) -> Bake:
    baked = bake_session()
    baked.make(".venv/installed")
    return baked


@pytest.fixture
def baked(installed: Bake) -> Iterator[Bake]:
    yield installed
    installed.run("git", "checkout", "--quiet", ".")


def acknowledge(baked: Bake, note: str) -> None:
    """Acknowledge a vulnerability, with a note after its name."""
    entry = f"ignore:\n  - vulnerability: {ALIAS}{note}\n"
    replace(baked.path / ".grype.yaml", "ignore: []\n", entry)


def audit(baked: Bake, osv: Osv) -> tuple[bool, str]:
    """Return whether `make audit` succeeds, and what it prints."""
    result = baked.run("make", "audit", **osv.environment)
    return result.returncode == 0, result.stdout + result.stderr


def test_lock_without_a_vulnerability(baked: Bake, osv: Osv) -> None:
    passes, printed = audit(baked, osv)
    assert passes, printed
    # the service's own, and those of its tools
    assert {"falcon", "gunicorn", "mypy"} <= osv.asked


@pytest.mark.parametrize("package", ["gunicorn", "mypy"])
def test_lock_with_a_vulnerability(baked: Bake, osv: Osv, package: str) -> None:
    osv.know(package, "PYSEC-2026-1", ALIAS)
    passes, printed = audit(baked, osv)
    assert not passes
    assert "PYSEC-2026-1" in printed


@pytest.mark.parametrize("days", [0, 100])
def test_vulnerability_that_is_acknowledged(baked: Bake, osv: Osv, days: int) -> None:
    osv.know("gunicorn", "PYSEC-2026-1", ALIAS)
    acknowledge(baked, f" # {date.today() + timedelta(days)}: it takes no such request")
    passes, printed = audit(baked, osv)
    assert passes, printed


@pytest.mark.parametrize(
    "note",
    [f" # {date.today() - timedelta(1)}: it takes no such request", ""],
    ids=["past", "missing"],
)
def test_acknowledgement_without_a_date_to_come(baked: Bake, osv: Osv, note: str) -> None:
    acknowledge(baked, note)
    passes, printed = audit(baked, osv)
    assert not passes
    assert f".grype.yaml: the date of {ALIAS} is past, or missing\n" in printed


def test_example_of_an_acknowledgement_is_none(baked: Bake, osv: Osv) -> None:
    osv.know("gunicorn", "GHSA-xxxx-xxxx-xxxx")
    assert "#   - vulnerability: GHSA-xxxx-xxxx-xxxx # 20" in baked.read(".grype.yaml")
    passes, printed = audit(baked, osv)
    assert not passes, printed


def test_another_vulnerability_than_the_acknowledged(baked: Bake, osv: Osv) -> None:
    osv.know("gunicorn", "PYSEC-2026-1", "GHSA-aaaa-bbbb-dddd")
    acknowledge(baked, f" # {date.today()}: it takes no such request")
    assert not audit(baked, osv)[0]


def test_dependency_from_a_url_is_left_out(baked: Bake, osv: Osv) -> None:
    hashed = f"    --hash=sha256:{'0' * 64}"
    append(
        baked.path / "requirements-dev.txt",
        f"thing @ https://example.com/thing.zip \\\n{hashed} \\\n{hashed}\nlast==1 \\\n{hashed}\n",
    )
    # it need not be installed
    newer = (baked.path / "requirements-dev.txt").stat().st_mtime + 1
    os.utime(baked.path / ".venv" / "installed", (newer, newer))
    passes, printed = audit(baked, osv)
    assert passes, printed
    assert "last" in osv.asked
    assert "thing" not in osv.asked


def test_what_cannot_be_asked_is_no_success(baked: Bake, osv: Osv) -> None:
    osv.environment["PIP_AUDIT_OSV_URL"] = "http://127.0.0.1:9/"
    assert not audit(baked, osv)[0]


def release(folder: Path, version: str, changes: str) -> None:
    """Write a version and the changes into the files that name them."""
    replace(folder / "pyproject.toml", 'version = "0.1.0"', f'version = "{version}"')
    (folder / "CHANGELOG.md").write_text(changes, "utf-8")


CHANGES = (
    "# Changelog\n\n## [Unreleased]\n\n## [1.10.0] - 2026-11-25\n\n- A.\n\n## [1.9.0] - 2026\n"
)


@pytest.mark.parametrize(
    "tag", ["v1.10.0", "v1.9.0", "v1.1", "1.10.0", "v1.10.0 ", "", "v$(shell id)"]
)
def test_tag(baked: Bake, tag: str) -> None:
    release(baked.path, "1.10.0", CHANGES)
    result = baked.run("make", "--silent", "version", TAG=tag)
    assert (result.returncode == 0) == (tag == "v1.10.0")
    wanted = f"The tag is {tag}, the version in pyproject.toml 1.10.0, and the newest in "
    said = result.stderr.splitlines()[:1]
    assert said == ([] if tag == "v1.10.0" else [f"{wanted}CHANGELOG.md 1.10.0."])


@pytest.mark.parametrize(("version", "newest"), [("1.9.0", "1.10.0"), ("0.1.0", "none")])
def test_changes_of_another_release(baked: Bake, version: str, newest: str) -> None:
    release(baked.path, version, CHANGES if newest == "1.10.0" else baked.read("CHANGELOG.md"))
    result = baked.run("make", "--silent", "version", TAG=f"v{version}")
    assert result.returncode
    assert result.stderr.startswith(
        f"The tag is v{version}, the version in pyproject.toml {version}, "
        f"and the newest in CHANGELOG.md {newest}.\n"
    )
