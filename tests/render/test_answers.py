"""An accepted answer is written correctly into every file."""

import re
import sys
import tomllib
from pathlib import Path

import pytest
from conftest import BakeFunction
from packaging.requirements import Requirement
from support import CHOICES, PROMPTS, TEMPLATE, Bake, cookiecutter, markdown_text

from template_extensions import (
    IMPORTED,
    direct_reference,
    hcl_quoted,
    markdown,
    quoted,
)

# Records the modules outside the standard library that a process looks for.
RECORDER = """
import os, sys
class Recorder:
    def find_spec(self, name, path=None, target=None):
        if path is None and name not in sys.stdlib_module_names:
            with open(os.environ["RECORDED"], "a") as file:
                print(name, file=file)
sys.meta_path.insert(0, Recorder())
"""

HOSTILE = [
    'O\'Brien & "Söhne" <AG>',
    "back\\slash \\n \\",
    "$HOME ${PATH} $$ $(id) `id`",
    "{single} braces % and }} no more",
    "# heading #",
    "- item",
    "1. first",
    "> quote",
    "--- rule",
    "*bold* _it_ snake_case __dunder__ ~~gone~~ [link](url) ![img](url)",
    "&amp; &#35; fish & chips",
    "emoji 👩\u200d🚀 flag 🇩🇪",
    "日本語のサービス",
    "خدمة ويب",
    "e\u0301 combining",
    "key: value, [list], {map: x} !tag @at %percent | pipe",
    '"""',
    "'''",
    "\ufeffmark",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_markdown_shows_what_was_typed(text: str) -> None:
    assert markdown_text(markdown(text)) == text
    assert markdown_text(f"# {markdown(text)}") == text


@pytest.mark.parametrize("text", HOSTILE)
def test_quoted_reads_back_as_toml_and_python(text: str) -> None:
    assert tomllib.loads(f"key = {quoted(text)}")["key"] == text
    assert eval(quoted(text)) == text  # noqa: S307


def test_hcl_opens_no_template() -> None:
    assert hcl_quoted('a "${b}" %{c}') == r'"a \"\u0024{b}\" \u0025{c}"'


@pytest.mark.parametrize("text", HOSTILE)
def test_free_text_reads_back(bake: BakeFunction, text: str) -> None:
    baked = bake(project_name=text, project_slug="service", description=text, author_name=text)
    project = tomllib.loads(baked.read("pyproject.toml"))["project"]
    assert project["description"] == text
    assert project["authors"] == [{"name": text, "email": "team@example.com"}]
    title, description = baked.read("README.md").split("\n\n")[:2]
    assert markdown_text(title) == text
    assert markdown_text(description) == text
    assert f"Copyright (c) {text}\n" in baked.read("LICENSE")
    assert baked.run("git", "log", "--format=%s").stdout == "chore: start the service\n"


def test_typed_answers_are_no_templates(tmp_path: Path) -> None:
    text = "{{ 7 * 7 }} {% raw %} {# note #}"
    typed = {"project_name": text, "project_slug": "service", "description": text}
    answers = "".join(typed.get(name, "") + "\n" for name in PROMPTS)
    result = cookiecutter(tmp_path / "out", str(TEMPLATE), typed=answers)
    assert result.returncode == 0, result.stdout + result.stderr
    baked = Bake(tmp_path / "out" / "service", typed)
    assert tomllib.loads(baked.read("pyproject.toml"))["project"]["description"] == text
    assert markdown_text(baked.read("README.md")) == text


@pytest.mark.parametrize(
    ("reference", "written"),
    [
        ("a @ git+https://github.com/o/r.git", None),
        ("A.b_c-d[x,y] @ git+https://github.com/o/r@main", None),
        ("a @ git+https://github.com/o/r.git@feature/x", None),
        ("a @ git+https://github.com/o/r.git@refs/pull/1/head", None),
        ("a @ git+ssh://git@github.com:22/o/r.git@v1.0#subdirectory=lib", None),
        ("a @ git+http://git.example.com/r.git", None),
        ("a @ git+https://[::1]/o/r.git", None),
        ("a @ https://github.com/o/r/archive/refs/tags/v1.zip", None),
        ("a @ git+https://github.com/o/r.git ; python_version > '3.11'", None),
        (
            'a @ git+https://github.com/o/r.git ; (os_name == "posix" or "x" in platform_version)'
            ' and python_full_version ~= "3.11"',
            None,
        ),
        ("a@git+https://github.com/o/r.git", "a @ git+https://github.com/o/r.git"),
        ("a [x, y]@ git+https://github.com/o/r", "a[x,y] @ git+https://github.com/o/r"),
        (
            "git+https://github.com/o/r.git@v1#egg=a[x]&subdirectory=lib",
            "a[x] @ git+https://github.com/o/r.git@v1#egg=a[x]&subdirectory=lib",
        ),
        (
            "git+https://github.com/o/r.git#egg=a ; os_name == 'posix'",
            "a @ git+https://github.com/o/r.git#egg=a ; os_name == 'posix'",
        ),
        (
            "git+https://github.com/o/r.git#egg=a; os_name == 'posix'",
            "a @ git+https://github.com/o/r.git#egg=a ; os_name == 'posix'",
        ),
    ],
)
def test_spellings_of_a_direct_reference(reference: str, written: str | None) -> None:
    written = written or reference
    assert direct_reference(reference) == written
    assert str(Requirement(written).url) == re.split(r" @ | ; ", written)[1]


@pytest.mark.slow
@pytest.mark.parametrize("interface", CHOICES["interface"])
def test_every_module_that_a_package_could_hide_is_refused(
    bake: BakeFunction, tmp_path: Path, interface: str
) -> None:
    baked = bake(interface=interface)
    # on the path of the server that the tests start, too
    (baked.path / "src" / "sitecustomize.py").write_text(RECORDER)
    recorded = tmp_path / "modules"
    result = baked.run(
        *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider"),
        PYTHONPATH="src",
        RECORDED=str(recorded),
        PYTEST_DISABLE_PLUGIN_AUTOLOAD="1",
    )
    assert result.returncode == 0, result.stdout + result.stderr
    # copy and pickle look for org, which is Jython's, and do without one that is not
    harmless = {baked.answers["__package_name"], "org", "sitecustomize", "usercustomize"}
    names = {name for name in recorded.read_text().split() if re.fullmatch("[a-z][a-z0-9_]*", name)}
    assert {"falcon", "gunicorn", "pytest"} <= names
    assert names - harmless - IMPORTED == set()
