"""Keep the standard library as one archive of compressed bytecode.

Usage, as root in the image: python3 -I -S -B trim_stdlib.py

Compiles every module into pythonXY.zip, where CPython looks before it looks into the folder
pythonX.Y, and removes the sources. Extension modules and data stay files. Where a module does not
compile, or the interpreter not start from the archive, the sources stay, and a warning says so.
"""

import py_compile
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

# A copy of pip; what needs a display; the text of the manual; CPython's own tests.
LEFT_OUT = ("ensurepip", "idlelib", "pydoc_data", "test", "tkinter", "turtle.py", "turtledemo")
# The oldest date that a zip archive can hold: the same modules make the same archive.
DATE = (1980, 1, 1, 0, 0, 0)
CHECK = "import ctypes, json, sqlite3, ssl; assert '.zip' in json.__file__, json.__file__"


def modules(stdlib: Path) -> list[Path]:
    """Return the sources of the library; folders such as site-packages are not of it."""
    return sorted(
        source
        for source in stdlib.rglob("*.py")
        if all(folder.isidentifier() for folder in source.relative_to(stdlib).parts[:-1])
    )


def write(archive: Path, sources: list[Path], stdlib: Path) -> None:
    """Write the bytecode of sources into an archive; tracebacks name the sources as before."""
    bytecode = str(archive.with_suffix(".pyc"))
    unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
    with zipfile.ZipFile(archive, "w") as target:
        for source in sources:
            py_compile.compile(str(source), bytecode, doraise=True, invalidation_mode=unchecked)
            entry = zipfile.ZipInfo(f"{source.relative_to(stdlib)}c", DATE)
            target.writestr(entry, Path(bytecode).read_bytes(), zipfile.ZIP_DEFLATED, 9)
            Path(bytecode).unlink()


def main() -> None:
    """Trim the library of the interpreter that runs this."""
    stdlib = Path(sysconfig.get_path("stdlib"))
    for name in LEFT_OUT:
        path = stdlib / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    sources = modules(stdlib)
    archive = stdlib.with_name(f"python{sys.version_info.major}{sys.version_info.minor}.zip")
    aside = {source: source.with_suffix(".aside") for source in sources}
    try:
        write(archive, sources, stdlib)
        for source in sources:
            source.rename(aside[source])
        subprocess.run([sys.executable, "-I", "-S", "-B", "-c", CHECK], check=True)  # noqa: S603
    except (py_compile.PyCompileError, subprocess.CalledProcessError) as error:
        archive.unlink()
        for source in sources:
            if aside[source].exists():
                aside[source].rename(source)
        print(f"WARNING: the standard library stays untrimmed: {error}", file=sys.stderr)
        return
    for source in sources:
        aside[source].unlink()
        shutil.rmtree(source.parent / "__pycache__", ignore_errors=True)
    for folder in sorted((path for path in stdlib.rglob("*") if path.is_dir()), reverse=True):
        if folder.name != "site-packages" and not any(folder.iterdir()):
            folder.rmdir()


if __name__ == "__main__":
    main()
