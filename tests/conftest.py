"""Fixtures: a service made from the template, and the servers around it."""

import os
import shlex
import shutil
import subprocess
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
from images import build, engine_answers
from pages import Recipe
from pytest_cookies.plugin import Cookies
from servers import FileIndex, Osv, PrivateGit, PrivateIndex, Registry, serve_git, serving
from services import Service, add_probe
from support import CHOICES, TEMPLATE, Bake

BakeFunction = Callable[..., Bake]
BAKES = pytest.StashKey[list[Bake]]()


def pytest_configure(config: pytest.Config) -> None:
    """Make `cookies` bake this template, wherever pytest was started."""
    config.option.template = str(TEMPLATE)


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name long values by their length: a test's name must fit into an environment variable."""
    if isinstance(val, str | bytes) and len(val) > 100:
        return f"{len(val)}-long"
    return None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tests of a file in one worker if they share an image or an environment."""
    for item in items:
        if any(map(item.get_closest_marker, ("cluster", "image", "slow"))):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Name the services of a failed test, which are kept, and their answers."""
    report = yield
    if report.failed:
        arguments = item.funcargs.values() if isinstance(item, pytest.Function) else ()
        shared = [value for value in arguments if isinstance(value, Bake)]
        for bake in item.stash.get(BAKES, []) + shared:
            report.sections.append((str(bake.path), str(dict(bake.answers))))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the tests have measured."""
    measured = [it for it in terminalreporter.getreports("passed") if it.user_properties]
    if measured:
        terminalreporter.section("measured")
    for report in measured:
        figures = ", ".join(f"{name}: {value}" for name, value in report.user_properties)
        terminalreporter.line(f"{report.nodeid}: {figures}")


@pytest.fixture(scope="session", autouse=True)
def environment() -> Iterator[None]:
    """Set git's identity, and unset what a developer's shell may have set for the service."""
    with pytest.MonkeyPatch.context() as patch:
        for role in ("AUTHOR", "COMMITTER"):
            patch.setenv(f"GIT_{role}_NAME", "Test")
            patch.setenv(f"GIT_{role}_EMAIL", "test@example.com")
        for name in ("IMAGE", "LOG_LEVEL", "MAKEFLAGS", "MAKELEVEL", "PORT", "WEB_CONCURRENCY"):
            patch.delenv(name, raising=False)
        yield


def baker(cookies: Cookies, node: pytest.Item | pytest.Session) -> BakeFunction:
    """Return the function that bakes with the answers it is called with, for a test or many."""

    def bake(**answers: str) -> Bake:
        result = cookies.bake(extra_context=answers)
        assert result.exit_code == 0, f"{answers} failed: {result.exception!r}"
        baked = Bake(result.project_path, result.context)
        node.stash.setdefault(BAKES, []).append(baked)
        return baked

    return bake


@pytest.fixture
def bake(request: pytest.FixtureRequest, cookies: Cookies) -> BakeFunction:
    return baker(cookies, request.node)


@pytest.fixture(scope="session")
def bake_session(request: pytest.FixtureRequest, cookies_session: Cookies) -> BakeFunction:
    return baker(cookies_session, request.node)


@pytest.fixture(scope="session")
def engine() -> None:
    """Skip without a Docker engine, or fail if REQUIRE_ENGINE is set."""
    if not engine_answers():
        reason = "no Docker engine answers `docker info`"
        if os.environ.get("REQUIRE_ENGINE"):
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture
def registry() -> Iterator[Registry]:
    """Yield a registry, which has nothing."""
    with serving(Registry()) as server:
        yield server


@pytest.fixture(scope="session")
def cluster() -> None:
    """Skip without a cluster that KUBECONFIG names, or fail if REQUIRE_CLUSTER is set."""
    reason = "KUBECONFIG names no cluster that answers `kubectl get --raw /readyz`"
    command = ["kubectl", "get", "--raw", "/readyz", "--request-timeout=5s"]
    named = os.environ.get("KUBECONFIG") and shutil.which("kubectl")
    if not named or subprocess.run(command, capture_output=True, check=False).returncode:
        if os.environ.get("REQUIRE_CLUSTER"):
            pytest.fail(reason)
        pytest.skip(reason)


def load_images(*images: str) -> None:
    """Bring images to the nodes, with the command in CLUSTER_LOAD if they cannot pull them."""
    if command := os.environ.get("CLUSTER_LOAD"):
        subprocess.run([*shlex.split(command), *images], check=True)


@pytest.fixture(scope="session")
def tools(engine: None) -> str:
    """Return the image with the tools that tests run beside the service."""
    build(TEMPLATE / "tests", "tools:latest", f"--file={TEMPLATE}/tests/tools.Dockerfile")
    return "tools:latest"


@pytest.fixture(scope="session")
def browser(engine: None) -> None:
    """Build the image in which `browse` opens pages."""
    build(TEMPLATE / "tests", "browser:latest", f"--file={TEMPLATE}/tests/browser.Dockerfile")


@pytest.fixture(scope="module")
def network() -> Iterator[None]:
    """Let builds reach the servers that the tests start on loopback."""
    flags = os.environ.get("DOCKER_BUILD_FLAGS", "")
    with pytest.MonkeyPatch.context() as patch:
        if "--network" not in flags:
            patch.setenv("DOCKER_BUILD_FLAGS", f"{flags} --network=host")
        yield


@pytest.fixture(scope="module", params=CHOICES["interface"])
def service(
    request: pytest.FixtureRequest, bake_session: BakeFunction, engine: None, network: None
) -> Service:
    """Return a service of either interface, with its image built."""
    name = request.module.__name__.removeprefix("test_").replace("_", "-")
    slug = f"{name}-{request.param}"
    baked = bake_session(project_slug=slug, interface=request.param)
    add_probe(baked)
    baked.make("docker")
    return Service(baked, f"{slug}:latest")


@pytest.fixture(scope="module", params=CHOICES["interface"])
def recipe(
    request: pytest.FixtureRequest, bake_session: BakeFunction, engine: None, network: None
) -> Recipe:
    """Return a service of either interface, after the page that the test's module is called for."""
    name = request.module.__name__.removeprefix("test_").replace("_", "-")
    return Recipe.made(name, bake_session(interface=request.param))


@pytest.fixture(scope="session")
def git_config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Yield a git configuration that leads from the article's repository to one on loopback.

    That one requires packaging too, which a build must not remove as one of its own tools.
    """
    with serve_git(tmp_path_factory.mktemp("git"), "packaging") as config:
        yield config


@pytest.fixture(scope="session")
def private_index() -> Iterator[PrivateIndex]:
    """Yield a package index that requires a password."""
    with serving(PrivateIndex()) as index:
        yield index


@pytest.fixture
def file_index() -> Iterator[FileIndex]:
    """Yield a package index that has nothing yet."""
    with serving(FileIndex()) as index:
        yield index


@pytest.fixture
def osv() -> Iterator[Osv]:
    """Yield a database of vulnerabilities that knows of none yet."""
    with serving(Osv()) as server:
        yield server


@pytest.fixture
def private_git(tmp_path: Path) -> Iterator[PrivateGit]:
    """Yield a server of repositories that requires a password."""
    root = tmp_path / "git"
    root.mkdir()
    with serving(PrivateGit(root)) as server:
        yield server
