"""The description of the interface that comes with a service is the one that it writes."""

import sys
from pathlib import Path

import pytest
from conftest import BakeFunction
from support import replace

from template_extensions import MAX_SLUG_LENGTH

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("slug", "interface"), [("x" * MAX_SLUG_LENGTH, "wsgi"), ("a1-2b-c", "asgi")]
)
def test_make_openapi_changes_nothing_until_the_interface_does(
    bake: BakeFunction, slug: str, interface: str
) -> None:
    baked = bake(project_slug=slug, interface=interface, project_name='"{}" \\ ß')
    tools = ("--old-file=.venv/installed", f"BIN={Path(sys.executable).parent}")
    (baked.path / "openapi.json").unlink()
    baked.make("openapi", *tools)
    assert baked.run("git", "status", "--porcelain").stdout == ""
    greetings = baked.path / "src" / baked.answers["__package_name"] / "greetings.py"
    replace(greetings, "max_length=100", "max_length=99")
    result = baked.run(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-k", "openapi")
    assert "run make openapi" in result.stdout
    assert "1 failed" in result.stdout
