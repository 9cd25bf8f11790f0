"""What the benchmarks measure: a service of the template, the size and the start of an image."""

import json
import shutil
import subprocess
import tarfile
import time
import zlib
from pathlib import Path
from tempfile import TemporaryDirectory

from images import docker, running
from support import TEMPLATE, Bake, cookiecutter, free_port, get

# Who commits, for git.
IDENTITY = {
    f"GIT_{role}_{part}": value
    for role in ("AUTHOR", "COMMITTER")
    for part, value in (("NAME", "Bench"), ("EMAIL", "bench@example.com"))
}


def make_service(work: Path, **answers: str) -> Bake:
    """Make a service from the template, called after its interface, in a folder."""
    slug = f"service-{answers['interface']}"
    given = [f"{name}={answer}" for name, answer in answers.items()]
    made = cookiecutter(
        work / "out", "--no-input", str(TEMPLATE), f"project_slug={slug}", *given, **IDENTITY
    )
    if made.returncode:
        raise RuntimeError(made.stdout + made.stderr)
    return Bake(work / "out" / slug, answers)


def root_file_system(image: str) -> dict[str, int]:
    """Return the size in bytes of each regular file in an image, layers flattened, by its path."""
    container = docker("create", image)
    try:
        with (
            subprocess.Popen(["docker", "export", container], stdout=subprocess.PIPE) as export,
            tarfile.open(fileobj=export.stdout, mode="r|") as archive,
        ):
            return {entry.name: entry.size for entry in archive if entry.isreg()}
    finally:
        docker("rm", "--volumes", container)


def compressed_size(layer: Path) -> int:
    """Return the bytes of a layer that is compressed, by gzip or zstd, or what gzip -6 makes."""
    with layer.open("rb") as file:
        magic = file.read(4)
        if magic.startswith(b"\x1f\x8b") or magic == b"\x28\xb5\x2f\xfd":
            return layer.stat().st_size
        file.seek(0)
        packer, size = zlib.compressobj(6, wbits=31), 0
        while chunk := file.read(1 << 20):
            size += len(packer.compress(chunk))
        return size + len(packer.flush())


def pull_size(image: str) -> float:
    """Return the compressed size of an image's layers in MB."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        docker("save", f"--output={folder}/image.tar", image)
        shutil.unpack_archive(folder / "image.tar", folder, filter="data")
        layers = json.loads((folder / "manifest.json").read_bytes())[0]["Layers"]
        return sum(compressed_size(folder / layer) for layer in layers) / 1e6


def start_time(image: str, inside: int) -> float:
    """Return the seconds until a new container answers on its port `inside` with status 200."""
    port = free_port()
    begin = time.monotonic()
    with running(image, f"--publish=127.0.0.1:{port}:{inside}"):
        status, text = get(f"http://127.0.0.1:{port}/", seconds=60, pause=0.005)
        seconds = time.monotonic() - begin
    if status != 200:
        raise RuntimeError(f"{image} answered {status}: {text}")
    return seconds
