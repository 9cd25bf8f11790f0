"""The pages of docs/recipes, and how to follow one: what it shows is done, and nothing else.

A block of code is a step. What it does depends on the first word after its fence:

- `diff` changes the file that the text before the block names last, in backticks. Lines begin
  with `+`, `-` or a space; each part between two lines `...` has to fit in one place.
- `shell` is run in the service's folder.
- `console` shows what can be tried then, and is no step.
- Any other language is the whole of a new file, which the text before it names last.

A second word, `wsgi` or `asgi`, `alpine` or `debian`, makes it a step for such services alone.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from measures import root_file_system
from services import Service
from support import TEMPLATE, Bake, git, replace

RECIPES = TEMPLATE / "docs" / "recipes"

# What commands write, and nobody reads.
WRITTEN = (":!requirements*.txt", ":!openapi.json")


@dataclass(frozen=True)
class Step:
    """A block of code on a page."""

    language: str
    file: str
    text: str


def steps(page: str, answers: Mapping[str, str]) -> list[Step]:
    """Return the steps of a page's text, in their order, for a service with these answers."""
    is_alpine = "alpine" in answers["base_image"]
    kinds = {"", answers["interface"], "alpine" if is_alpine else "debian"}
    found, name = [], ""
    for token in MarkdownIt("commonmark").parse(page):
        if token.type == "inline":
            names = [it.content for it in token.children or [] if it.type == "code_inline"]
            name = names[-1] if names else ""
        elif token.type == "fence":
            language, _, only = token.info.partition(" ")
            if language != "console" and only in kinds:
                found.append(Step(language, name, token.content))
    return found


def change(path: Path, diff: str) -> None:
    """Change a file as a diff says; each of its parts has to fit in one place."""
    for part in re.split(r"^\.\.\.\n", diff, flags=re.MULTILINE):
        lines = part.splitlines(keepends=True)
        assert all(line[0] in " +-\n" for line in lines), f"no diff of {path}:\n{part}"
        old = "".join(line[1:] or line for line in lines if line[0] != "+")
        new = "".join(line[1:] or line for line in lines if line[0] != "-")
        replace(path, old, new)


def follow(page: str, baked: Bake, **environment: str) -> int:
    """Follow a page's text in a service, and return how many lines were added.

    Args:
        page: The text.
        baked: The service, which is committed.
        environment: Variables for its commands.
    """
    for step in steps(page, baked.answers):
        path = baked.path / step.file
        if step.language == "shell":
            baked.must("bash", "-euo", "pipefail", "-c", step.text, **environment)
        elif step.language == "diff":
            change(path, step.text)
        else:
            assert not path.exists(), f"{path} is no new file"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(step.text, "utf-8")
    git(baked.path, "add", "--all")
    counts = git(baked.path, "diff", "--cached", "--numstat", "--", ".", *WRITTEN)
    return sum(int(line.split()[0]) for line in counts.splitlines())


@dataclass(frozen=True)
class Recipe(Service):
    """A service in which a page was followed, with its image built."""

    name: str
    added_mb: float
    added_lines: int

    @classmethod
    def made(cls, name: str, baked: Bake) -> "Recipe":
        """Follow a page of docs/recipes in a fresh service, and return what came of it."""
        image = f"{name}-{baked.answers['interface']}:latest"
        baked.make("docker", IMAGE=image)
        before = sum(root_file_system(image).values())
        lines = follow((RECIPES / f"{name}.md").read_text("utf-8"), baked, IMAGE=image)
        added = sum(root_file_system(image).values()) - before
        return cls(baked, image, name, added / 1e6, lines)

    def compose(self, *arguments: str, **environment: str) -> str:
        """Run `docker compose`, which must succeed, and return what it prints."""
        environment |= {"IMAGE": self.image, "COMPOSE_PROJECT_NAME": self.image.partition(":")[0]}
        return self.baked.must("docker", "compose", *arguments, **environment)

    def assert_costs_what_the_index_says(self) -> None:
        """Compare what it added with its row in the index: MB, and lines on wsgi / on asgi."""
        index = (RECIPES / "README.md").read_text("utf-8")
        row = re.search(rf"\({self.name}\.md\) \| ([\d.]+) \| (\d+)(?: / (\d+))? \|", index)
        measured = f"{self.added_mb:.1f} MB and {self.added_lines} lines were added"
        assert row, f"the index has no row of {self.name}: {measured}"
        lines = int(row[3] if self.is_asgi and row[3] else row[2])
        # versions of dependencies differ in size
        is_near = abs(float(row[1]) - self.added_mb) < 0.3
        assert is_near, measured
        assert lines == self.added_lines, measured
