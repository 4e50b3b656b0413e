"""
How fast PostgreSQL alone finalises attempts: `finalise.sql`, run by PostgreSQL's own pgbench.

The same statements as the product's in one transaction, prepared, by as many clients as the product's pool
has connections, as the product's own role. What it leaves equals what the product leaves, table by table
(tests/integration/loadtests/test_bench_core.py).
"""

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from deploy.local.programs import find_postgres

SCRIPT: Final = Path(__file__).with_name("finalise.sql")
_RATE: Final = re.compile(r"^tps = ([0-9.]+) \(without initial connection time\)$", re.MULTILINE)


class PgbenchError(Exception):
    """pgbench is not there, or a transaction failed; the message holds its words."""


def finalises_per_s(
    url: str, values: Mapping[str, str], *, before: int, clients: int, attempts: int
) -> float:
    """
    Return attempts finalised a second by pgbench, connecting left out.

    Args:
        url: of the database, as the core API's role.
        values: one real finalisation of the same exam, as sql/queries/loadtests/bench_core.sql gives it.
        before: number before the first attempt's; candidates are 1 to `attempts`.
        clients: connections, each of which finalises its share.
        attempts: a multiple of `clients`.

    Raises:
        PgbenchError: see there.
    """
    assert attempts % clients == 0, "each client finalises as many"
    programs = find_postgres()
    if programs is None or not (programs.bin_folder / "pgbench").exists():
        raise PgbenchError("pgbench is not beside the PostgreSQL that is installed")
    parts = urlsplit(url)
    variables = {**values, "before": str(before), "clients": str(clients), "turn": "0"}
    # The servers' sizes decide, not the number of threads: one for each core.
    threads = min(clients, os.cpu_count() or 1)
    command = [
        *(str(programs.bin_folder / "pgbench"), "--no-vacuum", "--protocol=prepared", f"--file={SCRIPT}"),
        *(f"--client={clients}", f"--jobs={threads}", f"--transactions={attempts // clients}"),
        *(f"--define={name}={value}" for name, value in variables.items()),
        *("--host", str(parts.hostname), "--port", str(parts.port), "--username", str(parts.username)),
        parts.path.removeprefix("/"),
    ]
    environment = os.environ | {"PGPASSWORD": parts.password or "", "LC_ALL": "C"}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)  # noqa: S603
    rate = _RATE.search(done.stdout)
    if done.returncode or rate is None or "number of failed transactions: 0" not in done.stdout:
        raise PgbenchError(f"pgbench: {(done.stderr or done.stdout).strip()[-1000:]}")
    return float(rate[1])
