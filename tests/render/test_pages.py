"""The pages of docs/recipes are followed to the letter, and what does not fit is refused."""

from pathlib import Path

import pytest
from pages import RECIPES, change, follow, steps
from support import TEMPLATE, Bake, commit

ANSWERS = {"interface": "wsgi", "base_image": "alpine:latest"}
PAGE = """
Add to `a.txt`, not to `b.txt` but to `c/new.py`:

```python asgi
print(1)
```

Then `a.txt`, and no other:

```diff
 one
-two
+2
...
 four
+five
```

```shell
git add --all
```

It shows:

```console
$ false
```
"""


def test_a_page_is_followed(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\ntwo\nthree\nfour\n")
    commit(tmp_path, "v1")
    assert [step.file for step in steps(PAGE, ANSWERS)] == ["a.txt", "a.txt"]
    assert follow(PAGE, Bake(tmp_path, ANSWERS | {"interface": "asgi"})) == 3
    assert (tmp_path / "a.txt").read_text() == "one\n2\nthree\nfour\nfive\n"
    assert (tmp_path / "c/new.py").read_text() == "print(1)\n"


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("In `a.txt`:\n\n```text\ntwo\n```", "no new file"),
        ("```shell\necho why\nfalse\n```", "why\n"),
    ],
)
def test_a_step_that_fails_ends_it(tmp_path: Path, page: str, message: str) -> None:
    (tmp_path / "a.txt").write_text("one\n")
    with pytest.raises(AssertionError, match=message):
        follow(page, Bake(tmp_path, ANSWERS))


@pytest.mark.parametrize("diff", [" three\n", " two\n+2\n...\n-five\n", "two\n", " one\n+1\n"])
def test_what_does_not_fit_once_is_refused(tmp_path: Path, diff: str) -> None:
    file = tmp_path / "a.txt"
    file.write_text("one\none\ntwo\none\n")
    with pytest.raises(AssertionError):
        change(file, diff)


def test_each_page_has_its_row_and_its_test() -> None:
    pages = {path.stem for path in RECIPES.glob("*.md")} - {"README"}
    tests = {path.stem for path in (TEMPLATE / "tests" / "recipes").glob("test_*.py")}
    index = (RECIPES / "README.md").read_text("utf-8")
    assert {f"test_{page.replace('-', '_')}" for page in pages} == tests
    assert all(f"({page}.md)" in index for page in pages)
    assert index.count(".md) |") == len(pages)
