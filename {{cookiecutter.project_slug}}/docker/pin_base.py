"""Pin the base image in a Dockerfile to the digest that its tag has now.

Usage: python docker/pin_base.py Dockerfile

Asks the registry, or else the Docker engine for what it has pulled. A line says where the registry
gave no digest, and what became of the image: where the engine has none either, it stays as it is.
"""

import json
import re
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

# The name of a stage has no tag.
FROM = re.compile(r"^FROM ([^\s@]+:[^\s@:/]+)(@\S+)?", re.M)


def docker(*arguments: str) -> bytes:
    """Give what docker prints within a minute.

    Raises:
        OSError: docker is missing, fails, or takes longer; carries one line.
    """
    command = ["docker", *arguments]
    try:
        return subprocess.run(command, capture_output=True, check=True, timeout=60).stdout  # noqa: S603
    except subprocess.TimeoutExpired:
        raise OSError("no answer within a minute") from None
    except subprocess.CalledProcessError as error:
        raise OSError(error.stderr.decode().strip().rpartition("\n")[2]) from None


def pulled(image: str) -> str:
    """Give the digest by which the engine has pulled an image, or "" where it has not."""
    try:
        [facts] = json.loads(docker("image", "inspect", image))
    except OSError:
        return ""
    names = [name.partition("@") for name in facts["RepoDigests"] or []]
    repository = image.rpartition(":")[0]
    return next((digest for name, _, digest in names if name == repository), "")


def pinned(line: re.Match[str]) -> str:
    """Give the start of a FROM line, with the digest that its image has now."""
    image, old = line.groups()
    try:
        manifest = docker("buildx", "imagetools", "inspect", "--raw", image)
        return f"FROM {image}@sha256:{sha256(manifest).hexdigest()}"
    except OSError as error:
        digest = pulled(image)
        unchanged = "keeps its digest" if old else "stays unpinned"
        outcome = "is pinned as pulled" if digest else unchanged
        print(f"{image} {outcome}: its registry gives no digest: {error}", file=sys.stderr)
        return f"FROM {image}@{digest}" if digest else line[0]


def main(dockerfile: Path) -> None:
    """Pin every base image of a Dockerfile."""
    text = dockerfile.read_text(encoding="utf-8")
    dockerfile.write_text(FROM.sub(pinned, text), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
