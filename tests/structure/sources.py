"""The files of the product and of the repository, as the tests of its structure read them."""

from __future__ import annotations

import ast
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("seawall", "roles", "edge", "shield", "origin_stub", "console", "simulator")  # some are not built yet

# Where there is no git: what .gitignore names, and git's own.
_NOT_COMMITTED = frozenset(
    {".git", ".venv", "node_modules", "__pycache__", "build", "dist"}
    | {".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis", ".import_linter_cache"}
)


def product() -> list[Path]:
    """Every Python file that is installed, relative to the root."""
    return sorted(file.relative_to(ROOT) for package in PACKAGES for file in (ROOT / package).rglob("*.py"))


def module_of(file: Path) -> str:
    """The dotted name under which a file of the product is imported."""
    parts = file.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(file: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of whatever a file imports, at its top or anywhere in it."""
    for node in ast.walk(ast.parse((ROOT / file).read_bytes())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = module_of(file).split(".")
                up = node.level - (file.name == "__init__.py")
                base = ".".join([*package[: len(package) - up], *([base] if base else [])])
            for alias in node.names:
                yield node.lineno, f"{base}.{alias.name}"


def repository() -> list[Path]:
    """Every file that is committed or about to be, relative to the root."""
    # safe.directory: in CI the checkout may belong to somebody else than the one who tests it.
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout
        files = [Path(name) for name in listed.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        files = list(_walk())
    return sorted(file for file in files if (ROOT / file).is_file())


def _walk() -> Iterator[Path]:
    for directory, names, files in os.walk(ROOT):
        names[:] = [name for name in names if name not in _NOT_COMMITTED and not name.endswith(".egg-info")]
        yield from (Path(directory, file).relative_to(ROOT) for file in files)
