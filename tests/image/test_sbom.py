"""The bill of materials names everything in the image, and nothing else."""

import json
import re
import sys
import tarfile
from importlib.util import source_from_cache
from io import BytesIO
from pathlib import Path

import pytest
from conftest import BakeFunction
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from images import config, docker, flatten
from support import ARTICLE_DEPENDENCY, Bake

pytestmark = [pytest.mark.image, pytest.mark.usefixtures("engine", "network")]

SBOM = "sbom.cdx.json"
# The files of no package.
EXCEPTIONS = re.compile(
    # what the engine makes
    r"\.dockerenv|dev/console|etc/(hostname|hosts|resolv\.conf)"
    # what apk records and is configured with, and what its scripts save before they change it
    r"|(usr/)?lib/apk/db/.*|var/log/apk\.log|etc/apk/(arch|keys/.*|repositories|world)"
    r"|etc/(group|passwd|shadow)-"
    # the modules of python3, in one archive
    r"|usr/lib/python3\d+\.zip"
    # what venv makes
    r"|opt/venv/(\.gitignore|pyvenv\.cfg|bin/([Aa]ctivate[.\w]*|python[\d.]*))"
)
PIP_LISTS = """
import json
from importlib.metadata import distributions
from os.path import normpath
print(json.dumps({
    f"{each.name.replace('_', '-')}-{each.version}".lower(): [
        normpath(each.locate_file(file)) for file in each.files
    ]
    for each in distributions()
}))
"""


@pytest.fixture(scope="module", params=["listed", "listed-git"])
def baked(request: pytest.FixtureRequest, bake_session: BakeFunction, git_config: Path) -> Bake:
    dependency = ARTICLE_DEPENDENCY if request.param == "listed-git" else ""
    baked = bake_session(project_slug=request.param, github_dependency=dependency)
    baked.make("docker", "sbom", GIT_CONFIG_GLOBAL=str(git_config))
    return baked


@pytest.fixture(scope="module")
def image(baked: Bake) -> str:
    return f"{baked.path.name}:latest"


@pytest.fixture(scope="module")
def files(image: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bool]:
    return flatten(image, tmp_path_factory.mktemp("flat"))


def run(image: str, *command: str) -> str:
    """Run a command in a container of an image; give what it printed."""
    return docker("run", "--rm", "--network=none", image, *command)


def listed(image: str, files: dict[str, bool]) -> dict[str, set[str]]:
    """Give the files of each package that has any, by what the image's own tools list."""
    apk = "apk --repositories-file=/dev/null info"
    printed = run(image, "sh", "-c", f"{apk} --contents $({apk} --quiet)") + "\n"
    lists = {
        name: [f"/{line}" for line in lines.splitlines()]
        for name, lines in re.findall(r"^(\S+) contains:\n((?:.+\n)*)", printed, re.MULTILINE)
    }
    lists |= json.loads(run(image, "python3", "-c", PIP_LISTS))
    compiled = [file for file in files if re.match(r"opt/venv/.*/__pycache__/", file)]
    sources = {file: source_from_cache(file) for file in compiled}
    packages = {}
    for name, paths in lists.items():
        owned = {path.removeprefix("/") for path in paths}
        packages[name] = {file for file in files if owned & {file, sources.get(file)}}
    return {name: owned for name, owned in packages.items() if owned}


def counts(sbom: dict) -> dict[str, int]:
    """Give the number of files that a bill of materials tells of each package."""
    return {
        f"{each['name']}-{each['version']}": int(each["properties"][0]["value"])
        for each in sbom["components"]
    }


def assert_valid(text: str) -> None:
    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    assert error is None, error


def test_is_valid(baked: Bake) -> None:
    assert_valid(baked.read(SBOM))


def test_is_the_same_for_the_same_image(baked: Bake) -> None:
    first = baked.read(SBOM)
    (baked.path / SBOM).unlink()
    baked.make("sbom")
    assert baked.read(SBOM) == first


def test_components_are_the_packages_with_files(
    baked: Bake, image: str, files: dict[str, bool]
) -> None:
    expected = {name: len(owned) for name, owned in listed(image, files).items()}
    assert counts(json.loads(baked.read(SBOM))) == expected
    assert {"falcon", "gunicorn", "musl", "python3"} <= {
        name.rsplit("-", 1 + ("-r" in name))[0] for name in expected
    }


def test_every_file_belongs_to_a_component(baked: Bake, image: str, files: dict[str, bool]) -> None:
    service = {file for file in files if file.startswith("app/")}
    component = json.loads(baked.read(SBOM))["metadata"]["component"]
    assert component["properties"] == [{"name": "image:files", "value": str(len(service))}]
    owned = service.union(*listed(image, files).values())
    left = {file for file, regular in files.items() if regular} - owned
    assert [file for file in sorted(left) if not EXCEPTIONS.fullmatch(file)] == []


def test_names_the_service_and_where_packages_are_from(baked: Bake, image: str) -> None:
    sbom = json.loads(baked.read(SBOM))
    service = sbom["metadata"]["component"]
    assert service["name"] == baked.path.name
    assert service["version"] == config(image)["Labels"]["org.opencontainers.image.version"]
    purls = {each["name"]: each["purl"] for each in sbom["components"]}
    release = run(image, "cat", "/etc/alpine-release")
    assert re.fullmatch(
        rf"pkg:apk/alpine/libssl3@[\w.-]+\?arch=\w+&distro=alpine-{release}&upstream=openssl",
        purls["libssl3"],
    )
    assert re.fullmatch(r"pkg:pypi/falcon@[\d.]+", purls["falcon"])
    if baked.answers["github_dependency"]:
        pinned = re.search(r"@([0-9a-f]{40})#", baked.read("requirements-git.txt"))[1]
        assert purls["plain-text-markdown-extention"].endswith(
            "?vcs_url=git%2Bhttps://github.com/kostyachum/"
            f"python-markdown-plain-text.git%40{pinned}"
        )
    unlicensed = {each["name"] for each in sbom["components"] if "licenses" not in each}
    assert unlicensed <= {"plain-text-markdown-extention"}


def test_git_ignores_it_and_clean_removes_it(baked: Bake) -> None:
    assert SBOM not in baked.run("git", "status", "--porcelain").stdout
    assert SBOM in baked.make("clean", "--dry-run")


def test_ends_in_one_line_without_an_image(baked: Bake) -> None:
    result = baked.run(sys.executable, "docker/sbom.py", "absent:latest", "absent.json")
    assert result.returncode == 1
    assert re.fullmatch(r".*[Nn]o such image: absent:latest\n", result.stderr)
    assert not (baked.path / "absent.json").exists()


# Of what a python image has: the packages of its distribution, and a CPython that none lists.
PYTHON_FILES = {
    "usr/local/bin/python3.13": "",
    "usr/local/include/python3.13/patchlevel.h": '#define PY_VERSION   \t"3.13.9"\n',
    "usr/local/lib/libpython3.13.so.1.0": "",
    "usr/local/lib/python3.13/os.py": "",
    "usr/local/lib/python3.13/__pycache__/os.cpython-313.pyc": "",
    "usr/local/lib/python3.13/site-packages/README.txt": "",
    "usr/local/lib/python3.13/site-packages/stray.py": "",
    "usr/local/bin/stray": "",
    "app/gunicorn.conf.py": "",
}
OF_ALPINE = {
    "usr/lib/os-release": "ID=alpine\nVERSION_ID=3.23.6\n",
    "lib/apk/db/installed": (
        "P:none\nV:1-r0\nA:x86_64\nL:MIT\no:none\n\n"
        "P:zlib\nV:1.3-r0\nA:x86_64\nL:Zlib\no:zlib\nF:\nR:.zlib\nF:usr/lib\nR:libz.so.1\n\n"
    ),
    ".zlib": "",
    "usr/lib/libz.so.1": "",
}
OF_DEBIAN = {
    "usr/lib/os-release": 'ID=debian\nVERSION_ID="13"\n',
    "var/lib/dpkg/status": (
        "Package: zlib1g\nStatus: install ok installed\nArchitecture: amd64\n"
        "Source: zlib (1:1.3)\nVersion: 1:1.3-1+b1\nDescription: compression\n more of it\n\n"
        "Package: bash\nStatus: install ok installed\nArchitecture: amd64\nVersion: 5.2\n\n"
        "Package: gone\nStatus: deinstall ok config-files\nArchitecture: all\nVersion: 1\n\n"
    ),
    "var/lib/dpkg/info/zlib1g:amd64.list": "/.\n/lib/libz.so.1\n/usr/share/doc/zlib1g/copyright\n",
    "var/lib/dpkg/info/bash.list": "/usr/bin/bash\n",
    "usr/lib/libz.so.1": "",
    "usr/bin/bash": "",
    "usr/share/doc/zlib1g/copyright": "License: Zlib\n text\n\nLicense: GPL-2+\n",
}


@pytest.mark.parametrize(
    ("base_image", "own", "expected"),
    [
        (
            "python:3.13-alpine",
            OF_ALPINE,
            {"pkg:apk/alpine/zlib@1.3-r0?arch=x86_64&distro=alpine-3.23.6&upstream=zlib": 2},
        ),
        (
            "python:3.13-slim",
            OF_DEBIAN,
            {
                "pkg:deb/debian/bash@5.2?arch=amd64&distro=debian-13&upstream=bash": 1,
                "pkg:deb/debian/zlib1g@1:1.3-1%2Bb1"
                "?arch=amd64&distro=debian-13&upstream=zlib%401:1.3": 2,
            },
        ),
    ],
)
def test_other_bases(
    bake: BakeFunction, base_image: str, own: dict[str, str], expected: dict[str, int]
) -> None:
    baked = bake(base_image=base_image)
    archive = baked.path / "image.tar"
    with tarfile.open(archive, "w") as tar:
        for name, text in (PYTHON_FILES | own).items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            tar.addfile(entry, BytesIO(text.encode()))
    label = "LABEL " + " ".join(
        f"org.opencontainers.image.{name}={value}"
        for name, value in {"title": "made", "version": "", "licenses": "MIT"}.items()
    )
    changes = ("--change", 'CMD ["none"]', "--change", label)
    image = docker("import", *changes, str(archive), "listed:imported").splitlines()[-1]
    try:
        result = baked.run(sys.executable, "docker/sbom.py", image, SBOM)
    finally:
        docker("image", "rm", "--force", "listed:imported")
    assert result.returncode == 0, result.stderr
    assert_valid(baked.read(SBOM))
    components = json.loads(baked.read(SBOM))["components"]
    assert {each["purl"]: int(each["properties"][0]["value"]) for each in components} == {
        "pkg:generic/python@3.13.9": 6
    } | expected
    licenses = {each["name"]: each.get("licenses") for each in components}
    if "zlib1g" in licenses:
        names = [each["license"]["name"] for each in licenses["zlib1g"]]
        assert names == ["GPL-2+", "Zlib"]
