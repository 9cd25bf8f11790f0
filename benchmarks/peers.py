"""Print what options of FastAPI-template add to its service: MB of packages, and lines."""

import subprocess
import sys
import tomllib
from pathlib import Path
from tempfile import TemporaryDirectory
from venv import EnvBuilder

PEER = "fastapi_template==6.1.2"
# The Python of its image.
PYTHON = "3.13"
POSTGRESQL = ("--db=postgresql", "--routers", "--dummy")
OPTIONS = {
    "PostgreSQL with psycopg, no migrations": (*POSTGRESQL, "--orm=psycopg"),
    "PostgreSQL with SQLAlchemy and Alembic": (*POSTGRESQL, "--orm=sqlalchemy", "--migrations"),
    "a worker (taskiq, RabbitMQ and Redis)": ("--taskiq", "--rabbit", "--redis"),
    "Sentry": ("--sentry",),
    "OpenTelemetry": ("--opentelemetry",),
    "Traefik's labels": ("--traefik",),
}


def measure(folder: Path, tools: Path, *options: str) -> tuple[float, int]:
    """Return the MB of the packages that a new service needs, and the lines of its files."""
    made = folder / "service"
    given = {"--db": "none", "--orm": "none", "--ci": "none", "--api-type": "rest"}
    given |= dict(option.split("=") for option in options if "=" in option)
    flags = [option for option in options if "=" not in option]
    named = [word for pair in given.items() for word in pair]
    subprocess.run(
        [tools / "fastapi_template", "--name=service", "--quiet", *named, *flags],
        cwd=folder,
        env={"PATH": f"{tools}:/usr/bin:/bin", "HOME": str(folder)},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    files = [it for it in made.rglob("*") if it.is_file() and ".git" not in it.parts]
    lines = sum(it.read_bytes().count(b"\n") for it in files if it.suffix != ".lock")
    needs = tomllib.loads((made / "pyproject.toml").read_text())["project"]["dependencies"]
    subprocess.run(
        [
            *(tools / "uv", "pip", "install", "--quiet", "--only-binary=:all:"),
            *(f"--python-version={PYTHON}", "--python-platform=x86_64-unknown-linux-gnu"),
            *(f"--target={folder}/packages", *needs),
        ],
        check=True,
    )
    packages = (it for it in (folder / "packages").rglob("*") if it.is_file())
    return sum(it.stat().st_size for it in packages) / 1e6, lines


def main() -> None:
    """Print a row for each option."""
    with TemporaryDirectory() as name:
        work = Path(name)
        EnvBuilder(with_pip=True).create(work / "venv")
        tools = work / "venv" / "bin"
        install = (tools / "python", "-m", "pip", "install", "--quiet", PEER, "uv")
        subprocess.run(install, check=True)
        sys.stdout.write(f"{PEER}\n")
        base = (0.0, 0)
        for option, flags in ({"nothing": ()} | OPTIONS).items():
            folder = work / str(len(list(work.iterdir())))
            folder.mkdir()
            size, lines = measure(folder, tools, *flags)
            sys.stdout.write(f"{option}: {size - base[0]:.1f} MB, {lines - base[1]} lines\n")
            base = base if any(base) else (size, lines)


if __name__ == "__main__":
    main()
