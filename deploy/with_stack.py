"""
Run one command against a new local stack of its own: `python -m deploy.with_stack FOLDER COMMAND…`.

The stack is made in FOLDER (what a run before left there goes first), on free ports. The command finds it
through VERITAS_STATE; its exit code is passed on, and the stack stops when it ends.
"""

import asyncio
import os
import shutil
import sys
from pathlib import Path

from deploy.local.server import ServerError, place_for
from deploy.local.stack import open_stack
from kernel.running.process import prepare_process
from kernel.settings import load


async def run(state: Path, command: list[str]) -> int:
    """Return the command's exit code."""
    clear(state)
    environment = os.environ | {
        "VERITAS_STATE": str(state),
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}",
    }
    async with open_stack(load(state=str(state)), print, port=0, ingest_port=0):
        process = await asyncio.create_subprocess_exec(*command, env=environment)
        return await process.wait()


def clear(state: Path) -> None:
    """Remove a stack's folder, and its servers' data where that lies elsewhere."""
    for folder in (place_for(state / "postgres"), place_for(state / "redis"), state):
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    """Run what the arguments say."""
    prepare_process()
    try:
        return asyncio.run(run(Path(sys.argv[1]).resolve(), sys.argv[2:]))
    except ServerError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
