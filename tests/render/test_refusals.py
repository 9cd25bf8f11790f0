"""A bad answer is refused in one line, costs no other answer, and leaves nothing behind."""

import json
import shlex
from pathlib import Path

import pytest
from support import CHOICES, TEMPLATE, cookiecutter

from template_extensions import refusal

SLUG_FORM = "must be lower-case letters, digits and single hyphens, and begin with a letter"
IMPORTED = "must not be the name of a module that the service or its tests import"
STANDARD_LIBRARY = "must not be the name of a standard library module"
KEYWORD = "must not be a Python keyword"
EMAIL = "must be an e-mail address, like name@example.com"
ORIGIN = "must begin with https:// and a host in lower case, without a credential"
PATH = "must have an owner and a name, of letters, digits, and single . _ or - between them"
END = "must end with the name of the repository, without .git"
CONTROL = "must not contain control characters"
BIDI = "must not contain bidirectional control characters"
EMPTY = "must not be empty"
PADDED = "must not begin or end with a space"
REFERENCE = "must be a direct reference, like name @ git+https://github.com/org/repo.git@ref"
NAMELESS = "must name the distribution: name @ url, or url#egg=name"
SCHEME = "must begin with one of git+https, git+ssh, git+http, https as its URL's scheme"
CREDENTIAL = "must not contain a credential: netrc and git's configuration are for those"
PARTS = "must name a host, a repository and, after @, a revision"
URL = "must be a URL: git+ssh://git@host/path, not git@host:path"
CHARACTERS = "must have a URL without characters that RFC 3986 does not allow"
MARKER = "must have an environment marker of PEP 508 after the semicolon"

REFUSALS = [
    ("project_name", "", EMPTY),
    ("project_name", "two\nlines", CONTROL),
    ("project_name", "tab\there", CONTROL),
    ("project_name", "delete\x7f", CONTROL),
    ("project_name", "next\x85line", CONTROL),
    ("project_name", "line\u2028separator", CONTROL),
    ("project_name", "evil \u202etxt", BIDI),
    ("project_name", "x" * 251, "must be at most 250 characters long"),
    ("project_slug", "", EMPTY),
    ("project_slug", "My-Service", SLUG_FORM),
    ("project_slug", "my_service", SLUG_FORM),
    ("project_slug", "my--service", SLUG_FORM),
    ("project_slug", "-service", SLUG_FORM),
    ("project_slug", "1service", SLUG_FORM),
    ("project_slug", "a/b", SLUG_FORM),
    ("project_slug", "../up", SLUG_FORM),
    ("project_slug", "/absolute", SLUG_FORM),
    ("project_slug", "dienst-für-alle", SLUG_FORM),
    ("project_slug", "x" * 41, "must be at most 40 characters long"),
    ("project_slug", "class", KEYWORD),
    ("project_slug", "json", STANDARD_LIBRARY),
    ("project_slug", "asyncio", STANDARD_LIBRARY),
    # new in Python 3.14
    ("project_slug", "compression", STANDARD_LIBRARY),
    ("project_slug", "falcon", IMPORTED),
    ("project_slug", "gunicorn", IMPORTED),
    ("project_slug", "prometheus-client", IMPORTED),
    ("project_slug", "tests", IMPORTED),
    ("project_slug", "dev", IMPORTED),
    ("project_slug", "con", "must not be the name of a Windows device, nor a value of YAML"),
    ("project_slug", "null", "must not be the name of a Windows device, nor a value of YAML"),
    ("project_slug", "on", "must not be the name of a Windows device, nor a value of YAML"),
    ("description", "", EMPTY),
    ("description", " padded", PADDED),
    ("description", "bell\x07", CONTROL),
    ("author_name", "Jane\bDoe", CONTROL),
    ("author_email", "jane.example.com", EMAIL),
    ("author_email", "jane@", EMAIL),
    ("author_email", "Jane <jane@example.com>", EMAIL),
    ("author_email", "jane@doe@example.com", EMAIL),
    ("repository_url", "acme", ORIGIN),
    ("repository_url", "http://github.com/o/r", ORIGIN),
    ("repository_url", "git@github.com:o/r.git", ORIGIN),
    ("repository_url", "HTTPS://github.com/o/r", ORIGIN),
    ("repository_url", "https://token@github.com/o/r", ORIGIN),
    ("repository_url", "https://u:p@gitlab.com/o/r", ORIGIN),
    ("repository_url", "https:///o/r", ORIGIN),
    ("repository_url", "https://GitHub.com/o/r", ORIGIN),
    ("repository_url", "https://git/o/r", ORIGIN),
    ("repository_url", "https://-git.example.com/o/r", ORIGIN),
    ("repository_url", "https://git.example.com:/o/r", ORIGIN),
    ("repository_url", "https://git.example.com:https/o/r", ORIGIN),
    ("repository_url", "https://git.example.com?q=/o/r", ORIGIN),
    ("repository_url", "https://github.com", ORIGIN),
    ("repository_url", "https://gitlab.com/o", PATH),
    ("repository_url", "https://github.com/o/r/tree/main", END),
    ("repository_url", "https://github.com/o/r/", PATH),
    ("repository_url", "https://gitlab.com/o/r/", PATH),
    ("repository_url", "https://gitlab.com/o//r", PATH),
    ("repository_url", "https://gitlab.com/o/r/-/tree/main", PATH),
    ("repository_url", "https://github.com/o/r?tab=readme", PATH),
    ("repository_url", "https://github.com/o/r#readme", PATH),
    ("repository_url", "https://github.com/o/.github", PATH),
    ("repository_url", "https://github.com/o/r..", PATH),
    ("repository_url", "https://github.com/o/$(id)", PATH),
    # KELVIN SIGN, the lower case of which is k
    ("repository_url", "https://github.com/o/\u212aelvin", PATH),
    ("repository_url", "https://github.com/o/r.git", END),
    ("github_dependency", "falcon-cors", REFERENCE),
    ("github_dependency", "thing>=1.0", REFERENCE),
    ("github_dependency", "thing @", REFERENCE),
    ("github_dependency", "-e git+https://github.com/o/r.git#egg=thing", REFERENCE),
    ("github_dependency", "thing>=1 @ git+https://github.com/o/r.git", REFERENCE),
    (
        "github_dependency",
        "thing @ git+https://github.com/o/r.git; python_version > '3'",
        REFERENCE,
    ),
    ("github_dependency", "git@github.com:o/r.git", SCHEME),
    ("github_dependency", "git+https://github.com/o/r.git", NAMELESS),
    ("github_dependency", "git+https://github.com/o/r.git#egg=-thing", NAMELESS),
    ("github_dependency", "thing @ github.com/o/r.git", SCHEME),
    ("github_dependency", "thing @ hg+https://github.com/o/r", SCHEME),
    ("github_dependency", "thing @ git+file:///srv/thing", SCHEME),
    ("github_dependency", "thing @ git+https://token@github.com/o/r.git", CREDENTIAL),
    ("github_dependency", "thing @ git+https://u:p@github.com/o/r.git", CREDENTIAL),
    ("github_dependency", "thing @ git+ssh://git:p@github.com/o/r.git", CREDENTIAL),
    ("github_dependency", "thing @ git+https://github.com/", PARTS),
    ("github_dependency", "thing @ git+https:///o/r.git", PARTS),
    ("github_dependency", "thing @ git+https://github.com/o/r.git@", PARTS),
    ("github_dependency", "thing @ git+ssh://git@github.com:o/r.git", URL),
    ("github_dependency", "thing @ git+https://github.com/o/r.git@{x}", CHARACTERS),
    ("github_dependency", "thing @ git+https://github.com/o/r.git ; os_name", MARKER),
    ("github_dependency", "thing @ git+https://github.com/o/r.git ; __import__('os')", MARKER),
    ("github_dependency", "thing @ git+https://github.com/o/r.git ; 1 < 2 < 3", MARKER),
    ("github_dependency", "thing @ git+https://github.com/o/r.git ; '1' < os_name < '3'", MARKER),
    ("github_dependency", "thing @ git+https://github.com/o/r.git ; os_name is 'posix'", MARKER),
    ("github_dependency", "thing @ git+https://github.com/o/r.git ; os_name == 1", MARKER),
    ("github_dependency", "thing @ git+https://github.com/o/r.git ; path == 'posix'", MARKER),
    ("github_dependency", "thing @ git+https://github.com/o/r.git ; f() == 'posix'", MARKER),
    ("github_dependency", "gunicorn @ git+https://github.com/o/r.git", "must not be gunicorn,"),
    ("github_dependency", "Falcon.Service @ git+https://github.com/o/r.git", "must not be falcon-"),
]


@pytest.mark.parametrize(("field", "value", "rule"), REFUSALS)
def test_refusal(field: str, value: str, rule: str) -> None:
    line = refusal({"project_slug": "falcon-service", field: value})
    shown = json.dumps(value, ensure_ascii=False)
    shown = shown if shown.isprintable() else json.dumps(value)
    assert line.startswith(f"{field} {shown} {rule}")
    assert line.isprintable()


@pytest.mark.parametrize("field", dict.fromkeys(field for field, _, _ in REFUSALS))
def test_refusal_on_the_command_line(tmp_path: Path, field: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    value, rule = next(case[1:] for case in REFUSALS if case[0] == field)
    result = cookiecutter(out, "--no-input", str(TEMPLATE), f"{field}={value}")
    assert result.stderr.startswith(f"{field} {json.dumps(value)} {rule}\n")
    assert result.stdout == ""
    assert result.returncode == 1
    assert set(tmp_path.iterdir()) == {out, tmp_path / "home"}
    assert list(out.iterdir()) == []


# By the name of the prompt: a good answer, as it is typed and kept, and a bad one.
TYPED = {
    "project_name": ("""It's "{{ 7 * 7 }}" {% raw %} {{{# x #} $HOME \\ Größe""", None, "x" * 251),
    "project_slug": ("good", None, "a/b"),
    "description": ("-d 'x' = y", None, "x" * 251),
    "author_name": ("Jane Doe", None, "x" * 251),
    "author_email": ("jane@example.com", None, "jane@"),
    "repository_url": ("https://gitlab.com/a/b/good", None, "https://gitlab.com/a"),
    "license": ("2", "Apache-2.0", None),
    "base_image": ("3", "python:3.14-slim", None),
    "github_dependency": ("thing @ git+https://github.com/o/r.git", None, "thing @"),
    "interface": ("2", "asgi", None),
}


@pytest.mark.parametrize("field", [name for name, (*_, bad) in TYPED.items() if bad])
def test_refusal_before_the_next_question(tmp_path: Path, field: str) -> None:
    out = tmp_path / "out"
    before = list(TYPED)[: list(TYPED).index(field)]
    lines = [*(TYPED[name][0] for name in before), TYPED[field][2], "never read", ""]
    # what is typed wins over what is given
    given = [str(TEMPLATE), "project_name=a", f"{field}=b", "interface=asgi"]
    result = cookiecutter(out, *given, typed="\n".join(map(str, lines)))
    line, *command = result.stderr.splitlines()
    assert line.startswith(f"{field} {json.dumps(TYPED[field][2])} must ")
    assert result.returncode == 1
    assert f"[{len(before) + 1}/10]" in result.stdout
    assert f"[{len(before) + 2}/10]" not in result.stdout
    assert not out.exists()
    if not before:
        assert command == []
        return
    [keeps] = command
    words = shlex.split(keeps.removeprefix("To keep the answers before it: cookiecutter "))
    again = cookiecutter(out, *words[2:], "--no-input")
    assert words[:2] == ["--output-dir", str(out)]
    assert again.returncode == 0, again.stderr
    (replay,) = (tmp_path / "home").rglob("*.json")
    answers = json.loads(replay.read_text("utf-8"))["cookiecutter"]
    assert answers["interface"] == "asgi"
    assert answers[field] not in {"b", TYPED[field][2]}
    for name in before:
        assert answers[name] == (TYPED[name][1] or TYPED[name][0])


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("author_email", 'jane"""\\', EMAIL),
        ("description", 5, "must be text"),
        ("github_dependency", None, "must be text"),
        ("base_image", ["alpine:latest"], "must be text"),
        *((name, "other", f"must be one of {', '.join(CHOICES[name])}") for name in CHOICES),
    ],
)
def test_hook_refuses_what_a_replay_brings(
    tmp_path: Path, field: str, value: object, rule: str
) -> None:
    out = tmp_path / "out"
    assert cookiecutter(out, "--no-input", str(TEMPLATE)).returncode == 0
    (replay,) = (tmp_path / "home").rglob("*.json")
    answers = json.loads(replay.read_text("utf-8"))
    answers["cookiecutter"] |= {"project_slug": "other", field: value}
    replay.write_text(json.dumps(answers), "utf-8")
    result = cookiecutter(out, "--replay-file", str(replay), str(TEMPLATE))
    assert result.returncode == 1
    assert result.stderr == f"{field} {json.dumps(value)} {rule}\n"
    # after cookiecutter's own traceback
    assert result.stdout.endswith("\nHook script failed (exit status: 1)\n")
    assert not (out / "other").exists()


@pytest.mark.parametrize(("default", "shown"), [("", "null"), ("no", "false")])
def test_default_of_the_user_that_is_no_text(tmp_path: Path, default: str, shown: str) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(f"default_context:\n  github_dependency: {default}\n")
    out = tmp_path / "out"
    result = cookiecutter(out, "--no-input", "--config-file", str(config), str(TEMPLATE))
    assert result.stderr.startswith(f"github_dependency {shown} must be text\n")
    assert result.returncode == 1
    assert not out.exists() or list(out.iterdir()) == []
