"""The image builds in the networks that people have, runs hardened, and holds nothing else."""

import json
import os
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from conftest import BakeFunction
from images import (
    HARDENED,
    Container,
    Saved,
    assert_nothing_leaks,
    config,
    docker,
    planned,
    running,
    save,
)
from servers import PrivateIndex, Registry
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
# Both interfaces on both Alpines, each with a shell and without, and one with all that is possible.
IMAGES = [
    f"{interface}:{alpine}{suffix}"
    for interface in CHOICES["interface"]
    for alpine in ("latest", "3.23")
    for suffix in ("", "-minimal")
]
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
    """Return the variables that lead to everything a build can take from outside.

    Each of the files that they name holds the word canary.
    """
    folder = tmp_path_factory.mktemp("secret files, with a comma")
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


@pytest.fixture(scope="module", params=[*IMAGES, "filled:latest"])
def image(request: pytest.FixtureRequest, bake_session: BakeFunction) -> str:
    name: str = request.param
    interface, _, tag = name.partition(":")
    if interface == "filled":
        request.getfixturevalue("filled")
        return name
    alpine, minimal, _ = tag.partition("-minimal")
    baked = bake_session(project_slug=interface, interface=interface)
    dockerfile = baked.path / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text().replace("alpine:latest", f"alpine:{alpine}"))
    baked.make("minimal" if minimal else "docker", IMAGE=f"{interface}:{alpine}")
    return name


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
        names = "getpass.getuser(), grp.getgrgid(os.getgid()).gr_name, Path.home()"
        code = f"import getpass, grp, os\nfrom pathlib import Path\nprint({names})"
        assert container.python(code) == "app app /data"


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


@pytest.mark.usefixtures("plain")
def test_is_unhealthy_when_livez_fails() -> None:
    other = ("python3", "-m", "http.server", "--directory=/data", "8000")
    checks = ("--health-interval=1s", "--health-start-period=0s", "--health-retries=1")
    with running("plain:latest", *checks, command=other) as container:
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
        "Test": ["CMD", "python3", "-m", f"{image.partition(':')[0]}.serving.healthcheck"],
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


def test_allocator_is_there_where_it_pays(image: str) -> None:
    environment = {"LD_PRELOAD=/usr/lib/libmimalloc.so.2", "MIMALLOC_ALLOW_THP=0"}
    is_asgi = image.startswith("asgi")
    assert environment & set(config(image)["Env"]) == (set() if is_asgi else environment)
    code = "print('mimalloc' in open('/proc/self/maps').read())"
    assert docker("run", "--rm", image, "python3", "-c", code) == str(not is_asgi)


def test_every_module_is_compiled(saved: Saved) -> None:
    names = {name for layer in saved.layers.values() for name in layer}
    modules = [name for name in names if re.match(r"(app|opt/venv/lib)/.*\.py$", name)]
    assert modules
    for name in modules:
        folder, _, module = name.removesuffix(".py").rpartition("/")
        assert any(name.startswith(f"{folder}/__pycache__/{module}.cpython-") for name in names)


@pytest.mark.usefixtures("filled")
def test_nothing_leaks(tmp_path: Path) -> None:
    assert_nothing_leaks(save("filled:latest", tmp_path), "filled:latest")


def test_takes_what_is_set_and_no_more(plain: Bake, tmp_path: Path) -> None:
    target = partial(planned, plain, "docker", "default")
    names = ["NETRC", "PIP_CONFIG_FILE", "APK_REPOSITORIES"]
    proxies = {"HTTP_PROXY": "http://a", "https_proxy": "http://b"}
    # what holds no address is empty in the build, too
    indexes = [
        {"id": name.lower(), "env": name} for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL")
    ]
    nothing = dict.fromkeys([*names, "SSL_CERT_FILE", "no_proxy"], "")
    assert target(**nothing)["secret"] == indexes
    assert "platforms" not in target(**nothing)
    assert target(**nothing)["args"].keys() == {"VERSION", "REVISION"}
    given = {name: str(tmp_path / f"a file, of {name}") for name in names}
    for path in given.values():
        Path(path).touch()
    built = target(**nothing | given | proxies)
    assert built["secret"] == [
        {"id": "netrc", "src": given["NETRC"]},
        {"id": "pip_config", "src": given["PIP_CONFIG_FILE"]},
        *indexes,
        {"id": "apk_repositories", "src": given["APK_REPOSITORIES"]},
    ]
    assert proxies.items() <= built["args"].items()
    named = target(**nothing, DOCKER_DEFAULT_PLATFORM="linux/arm64")
    assert named["platforms"] == ["linux/arm64"]


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
    [pinned] = re.findall(r"@([0-9a-f]{40})#", filled.read("requirements-git.txt"))
    assert origin["url"] == "https://github.com/kostyachum/python-markdown-plain-text.git"
    assert origin["vcs_info"]["commit_id"] == pinned


def test_index_with_a_password_in_its_address(
    bake: BakeFunction, private_index: PrivateIndex, tmp_path: Path
) -> None:
    baked = bake(project_slug="indexed")
    lock = baked.path / "requirements.txt"
    # unlike any build before, so that pip runs and not the engine's cache answers
    lock.write_text(lock.read_text() + f"# {tmp_path}\n")
    address = private_index.address_with(private_index.password)
    baked.make("docker", PIP_INDEX_URL=address)
    assert_nothing_leaks(save("indexed:latest", tmp_path), "indexed:latest")
    wrong = private_index.address_with("wrong")
    lock.write_text(lock.read_text() + "# again\n")
    denied = baked.run("make", "docker", PIP_INDEX_URL=wrong)
    assert denied.returncode != 0
    assert "401" in denied.stdout + denied.stderr


def test_change_of_code_rebuilds_no_dependency(plain: Bake) -> None:
    code = plain.path / "src" / "plain" / "hello.py"
    before = code.read_text()
    code.write_text(before.replace('"hi"', '"hello"'))
    printed = plain.make("docker", IMAGE="plain:changed", BUILDKIT_PROGRESS="plain")
    code.write_text(before)
    for command in ("apk add", "pip install", "pip check"):
        step = re.findall(rf"^#(\d+) \[\w+ \d.*RUN .*{command}", printed, re.MULTILINE)[0]
        assert f"#{step} CACHED\n" in printed, command
    with running("plain:changed", *HARDENED) as container:
        container.wait_until("healthy")
        assert container.ask("/") == "200 hello"


def test_build_fails_when_the_lock_lacks_what_a_dependency_requires(bake: BakeFunction) -> None:
    baked = bake(project_slug="stale")
    (pytest_alone,) = re.findall(
        r"^pytest==(?:.*\\\n)+.*\n", baked.read("requirements-dev.txt"), re.M
    )
    with (baked.path / "requirements.txt").open("a") as lock:
        lock.write(pytest_alone)
    result = baked.run("make", "docker", BUILDKIT_PROGRESS="plain")
    assert result.returncode != 0
    assert re.search(r"pytest \S+ requires iniconfig, which is not installed", result.stderr)


def test_build_says_where_the_allocator_comes_from(bake: BakeFunction) -> None:
    baked = bake(project_slug="no-community")
    dockerfile = baked.path / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text().replace("mimalloc2 python3", "absent python3"))
    result = baked.run("make", "docker", BUILDKIT_PROGRESS="plain")
    assert result.returncode != 0
    assert "the mirror lacks Alpine's community packages" in result.stderr


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


@contextmanager
def composed(baked: Bake, **variables: str) -> Iterator[Container]:
    """Run a service by its compose.yaml while the context lasts."""
    up = baked.run("docker", "compose", "up", "--detach", "--wait", **variables)
    try:
        assert up.returncode == 0, up.stderr
        found = baked.run("docker", "compose", "ps", "--quiet", **variables)
        yield Container(found.stdout.strip())
    finally:
        baked.run("docker", "compose", "down", "--volumes", **variables)


def test_compose_runs_it_hardened(plain: Bake) -> None:
    port, metrics = str(free_port()), str(free_port())
    with composed(plain, PORT=port, METRICS_PORT=metrics) as container:
        assert get(f"http://127.0.0.1:{port}/") == (200, "hi")
        status, text = get(f"http://127.0.0.1:{metrics}/metrics")
        assert (status, "http_server_request_duration_seconds" in text) == (200, True)
        host = json.loads(container.inspect("{{json .HostConfig}}"))
        environment = json.loads(container.inspect("{{json .Config.Env}}"))
    of_image = {it for it in config("plain:latest")["Env"] if not it.startswith("PORT=")}
    assert of_image <= set(environment)
    assert host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert host["PidsLimit"] == 4096
    assert host["Memory"] == 256 * 2**20


@pytest.mark.parametrize("interface", CHOICES["interface"])
def test_compose_passes_on_what_the_readme_lists(bake: BakeFunction, interface: str) -> None:
    baked = bake(interface=interface)
    table = baked.read("README.md").partition("## Configure")[2].partition("\n\n##")[0]
    of_image = {"VERSION", "REVISION"}
    names = set(re.findall(r"^\| `([A-Z_]+)` \|", table, re.MULTILINE)) - of_image
    assert {"PORT", "METRICS_PORT", "GUNICORN_CMD_ARGS"} < names
    assert ("THREADS" in names) == (interface == "wsgi")

    def passed(**variables: str) -> dict[str, str | None]:
        printed = baked.run("docker", "compose", "config", "--format=json", **variables)
        [service] = json.loads(printed.stdout)["services"].values()
        found: dict[str, str | None] = service["environment"]
        return found

    unset = {name: value for name, value in passed().items() if value is not None}
    assert unset == {"WEB_CONCURRENCY": "0", "DRAIN_SECONDS": "0"}
    given = {name: str(number) for number, name in enumerate(names, 9100)}
    assert given.items() <= passed(**given).items()
    (baked.path / ".env").write_text("".join(f"{name}={given[name]}\n" for name in names))
    assert given.items() <= passed().items()


def test_compose_deploys_from_a_registry(plain: Bake, registry: Registry, tmp_path: Path) -> None:
    docker("save", "--output", str(tmp_path / "image.tar"), "plain:latest")
    registry.publish_image(tmp_path / "image.tar")
    variables = {"IMAGE": f"{registry.host}/plain:1", "PORT": str(free_port())}
    variables["METRICS_PORT"] = str(free_port())
    pulled = plain.run("docker", "compose", "pull", **variables)
    assert pulled.returncode == 0, pulled.stderr
    try:
        with composed(plain, **variables) as container:
            assert container.inspect("{{.Config.Image}}") == variables["IMAGE"]
            assert container.ask("/") == "200 hi"
    finally:
        docker("image", "rm", variables["IMAGE"])


DEPENDENCIES = {
    "python:3.14-alpine": ARTICLE_DEPENDENCY,
    "python:3.14-slim": ARTICLE_DEPENDENCY.replace("git+https://", "git+ssh://git@"),
}


@pytest.mark.parametrize("base_image", CHOICES["base_image"][1:])
def test_other_bases(bake: BakeFunction, base_image: str, git_config: Path, tmp_path: Path) -> None:
    baked = bake(
        project_slug="other",
        base_image=base_image,
        github_dependency=DEPENDENCIES.get(base_image, ""),
    )
    script = baked.path / "docker" / "trim_stdlib.py"
    script.write_text(f"{script.read_text()}# {tmp_path}\n")
    variables = {"GIT_CONFIG_GLOBAL": str(git_config), "BUILDKIT_PROGRESS": "plain"}
    printed = baked.make("docker", **variables)
    assert re.search(r"^#\d+ \[trimmed \d.*trim_stdlib", printed, re.MULTILINE)
    assert "WARNING" not in printed
    with running("other:latest", *HARDENED) as container:
        found = container.python("import json; print(json.__file__)")
        assert re.search(r"/lib/python3\d+\.zip/json/__init__\.pyc$", found)
    test_runs_hardened_and_without_network("other:latest")
    test_runs_as_its_own_user_who_can_keep_data("other:latest")
    saved = save("other:latest", tmp_path)
    test_layers_hold_nothing_of_the_build(saved)
    assert_nothing_leaks(saved, "other:latest")
    docker("image", "rm", "other:latest")
