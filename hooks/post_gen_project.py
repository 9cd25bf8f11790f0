"""Set the modes of the new project, make its git repository, and print what comes next."""

import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

# cruft writes .cruft.json, which belongs in the first commit, after this hook; and where it makes
# two releases of the project to compare, repositories would be in its way.
UNDER_CRUFT = bool("{{ cookiecutter._commit | default('') }}")
FIRST_COMMIT = (
    ("git", "init", "--quiet", "--initial-branch=main"),
    ("git", "add", "--all"),
    # the user's global hooks may reach the network, which this one must not
    ("git", "commit", "--quiet", "--no-verify", "--message", "chore: start the service"),
)


def set_modes() -> None:
    """Set the same modes whatever the umask of the template's owner and of its user."""
    for path in (Path(), *Path().rglob("*")):
        with suppress(OSError):  # not every file system has modes
            path.chmod(0o755 if path.is_dir() else 0o644)


def run(command: tuple[str, ...]) -> bool:
    """Return whether a command is there and succeeds; its output is not shown."""
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def commit() -> None:
    """Commit the project unless it is in a repository, and print the next commands.

    If the commit fails, no repository is left behind.
    """
    repository = Path(".git")
    inside = repository.exists() or run(("git", "rev-parse", "--is-inside-work-tree"))
    failed = None if inside else next((step for step in FIRST_COMMIT if not run(step)), None)
    if failed:
        shutil.rmtree(repository, ignore_errors=True)
        print(f'Not committed: "{" ".join(failed[:2])}" failed. Once git is set up, run:')
        print("    git init -b main && git add -A && git commit -m 'chore: start the service'")
    print("Next:")
    print("    cd {{ cookiecutter.project_slug }}")
    print("    make docker    # build the image")
    print("    make run       # or serve without Docker, on http://127.0.0.1:8000")


if __name__ == "__main__":
    # with --overwrite-if-exists, the files of a repository are its owner's
    if not Path(".git").exists():
        set_modes()
    if not UNDER_CRUFT:
        commit()
