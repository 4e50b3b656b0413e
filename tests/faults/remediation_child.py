"""
A process that rescores, one submission a step: `python -m tests.faults.remediation_child URL STEPS`.

It kills itself after so many steps; whoever is done before ends by itself.
"""

import asyncio
import os
import signal
import sys
from datetime import UTC, datetime

from core_api.database import system_connection
from core_api.remediations import applying
from kernel.postgres import open_pool
from kernel.settings import load


async def rescore(url: str, steps: int) -> None:
    async with await open_pool(load({}, database_url=url)) as pool, system_connection(pool) as conn:
        open_ones = await conn.fetch(applying.QUERIES["list_open"])
        for _ in range(steps):
            if await applying.step(conn, open_ones[0]["remediation_id"], now=datetime.now(UTC)) is None:
                return
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    applying.STEP = 1  # type: ignore[misc]  # a step is two hundred: here each submission is one
    asyncio.run(rescore(sys.argv[1], int(sys.argv[2])))
