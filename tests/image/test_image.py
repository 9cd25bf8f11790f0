"""The image builds in the networks that people have, runs hardened, and holds nothing else."""

import base64
import csv
import hashlib
import json
import os
import posixpath
import re
import ssl
from pathlib import Path

import pytest
from conftest import BakeFunction
from images import HARDENED, Saved, config, docker, running, save
from servers import PrivateIndex
from support import ARTICLE_DEPENDENCY, CHOICES, Bake, free_port, get

pytestmark = [pytest.mark.image, pytest.mark.usefixtures("engine", "network")]

# What belongs to the build alone.
FORBIDDEN = re.compile(
    r"(site|dist)-packages/(pip|setuptools|pkg_resources|_distutils_hack)\b"
    r"|/ensurepip/|\.whl$"
    r"|bin/(git|pip|gcc|cc)[\d.]*$|/git-core/|\.git/"
    r"|requirements[^/]*\.txt$|_history$"
    r"|^root/\.(cache|config|gitconfig|netrc|ssh)|^run/secrets|^tmp/."
)
# Where a distribution packages Python and pip as its own, uninstalling pip leaves these. The
# official python images are built from source and have none of them.
PACKAGED = re.compile(r"/python-wheels/|^usr/bin/pip3\.\d+$|/pip-[\d.]+\.dist-info/INSTALLER$")
TEXT = 'Says "hi" for $HOME, c:\\temp & ünïcödé 🦅'


@pytest.fixture(scope="module")
def plain(bake_session: BakeFunction) -> Bake:
    baked = bake_session(project_slug="plain")
    baked.make("docker")
    return baked


@pytest.fixture(scope="module")
def secrets(
    tmp_path_factory: pytest.TempPathFactory, git_config: Path, private_index: PrivateIndex
) -> dict[str, str]:
    """Give the variables that lead to everything a build can take from outside.

    Each of the files that they name holds the word canary.
    """
    folder = tmp_path_factory.mktemp("secrets")
    bundle = os.environ.get("SSL_CERT_FILE") or ssl.get_default_verify_paths().cafile
    repositories = docker("run", "--rm", "alpine:latest", "cat", "/etc/apk/repositories")
    user, password = private_index.user, private_index.password
    texts = {
        "PIP_CONFIG_FILE": f"# canary\n[global]\nindex-url = {private_index.address}\n",
        "NETRC": f"machine 127.0.0.1 login {user} password {password}\n",
        "SSL_CERT_FILE": f"# canary\n{Path(bundle).read_text()}",
        "APK_REPOSITORIES": f"# canary\n{repositories}\n",
        "GIT_CONFIG_GLOBAL": git_config.read_text(),
    }
    assert all("canary" in text for text in texts.values())
    for name, text in texts.items():
        (folder / name).write_text(text)
    return {name: str(folder / name) for name in texts} | {
        "HTTP_PROXY": "http://canary@127.0.0.1:9",
        "NO_PROXY": "127.0.0.1,localhost",
    }


@pytest.fixture(scope="module")
def filled(bake_session: BakeFunction, secrets: dict[str, str]) -> Bake:
    baked = bake_session(
        project_slug="filled",
        description=TEXT,
        author_name=TEXT,
        github_dependency=ARTICLE_DEPENDENCY,
    )
    baked.make("docker", **secrets)
    return baked


@pytest.fixture(scope="module", params=["plain:latest", "plain:latest-minimal", "filled:latest"])
def image(request: pytest.FixtureRequest) -> str:
    slug, _, tag = request.param.partition(":")
    baked = request.getfixturevalue(slug)
    if tag == "latest-minimal":
        baked.make("minimal")
    return request.param


@pytest.fixture(scope="module")
def saved(image: str, tmp_path_factory: pytest.TempPathFactory) -> Saved:
    return save(image, tmp_path_factory.mktemp("saved"))


def test_runs_hardened_and_without_network(image: str) -> None:
    with running(image, *HARDENED, "--network=none", "--env=DRAIN_SECONDS=0") as container:
        container.wait_until("healthy")
        assert container.ask("/") == "200 hi"
        assert container.ask("/livez") == "200 live"
        assert container.ask("/readyz") == "200 ready"
        status, seconds = container.stop()
        assert status == 0
        assert seconds < 5
        lines = [json.loads(line) for line in container.logs().splitlines()]
        assert {line["level"] for line in lines} == {"info"}, lines


def test_runs_as_its_own_user_who_can_keep_data(image: str) -> None:
    assert config(image)["User"] == "65532:65532"
    assert list(config(image)["Volumes"]) == ["/data"]
    with running(image, "--read-only", "--cap-drop=ALL") as container:
        container.wait_until("healthy")
        container.python("open('/data/kept', 'w').write('kept')")
        assert container.python("import os; print(os.getuid(), os.getgid())") == "65532 65532"


def test_has_a_shell_and_a_package_manager_unless_minimal(image: str) -> None:
    code = "import shutil; print(*filter(shutil.which, ['python3', 'sh', 'busybox', 'apk']))"
    found = docker("run", "--rm", image, "python3", "-c", code)
    assert found == ("python3" if image.endswith("-minimal") else "python3 sh busybox apk")


def test_temporary_files_have_a_place(image: str) -> None:
    code = "import tempfile; tempfile.TemporaryFile()"
    docker("run", "--rm", "--user=54321:12345", image, "python3", "-c", code)


def test_listens_on_port(image: str) -> None:
    port = free_port()
    with running(image, "--env=PORT=9000", f"--publish=127.0.0.1:{port}:9000") as container:
        assert get(f"http://127.0.0.1:{port}/") == (200, "hi")
        container.wait_until("healthy")


def test_is_unhealthy_when_livez_fails(image: str) -> None:
    other = ("python3", "-m", "http.server", "--directory=/data", "8000")
    checks = ("--health-interval=1s", "--health-start-period=0s", "--health-retries=1")
    with running(image, *checks, command=other) as container:
        container.wait_until("unhealthy")


def test_says_how_to_run_it(image: str) -> None:
    facts = config(image)
    assert facts["Cmd"] == ["gunicorn"]
    assert facts["StopSignal"] == "SIGTERM"
    assert sorted(facts["ExposedPorts"]) == ["8000/tcp", "9090/tcp"]
    assert facts["WorkingDir"] == "/app"
    assert {"PORT=8000", "PYTHONUNBUFFERED=1"} <= set(facts["Env"])
    second = 1_000_000_000
    assert facts["Healthcheck"] == {
        "Test": ["CMD", "python3", "/app/healthcheck.py"],
        "Interval": 30 * second,
        "Timeout": 3 * second,
        "StartPeriod": 10 * second,
        "StartInterval": 1 * second,
    }


def test_layers_hold_nothing_of_the_build(saved: Saved) -> None:
    names = [name for layer in saved.layers.values() for name, data in layer.items() if data]
    assert any("/libpython3" in name or "bin/python3." in name for name in names)
    assert any("/falcon/" in name for name in names)
    forbidden = [name for name in names if FORBIDDEN.search(name)]
    assert [name for name in forbidden if not PACKAGED.search(name)] == []


def test_nothing_leaks(saved: Saved, image: str) -> None:
    assert saved.documents
    for name, data in saved.documents.items():
        assert b"canary" not in data, name
    for layer in saved.layers.values():
        for name, data in layer.items():
            assert b"canary" not in (data or b""), name
    assert "canary" not in docker("history", "--no-trunc", image)


def test_every_module_is_compiled(saved: Saved) -> None:
    names = {name for layer in saved.layers.values() for name in layer}
    modules = [name for name in names if re.match(r"(app|opt/venv/lib)/.*\.py$", name)]
    assert modules
    for name in modules:
        folder, _, module = name.removesuffix(".py").rpartition("/")
        assert any(name.startswith(f"{folder}/__pycache__/{module}.cpython-") for name in names)


def test_records_hold_the_hashes_of_stripped_libraries(saved: Saved) -> None:
    files = {name: data for layer in saved.layers.values() for name, data in layer.items()}
    libraries = 0
    for name in [name for name in files if name.endswith(".dist-info/RECORD")]:
        for path, algorithm, size in csv.reader(files[name].decode().splitlines()):
            data = files.get(posixpath.normpath(posixpath.join(name, "../..", path)))
            if data is None or not algorithm:
                continue
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode()
            assert algorithm == f"sha256={digest.rstrip('=')}", path
            assert int(size) == len(data), path
            if data.startswith(b"\x7fELF"):
                libraries += 1
                assert b".debug_info" not in data, path
    assert libraries


def test_is_the_same_when_it_is_built_again(plain: Bake, filled: Bake, secrets: dict) -> None:
    if "containerd.snapshotter" not in docker("info"):
        printed = plain.make("docker")
        assert "This image store keeps the times of the build" in printed
        return
    flags = f"{os.environ['DOCKER_BUILD_FLAGS']} --no-cache"
    for baked, target in ((plain, "docker"), (plain, "minimal"), (filled, "docker")):
        built = []
        for image in ("again:first", "again:second"):
            printed = baked.make(target, IMAGE=image, DOCKER_BUILD_FLAGS=flags, **secrets)
            assert "A new release of pip is available" not in printed
            image += "-minimal" if target == "minimal" else ""
            built.append(docker("image", "inspect", "--format", "{{.Id}} {{.Created}}", image))
        assert built[0] == built[1]


def test_labels_read_back(filled: Bake) -> None:
    labels = config("filled:latest")["Labels"]
    prefix = "org.opencontainers.image."
    assert labels[prefix + "title"] == "filled"
    assert labels[prefix + "description"] == TEXT
    assert labels[prefix + "authors"] == f"{TEXT} <team@example.com>"
    assert labels[prefix + "licenses"] == "MIT"
    assert labels[prefix + "source"] == "https://github.com/example/filled"
    commit = filled.run("git", "rev-parse", "HEAD").stdout.strip()
    assert labels[prefix + "revision"] == commit
    assert labels[prefix + "version"] == commit[:7]
    assert {f"VERSION={commit[:7]}", f"REVISION={commit}"} <= set(config("filled:latest")["Env"])


def test_dependency_from_git_works_without_git(filled: Bake) -> None:
    with running("filled:latest", *HARDENED) as container:
        container.wait_until("healthy")
        container.python("import markdown_plain_text")
        assert container.python("import shutil; print(shutil.which('git'))") == "None"
        origin = json.loads(
            container.python(
                "from importlib.metadata import distribution\n"
                "print(distribution('Plain-Text-Markdown-Extention').read_text('direct_url.json'))"
            )
        )
    pinned = re.search(r"@([0-9a-f]{40})#", filled.read("requirements-git.txt"))[1]
    assert origin["url"] == "https://github.com/kostyachum/python-markdown-plain-text.git"
    assert origin["vcs_info"]["commit_id"] == pinned


def test_index_with_a_password_in_its_address(
    bake: BakeFunction, private_index: PrivateIndex, tmp_path: Path
) -> None:
    baked = bake(project_slug="indexed")
    flags = f"{os.environ['DOCKER_BUILD_FLAGS']} --no-cache-filter=build"
    address = private_index.address_with(private_index.password)
    baked.make("docker", PIP_INDEX_URL=address, DOCKER_BUILD_FLAGS=flags)
    test_nothing_leaks(save("indexed:latest", tmp_path), "indexed:latest")
    wrong = private_index.address_with("wrong")
    denied = baked.run("make", "docker", PIP_INDEX_URL=wrong, DOCKER_BUILD_FLAGS=flags)
    assert denied.returncode != 0
    assert "401" in denied.stdout + denied.stderr


def test_change_of_code_rebuilds_no_dependency(plain: Bake) -> None:
    code = plain.path / "src" / "plain" / "hello.py"
    before = code.read_text()
    code.write_text(before.replace('"hi"', '"hello"'))
    printed = plain.make("docker", IMAGE="plain:changed", BUILDKIT_PROGRESS="plain")
    code.write_text(before)
    for command in ("apk add", "pip install", "finish_venv.py"):
        step = re.search(rf"^#(\d+) \[build \d.*RUN .*{command}", printed, re.MULTILINE)[1]
        assert f"#{step} CACHED\n" in printed, command
    with running("plain:changed", *HARDENED) as container:
        container.wait_until("healthy")
        assert container.ask("/") == "200 hello"


def test_build_fails_when_the_lock_lacks_a_dependency(bake: BakeFunction) -> None:
    baked = bake(project_slug="stale")
    pyproject = baked.path / "pyproject.toml"
    more = '"gunicorn>=27,<28",\n    "iniconfig>=2",'
    pyproject.write_text(pyproject.read_text().replace('"gunicorn>=27,<28",', more))
    result = baked.run("make", "docker", BUILDKIT_PROGRESS="plain")
    assert result.returncode != 0
    line = "the project requires iniconfig>=2, which is not installed: run make lock"
    assert line in result.stderr


def test_build_fails_when_the_lock_has_no_hashes(bake: BakeFunction) -> None:
    baked = bake(project_slug="unhashed")
    lock = baked.path / "requirements.txt"
    lock.write_text(re.sub(r" \\\n    --hash=\S+", "", lock.read_text()))
    assert "--hash" not in lock.read_text()
    result = baked.run("make", "docker", BUILDKIT_PROGRESS="plain")
    assert result.returncode != 0
    assert "Hashes are required in --require-hashes mode" in result.stderr


def test_change_of_the_lock_downloads_only_what_changed(
    bake: BakeFunction, private_index: PrivateIndex, tmp_path: Path
) -> None:
    baked = bake(project_slug="more")
    config = tmp_path / "pip.conf"
    # pip caches what it trusts: https, and http where it is told to
    address = private_index.address_with(private_index.password)
    config.write_text(f"[global]\nindex-url = {address}\ntrusted-host = 127.0.0.1\n")
    lock = baked.path / "requirements.txt"
    for change in ("first", "second"):
        private_index.served.clear()
        # unlike any build before, so that pip runs and not the engine's cache answers
        lock.write_text(lock.read_text() + f"# {tmp_path} {change}\n")
        printed = baked.make("docker", PIP_CONFIG_FILE=str(config), BUILDKIT_PROGRESS="plain")
        assert "Successfully installed falcon-" in printed
    pins = re.findall(r"^[\w-]+==", lock.read_text(), re.MULTILINE)
    assert printed.count("Using cached ") == len(pins)
    assert private_index.served == []


def test_another_user_can_read_what_a_strict_umask_hid(bake: BakeFunction) -> None:
    baked = bake(project_slug="hidden")
    baked.run("chmod", "-R", "go=", ".")
    baked.make("docker")
    with running("hidden:latest", *HARDENED) as container:
        container.wait_until("healthy")


def test_compose_runs_it_hardened(plain: Bake) -> None:
    port = str(free_port())
    plain.run("docker", "compose", "up", "--detach", "--wait", PORT=port)
    try:
        assert get(f"http://127.0.0.1:{port}/") == (200, "hi")
        container = plain.run("docker", "compose", "ps", "--quiet", PORT=port).stdout.strip()
        host = json.loads(docker("inspect", "--format", "{{json .HostConfig}}", container))
    finally:
        plain.run("docker", "compose", "down", "--volumes", PORT=port)
    assert host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert host["PidsLimit"] == 64
    assert host["Memory"] == 256 * 2**20


DEPENDENCIES = {
    "python:3.13-alpine": ARTICLE_DEPENDENCY,
    "python:3.13-slim": ARTICLE_DEPENDENCY.replace("git+https://", "git+ssh://git@"),
}


@pytest.mark.parametrize("base_image", CHOICES["base_image"][1:])
def test_other_bases(bake: BakeFunction, base_image: str, git_config: Path, tmp_path: Path) -> None:
    baked = bake(
        project_slug="other",
        base_image=base_image,
        github_dependency=DEPENDENCIES.get(base_image, ""),
    )
    flags = f"{os.environ['DOCKER_BUILD_FLAGS']} --no-cache-filter=trimmed --progress=plain"
    printed = baked.make("docker", GIT_CONFIG_GLOBAL=str(git_config), DOCKER_BUILD_FLAGS=flags)
    assert re.search(r"^#\d+ \[trimmed \d.*trim_stdlib", printed, re.MULTILINE)
    assert "WARNING" not in printed
    with running("other:latest", *HARDENED) as container:
        assert container.python("import json; print(json.__file__)").endswith(
            "/lib/python313.zip/json/__init__.pyc"
        )
    test_runs_hardened_and_without_network("other:latest")
    saved = save("other:latest", tmp_path)
    test_layers_hold_nothing_of_the_build(saved)
    test_nothing_leaks(saved, "other:latest")
    docker("image", "rm", "other:latest")
