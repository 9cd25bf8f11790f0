"""`make release` builds what `make docker` builds, with attestations and annotations."""

import json
import tarfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import BakeFunction
from images import config, docker, save
from support import Bake

pytestmark = [pytest.mark.image, pytest.mark.usefixtures("engine", "network")]

TEXT = 'Says "hi" for ${HOME} and %{if}, c:\\temp = $$ ünïcödé 🦅'
# As DOCKER_BUILD_FLAGS has it for docker build.
NETWORK = 'target "default" {\n  network = "host"\n}\n'


@dataclass(frozen=True)
class Release:
    """An archive in the OCI image layout, and what its build printed."""

    printed: str
    blobs: dict[str, bytes]
    index: dict

    def document(self, digest: str) -> dict:
        """Give a blob in JSON."""
        return json.loads(self.blobs[digest.replace(":", "/")])

    @property
    def images(self) -> dict[str, dict]:
        """Give the manifest of each platform."""
        platforms = {each["digest"]: each["platform"] for each in self.index["manifests"]}
        return {
            f"{platform['os']}/{platform['architecture']}": self.document(digest)
            for digest, platform in platforms.items()
            if platform["os"] != "unknown"
        }

    @property
    def predicates(self) -> list[str]:
        """Give what kinds of attestation there are."""
        return [
            layer["annotations"]["in-toto.io/predicate-type"]
            for each in self.index["manifests"]
            if each["platform"]["os"] == "unknown"
            for layer in self.document(each["digest"])["layers"]
        ]


@pytest.fixture(scope="module")
def baked(bake_session: BakeFunction) -> Bake:
    baked = bake_session(project_slug="released", description=TEXT, author_name=TEXT)
    (baked.path / "network.hcl").write_text(NETWORK)
    return baked


@pytest.fixture(scope="module")
def release(baked: Bake) -> Release:
    archive = baked.path / "release.tar"
    printed = baked.make(
        "release",
        f"OUTPUT=type=oci,dest={archive},rewrite-timestamp=true",
        "RELEASE_FLAGS=--file=network.hcl --allow=network.host",
        HTTP_PROXY="http://canary@127.0.0.1:9",
        NO_PROXY="127.0.0.1,localhost",
    )
    with tarfile.open(archive) as tar:
        files = {each.name: tar.extractfile(each).read() for each in tar if each.isfile()}
    archive.unlink()
    blobs = {name.removeprefix("blobs/"): data for name, data in files.items()}
    [entry] = json.loads(files["index.json"])["manifests"]
    return Release(printed, blobs, json.loads(blobs[entry["digest"].replace(":", "/")]))


def test_annotations_are_the_labels(release: Release) -> None:
    assert "linux/amd64" in release.images
    for manifest in release.images.values():
        labels = release.document(manifest["config"]["digest"])["config"]["Labels"]
        assert labels["org.opencontainers.image.description"] == TEXT
        assert len(labels["org.opencontainers.image.revision"]) == 40
        assert manifest["annotations"] == release.index["annotations"] == labels


def test_provenance_is_attested(release: Release) -> None:
    provenance = [each for each in release.predicates if "slsa.dev/provenance" in each]
    assert len(provenance) == len(release.images)


def test_says_what_is_missing(release: Release) -> None:
    without_arm = "does not run linux/arm64: the image goes without." in release.printed
    assert without_arm == ("linux/arm64" not in release.images)
    # a base image of one platform would be built for any other as well
    assert without_arm == ("linux/arm64" not in docker("buildx", "inspect"))
    without_sbom = "the image goes without an SBOM." in release.printed
    assert without_sbom == (not any("spdx" in each for each in release.predicates))


def test_nothing_leaks(release: Release) -> None:
    documents = [data for data in release.blobs.values() if data.startswith(b"{")]
    assert len(documents) >= 4 * len(release.images)
    assert not any(b"canary" in data for data in documents)


def test_is_the_image_of_make_docker(baked: Bake, release: Release, tmp_path: Path) -> None:
    baked.make("docker")
    saved = save("released:latest", tmp_path).documents
    [manifest] = json.loads(saved["manifest.json"])
    digest = release.images["linux/amd64"]["config"]["digest"]
    assert manifest["Config"] == f"blobs/{digest.replace(':', '/')}"
    assert config("released:latest")["Labels"] == release.index["annotations"]
