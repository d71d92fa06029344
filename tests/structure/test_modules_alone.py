"""Every module can be imported first: no import works only because another one came before it."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from tests.structure.sources import ROOT, module_of, product


def import_alone(module: str) -> str:
    """What a fresh interpreter complains of when this is all it imports; empty when nothing."""
    # -I leaves out what the environment adds; the checkout is put back by hand.
    program = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import {module}"
    command = [sys.executable, "-I", "-W", "error", "-c", program]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return "" if ended.returncode == 0 else f"{module}:\n{ended.stderr}"


def test_every_module_imports_alone_in_a_fresh_interpreter() -> None:
    modules = [module_of(file) for file in product() if file.name != "__main__.py"]
    assert len(modules) > 20, "the product's files were not found"
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 2) as pool:
        complaints = [complaint for complaint in pool.map(import_alone, modules) if complaint]
    assert not complaints, "\n".join(complaints)


def test_a_module_that_cannot_be_imported_is_noticed() -> None:
    assert "ModuleNotFoundError" in import_alone("seawall.no_such_module")
