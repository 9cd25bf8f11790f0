"""`make wheels` tells which locked dependencies an image would have to compile."""

import threading
from collections.abc import Iterator

import pytest
from conftest import BakeFunction
from servers import FileIndex
from support import Bake

BOTH = "linux/amd64 and linux/arm64"
MUSL = [f"cp313-cp313-musllinux_1_2_{machine}" for machine in ("x86_64", "aarch64")]
GLIBC = [f"cp313-cp313-manylinux_2_28_{machine}" for machine in ("x86_64", "aarch64")]
SOURCE = "it needs a compiler in the build stage"
NOWHERE = f"{SOURCE} unless it is pure Python; no base image avoids that"


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def on_alpine(bake_session: BakeFunction) -> Bake:
    return bake_session()


@pytest.fixture(scope="module")
def on_slim(bake_session: BakeFunction) -> Bake:
    return bake_session(base_image="python:3.13-slim")


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileIndex]:
    """Give an index of made-up files, which pip is configured for."""
    with FileIndex() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("PIP_INDEX_URL", server.address)
        monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
        yield server
        server.shutdown()


def lock(baked: Bake, pins: dict[str, list[str]]) -> None:
    """Write a lock of pins, each with the hashes of its files."""
    lines = (
        "".join([pin, *(f" \\\n    --hash=sha256:{each}" for each in pins[pin])]) for pin in pins
    )
    (baked.path / "requirements.txt").write_text("# a comment\n" + "\n".join(lines) + "\n")


def gate(baked: Bake) -> tuple[int, list[str]]:
    """Give the status of the gate, and the lines that it printed."""
    baked.make(".venv/bin/pip")
    image = baked.answers["base_image"]
    result = baked.run(".venv/bin/python", "docker/check_wheels.py", image, "3.13")
    return result.returncode, (result.stdout + result.stderr).splitlines()


def test_the_rendered_lock_passes(on_alpine: Bake, on_slim: Bake) -> None:
    for baked, libc in ((on_alpine, "musl"), (on_slim, "glibc")):
        printed = baked.make("wheels").splitlines()
        assert printed[-1] == f"Every pin has a wheel for {libc} and Python 3.13 on {BOTH}."


def test_make_looks_for_the_version_of_the_base(on_alpine: Bake, index: FileIndex) -> None:
    files = ("thing-1.0.tar.gz", "thing-1.0-cp314-cp314-linux_x86_64.whl")
    lock(on_alpine, {"thing==1.0": [index.add(name) for name in files]})
    result = on_alpine.run("make", "wheels", BASE_PYTHON="3.14")
    assert result.returncode != 0
    assert f"thing==1.0 has no wheel for musl on linux/arm64: {NOWHERE}" in result.stdout


@pytest.mark.parametrize(
    "tags", [[*MUSL], ["py3-none-any"], ["cp39-abi3-musllinux_1_1_x86_64", MUSL[1]]]
)
def test_wheels_pass(on_alpine: Bake, index: FileIndex, tags: list[str]) -> None:
    hashes = [index.add(f"thing-1.0-{tag}.whl") for tag in tags]
    lock(on_alpine, {"thing==1.0": hashes, "other==2 ; sys_platform == 'win32'": ["0" * 64]})
    assert gate(on_alpine)[0] == 0


@pytest.mark.parametrize(
    ("tags", "line"),
    [
        (GLIBC, f"on {BOTH}: {SOURCE}; python:3.13-slim avoids that"),
        ([MUSL[0], *GLIBC], f"on linux/arm64: {SOURCE}; python:3.13-slim avoids that"),
        (GLIBC[:1], f"on {BOTH}: {NOWHERE}"),
        ([], f"on {BOTH}: {NOWHERE}"),
    ],
)
def test_each_missing_wheel_has_one_line(
    on_alpine: Bake, index: FileIndex, tags: list[str], line: str
) -> None:
    names = ["thing-1.0.tar.gz", *(f"thing-1.0-{tag}.whl" for tag in tags)]
    pure = index.add("pure-2.0-py3-none-any.whl")
    lock(on_alpine, {"pure==2.0": [pure], "thing==1.0": [index.add(name) for name in names]})
    assert gate(on_alpine) == (1, [f"thing==1.0 has no wheel for musl {line}"])


def test_slim_is_sent_to_alpine(on_slim: Bake, index: FileIndex) -> None:
    lock(on_slim, {"thing==1.0": [index.add(f"thing-1.0-{tag}.whl") for tag in MUSL]})
    line = f"thing==1.0 has no wheel for glibc on {BOTH}: {SOURCE}; python:3.13-alpine avoids that"
    assert gate(on_slim) == (1, [line])


def test_a_wheel_that_the_lock_does_not_allow_is_none(on_alpine: Bake, index: FileIndex) -> None:
    lock(on_alpine, {"thing==1.0": [index.add("thing-1.0.tar.gz")]})
    index.add("thing-1.0-py3-none-any.whl")
    assert gate(on_alpine) == (1, [f"thing==1.0 has no wheel for musl on {BOTH}: {NOWHERE}"])


@pytest.mark.usefixtures("index")
def test_an_index_without_the_pin_is_no_missing_wheel(on_alpine: Bake) -> None:
    lock(on_alpine, {"thing==1.0": ["0" * 64]})
    status, lines = gate(on_alpine)
    assert status == 1
    assert lines[0] == "pip finds nothing of thing==1.0 for Python 3.13:"
    assert "has no wheel" not in "".join(lines)


def test_dependencies_from_git_are_named(bake: BakeFunction, index: FileIndex) -> None:
    baked = bake(github_dependency="thing @ git+https://github.com/org/repo.git@v1")
    url = "git+https://github.com/org/repo.git@" + "0" * 40
    lock(baked, {"pure==2.0": [index.add("pure-2.0-py3-none-any.whl")]})
    (baked.path / "requirements-git.txt").write_text(f"thing @ {url}\n")
    status, lines = gate(baked)
    assert status == 0
    assert lines[0] == f"thing is built from source: {url}"
