"""
The demo's last look: what became of the answers, and the candidates' receipts checked without Veritas.

The ledger's public key is taken down before the exam; the receipts are saved as candidates would save them,
and `verify_export.py` runs on them in an interpreter of its own that cannot import anything of ours.
"""

import asyncio
import sys
from pathlib import Path
from time import monotonic
from typing import Any, Final
from uuid import UUID

import aiohttp
import asyncpg
import msgspec
import orjson
from rich.table import Table

from deploy import verify_export
from deploy.local.stack import ledger_files
from kernel.ledger.checkpoints import Keys, read_keys, verifier_keys
from kernel.settings import Settings
from loadtests.check.counting import submissions_of
from loadtests.client.room import CALLS_AT_ONCE, Room
from loadtests.client.sheet import Sheet
from loadtests.client.stack import Stack, StackError

SEALED_WITHIN_S: Final = 30.0
POLL_S: Final = 0.5
FOLDER: Final = "receipts"


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the answers; `altered` is what the verifier says of a copy with one changed letter."""

    candidates: int
    submissions: int
    drafts: int
    retried: int
    retried_same: int
    receipts: int
    verified: int
    altered: str
    folder: Path

    @property
    def ok(self) -> bool:
        """True when there is one submission a candidate, and every receipt verifies but the altered one."""
        whole = self.candidates == self.submissions == self.receipts == self.verified
        return whole and self.retried == self.retried_same and self.altered.startswith("WRONG: ")


def ledger_keys(settings: Settings) -> Keys:
    """Return the keys of the stack's ledger."""
    files = settings.ledger_key_files or str(ledger_files(Path(settings.state)).key)
    return read_keys(settings.ledger_origin, files)


def pinned_key(settings: Settings) -> str:
    """Return the ledger's public key as one line, as a candidate would note it down before the exam."""
    return verifier_keys(ledger_keys(settings))[0]


async def keep_receipts(room: Room, stack: Stack, settings: Settings, key: str) -> Kept:
    """Fetch everybody's receipt as soon as it is sealed, save it, and have the verifier look at all."""
    folder = _folder(settings, room.exam_id)
    sealed = await _sealed(room.sheets)
    paths = [_save(folder / f"{each['receipt']['submission_id']}.json", each) for each in sealed]
    _, lines = await verify(key, "--receipt", *paths)
    verified = sum(" stands at position " in line and "WRONG: " not in line for line in lines)
    altered = [""]
    if sealed:
        _, altered = await verify(key, "--receipt", _altered(folder / "altered.json", sealed[0]))
    return Kept(
        candidates=len(room.sheets),
        submissions=await _submissions(stack.database_url, room.exam_id),
        drafts=sum(sheet.drafts for sheet in room.sheets),
        retried=room.retried,
        retried_same=room.retried_same,
        receipts=len(sealed),
        verified=verified,
        altered=altered[0],
        folder=folder,
    )


def _folder(settings: Settings, exam_id: UUID) -> Path:
    folder = Path(settings.state).resolve() / FOLDER / str(exam_id)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


async def _sealed(sheets: list[Sheet]) -> list[dict[str, Any]]:
    """Return the receipts that are sealed in time."""
    gate, deadline = asyncio.Semaphore(CALLS_AT_ONCE), monotonic() + SEALED_WITHIN_S

    async def fetch(sheet: Sheet) -> dict[str, Any] | None:
        while monotonic() < deadline:
            async with gate:
                receipt = await sheet.fetch_receipt()
            if receipt["ledger"]["status"] == "sealed":
                return receipt
            await asyncio.sleep(POLL_S)
        return None

    found = await asyncio.gather(*map(fetch, sheets), return_exceptions=True)
    for each in found:
        if isinstance(each, BaseException) and not isinstance(each, (StackError, aiohttp.ClientError)):
            raise each
    return [each for each in found if isinstance(each, dict)]


def _save(path: Path, receipt: dict[str, Any]) -> Path:
    path.write_bytes(orjson.dumps(receipt))
    return path


def _altered(path: Path, receipt: dict[str, Any]) -> Path:
    """Save a copy with one letter of the candidate's own text changed."""
    content = receipt["content"]
    at = content.index("candidate_id") + len('candidate_id":"')
    letter = "0" if content[at] != "0" else "1"
    return _save(path, receipt | {"content": content[:at] + letter + content[at + 1 :]})


async def verify(key: str, *words: str | Path) -> tuple[int, list[str]]:
    """Run the stand-alone verifier with arguments; return its exit code and its lines, at least one."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-I", verify_export.__file__, "--key", key, *map(str, words)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode is not None, "it has ended"
    return process.returncode, said.decode().splitlines() or [""]


async def _submissions(database_url: str, exam_id: UUID) -> int:
    conn = await asyncpg.connect(database_url)
    try:
        return await submissions_of(conn, exam_id)
    finally:
        await conn.close()


def answers_table(kept: Kept) -> Table:
    """Return what became of the answers, for people."""
    shown = Table(
        title="\nWhat became of the answers", title_justify="left", title_style="bold", show_header=False
    )
    shown.add_column()
    shown.add_column(justify="right")
    shown.add_column(style="dim")

    def row(name: str, count: int, of: int, note: str) -> None:
        colour = "green" if count == of else "red"
        shown.add_row(name, f"[{colour}]{count:,} of {of:,}[/{colour}]", note)

    row("attempts submitted", kept.submissions, kept.candidates, "one submission a candidate")
    shown.add_row("drafts saved", f"{kept.drafts:,}", "while they wrote")
    row("sent twice, same receipt", kept.retried_same, kept.retried, "the same Idempotency-Key")
    row("receipts with a proof", kept.receipts, kept.candidates, "in the signed ledger")
    row(
        "receipts verified offline",
        kept.verified,
        kept.receipts,
        "key pinned before the exam",
    )
    refused = "[green]refused[/green]" if kept.altered.startswith("WRONG: ") else "[red]accepted[/red]"
    shown.add_row("one letter changed", refused, kept.altered.removeprefix("WRONG: "))
    return shown
