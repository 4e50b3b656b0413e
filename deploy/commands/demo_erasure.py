"""
The demo's last act: a candidate is erased, and what was proved before still proves itself.

What an erasure waits for takes more than a day where exams are held: until nothing of a session can arrive
any more, and until nobody reads an older build of the warehouse. Here it waits for seconds, and says so.
"""

import asyncio
import os
from typing import Final

import asyncpg
import orjson
from rich.table import Table

from deploy.commands.demo_afterwards import get, post, until
from deploy.commands.demo_proctoring import Desk
from deploy.commands.demo_receipts import ledger_keys, verify
from kernel.settings import PREFIX, Settings
from pipeline.ledger.export import export
from sql import named

HURRIED: Final = {"ERASURE_SETTLED_S": "5", "ERASURE_EVERY_S": "1", "BUILD_GRACE_S": "5"}
SHOWN: Final = 8
QUERIES: Final = named("word_search")


def hurry() -> None:
    """Let erasures wait for seconds, where the environment says nothing else; before settings are read."""
    for name, value in HURRIED.items():
        os.environ.setdefault(PREFIX + name, value)


async def forget(desk: Desk, admin: str, settings: Settings) -> bool:
    """
    Erase the last candidate; True when nobody is found by their address any more, the whole ledger verifies,
    and so does a receipt of somebody else.

    Args:
        desk: of the exam.
        admin: their access token.
        settings: of the stack.
    """
    if len(desk.room.sheets) < 2:
        return True
    others = (await desk.room.sheets[0].fetch_receipt())["receipt"]["submission_id"]
    person = orjson.loads((await desk.room.sheets[-1].fetch_receipt())["content"])["candidate_id"]
    email = (await get(desk, f"/admin/users/{person}", admin))["email"]
    before = await _found(desk, email)
    path = f"/admin/users/{person}/erasure"
    await post(desk, path, admin)
    with desk.console.status("erasing a candidate, step by step"):
        erased = await until(lambda found: found["status"] == "done", desk, path, admin)
    desk.say(
        "A candidate wants to be forgotten",
        f"POST /api{path}",
        "Where exams are held an erasure waits until nothing of theirs can be on its way any more; here, for "
        "seconds. Statistics and scores stay, under an id that leads to nobody. What has gone, or says "
        "nothing of them any more:",
    )
    table = Table("what", "rows")
    for name, count in sorted(erased["taken"].items(), key=lambda both: -both[1])[:SHOWN]:
        table.add_row(name, f"{count:,}")
    desk.console.print(table)
    after = await _found(desk, email)
    saved = desk.folder / "ledger.ndjson"
    events = await asyncio.to_thread(export, desk.stack.database_url, ledger_keys(settings), saved)
    _, lines = await verify(desk.key, saved)
    _, receipt = await verify(desk.key, "--receipt", desk.folder / f"{others}.json")
    desk.console.print(f"{email} was found in {before} of the database's tables, and is in {after} now.")
    desk.console.print("Checked without Veritas, after it:")
    table = Table(show_header=False)
    table.add_row(f"the ledger, {events:,} events", "\n".join(lines).replace(f"{desk.folder}/", ""))
    table.add_row("somebody else's receipt", "\n".join(receipt).replace(f"{desk.folder}/", ""))
    desk.console.print(table)
    wrong = [line for line in lines + receipt if line.startswith("WRONG: ")]
    return before > 0 and after == 0 and not wrong


async def _found(desk: Desk, word: str) -> int:
    """Return how many tables have a word somewhere."""
    conn = await asyncpg.connect(desk.stack.database_url)
    try:
        count: int = await conn.fetchval(QUERIES["count_tables_with"], word)
        return count
    finally:
        await conn.close()
