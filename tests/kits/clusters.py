"""
A migrated PostgreSQL cluster, copied to where a test's own server is going to start: to make and to migrate
one costs three seconds of a core, to copy it a tenth of one.
"""

import atexit
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from deploy.local.postgres import start_postgres
from deploy.local.server import REACHABLE, home_for
from sql.migrate import migrate


@cache
def _made() -> Path:
    """Return the home of a cluster that nobody runs, with its password; made once a process."""
    folder = Path(tempfile.mkdtemp(prefix="veritas-", dir="/tmp"))
    folder.chmod(REACHABLE)
    atexit.register(_forget, folder, os.getpid())
    server = start_postgres(folder / "postgres")
    try:
        migrate(server.url)
    finally:
        server.close()
    return server.home


def _forget(folder: Path, maker: int) -> None:
    """Remove the cluster with the process that made it; what that forked has none."""
    if os.getpid() == maker:
        shutil.rmtree(folder, ignore_errors=True)


def laid(folder: Path) -> Path:
    """
    Return the folder, in which `start_postgres` finds a cluster with all migrations: for a test that is about
    what comes after them.
    """
    made = _made()
    subprocess.run(["cp", "-a", made / "data", made / "password", home_for(folder)], check=True)
    return folder


def laid_state(state: Path) -> Path:
    """Return the state folder of a stack, whose PostgreSQL finds the same."""
    state.mkdir()
    state.chmod(REACHABLE)
    laid(state / "postgres")
    return state
