"""`make release` builds what `make docker` builds, packed, reproducible, attested and annotated."""

import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import BakeFunction
from images import config, content, docker, planned, running
from support import ARTICLE_DEPENDENCY, Bake

pytestmark = [pytest.mark.image, pytest.mark.usefixtures("engine", "network")]

TEXT = 'Says "hi" for ${HOME} and %{if}, c:\\temp = $$ ünïcödé 🦅'


@dataclass(frozen=True)
class Release:
    """An archive in the OCI image layout."""

    blobs: dict[str, bytes]
    index: dict[str, Any]

    def document(self, digest: str) -> dict[str, Any]:
        """Return a blob in JSON."""
        found: dict[str, Any] = json.loads(self.blobs[digest.replace(":", "/")])
        return found

    @property
    def images(self) -> dict[str, str]:
        """Return the digest of the image of each platform."""
        return {
            "{os}/{architecture}".format_map(each["platform"]): each["digest"]
            for each in self.index["manifests"]
            if each["platform"]["os"] != "unknown"
        }

    @property
    def predicates(self) -> list[str]:
        """Return what kinds of attestation there are."""
        return [
            layer["annotations"]["in-toto.io/predicate-type"]
            for each in self.index["manifests"]
            if each["platform"]["os"] == "unknown"
            for layer in self.document(each["digest"])["layers"]
        ]


def make_release(baked: Bake, *flags: str, **environment: str) -> Release:
    """Make a release for this machine alone, and without the scanner, which may not be here."""
    archive = baked.path / "release.tar"
    given = environment.pop("DOCKER_BUILD_FLAGS", "--network=host")
    baked.make(
        "release",
        PLATFORMS="linux/amd64",
        OUTPUT=f"type=oci,dest={archive}",
        DOCKER_BUILD_FLAGS=" ".join((given, "--sbom=false", *flags)),
        **environment,
    )
    with tarfile.open(archive) as tar:
        files = {each.name: content(tar, each) for each in tar if each.isfile()}
    blobs = {name.removeprefix("blobs/"): data for name, data in files.items()}
    [entry] = json.loads(files["index.json"])["manifests"]
    return Release(blobs, json.loads(blobs[entry["digest"].replace(":", "/")]))


@pytest.fixture(scope="module")
def baked(bake_session: BakeFunction, git_config: Path) -> Iterator[Bake]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIT_CONFIG_GLOBAL", str(git_config))
        yield bake_session(
            project_slug="released",
            description=TEXT,
            author_name=TEXT,
            github_dependency=ARTICLE_DEPENDENCY,
        )


@pytest.fixture(scope="module")
def release(baked: Bake) -> Release:
    return make_release(
        baked, HTTP_PROXY="http://canary@127.0.0.1:9", NO_PROXY="127.0.0.1,localhost"
    )


def test_annotations_are_the_labels(release: Release) -> None:
    assert list(release.images) == ["linux/amd64"]
    for digest in release.images.values():
        manifest = release.document(digest)
        labels = release.document(manifest["config"]["digest"])["config"]["Labels"]
        assert labels["org.opencontainers.image.description"] == TEXT
        assert len(labels["org.opencontainers.image.revision"]) == 40
        assert manifest["annotations"] == release.index["annotations"] == labels


def test_provenance_is_attested(release: Release) -> None:
    provenance = [each for each in release.predicates if "slsa.dev/provenance" in each]
    assert len(provenance) == len(release.images)


def test_is_for_both_platforms_with_a_bill_of_materials(baked: Bake) -> None:
    target = planned(baked, "release", "release")
    assert target["platforms"] == ["linux/amd64", "linux/arm64"]
    assert {each["type"] for each in target["attest"]} == {"provenance", "sbom"}
    assert target["output"] == [
        {"type": "registry", "rewrite-timestamp": "true", "compression-level": "9"}
    ]


def test_nothing_leaks(release: Release) -> None:
    documents = [data for data in release.blobs.values() if data.startswith(b"{")]
    assert len(documents) >= 4 * len(release.images)
    assert not any(b"canary" in data for data in documents)


def test_loads_and_runs_as_the_image_of_make_docker(baked: Bake, release: Release) -> None:
    assert release.images
    docker("load", "--input", str(baked.path / "release.tar"))
    released = config("released:latest")
    with running("released:latest", "--read-only") as container:
        container.wait_until("healthy")
    baked.make("docker")
    assert config("released:latest") == released


def test_is_the_same_when_it_is_built_again(baked: Bake, release: Release) -> None:
    assert make_release(baked).images == release.images
    minimal = [make_release(baked, "--set=*.args.ROOT=minimal").images for _ in range(2)]
    assert minimal[0] == minimal[1] != release.images
