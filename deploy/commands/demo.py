"""
`make demo`: the whole chain at work for about a minute, shown in a terminal, then stopped.

Simulated candidates take their seats by launch links, think, write, switch tabs, lose their network and get
it back, hand in, all over real HTTP. Then: what they know against what the database holds, their receipts
checked offline, what the proctor saw and the reviewer decides, what their teacher sees of the exam, of one
student, of two whose answers are the same, what an analyst asks, what follows a claim, and what is left
of somebody who was erased.
"""

import asyncio
import secrets
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any, Final

import aiohttp
from rich.console import Console
from rich.panel import Panel
from rich.syntax import Syntax
from rich.table import Table

from deploy.commands.demo_afterwards import afterwards
from deploy.commands.demo_analytics import plant, show_numbers
from deploy.commands.demo_erasure import forget, hurry
from deploy.commands.demo_proctoring import TEMPTED, Desk, cast, review, send_picture
from deploy.commands.demo_receipts import Kept, answers_table, keep_receipts, pinned_key
from deploy.commands.demo_wall import PATH as WALL
from deploy.commands.demo_wall import proctor
from deploy.local.server import ServerError, is_free
from deploy.local.stack import INGEST_PORT, open_stack
from deploy.local.supervisor import StackError as NotStartedError
from kernel.events import Role
from kernel.http.networks import hosts_of
from kernel.settings import Settings, load
from loadtests.check.counting import ask, in_archive, question
from loadtests.check.figures import Figures, figures
from loadtests.check.history import Report, check, rows_of
from loadtests.client.room import Room
from loadtests.client.stack import Stack, StackError, call, local_stack, sign_in
from loadtests.terminal import delivery

INTRODUCTION: Final = (
    "{candidates} simulated candidates sit an exam for {seconds} seconds. Their answers are saved while they "
    "write, handed in once, and sealed into a ledger; each gets a receipt that is checked without us. What "
    "their browsers see goes over HTTP into a Redis stream that is synced to disk before each reply, from "
    "there into TimescaleDB, and on into the teacher's analytics and into Parquet files. Real servers, real "
    "requests."
)
QUESTIONS: Final = {
    "When was most going on?": "busiest_seconds",
    "Who pasted right after coming back from another tab?": "pastes_after_tab_switches",
    "Whose client fell silent longest?": "quietest_candidates",
}
PROJECTED_WITHIN_S: Final = 45.0
SCORED_WITHIN_S: Final = 45.0
POLL_S: Final = 0.25
STUDENTS_SHOWN: Final = 8
STUDENTS_ASKED: Final = 200


def run(*, candidates: int = 200, seconds: int = 60) -> int:
    """
    Show the chain and return the exit code: 0 when nothing was lost, 1 when something was, 2 when it cannot
    start.

    Args:
        candidates: how many sit the exam.
        seconds: how long they sit.
    """
    console = Console(highlight=False)
    text = INTRODUCTION.format(candidates=candidates, seconds=seconds)
    console.print(Panel(text, title="Veritas", title_align="left", border_style="cyan"))
    hurry()
    try:
        return asyncio.run(_demo(load(), candidates, seconds, console))
    except (StackError, ServerError, NotStartedError) as error:
        console.print(str(error), style="red")
        return 2


async def _demo(settings: Settings, candidates: int, seconds: int, console: Console) -> int:
    async with AsyncExitStack() as cleanup:
        began = monotonic()
        with console.status("starting PostgreSQL, Redis and every tier"):
            hosts = hosts_of(settings.http_host)
            ports = [p if is_free(p, *hosts) else 0 for p in (settings.http_port, INGEST_PORT)]
            opening = open_stack(settings, lambda _: None, port=ports[0], ingest_port=ports[1])
            await cleanup.enter_async_context(opening)
        stack = local_stack(Path(settings.state))
        _done(
            console,
            f"PostgreSQL with TimescaleDB, Redis and every tier run: {stack.url}",
            began,
        )
        http = await cleanup.enter_async_context(
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        )
        room = Room(http, stack, secrets.randbits(32))
        cleanup.push_async_callback(room.close)
        key = pinned_key(settings)
        evidence_id = await _hold(http, stack, room, candidates, seconds, console)
        with console.status("counting what the candidates know against what the database holds"):
            rows = await rows_of(stack.database_url, (client.seat.session_id for client in room.clients))
            found = await asyncio.to_thread(check, room.log, rows)
        console.print(_verdict(found, figures(room.log), room))
        if not found.ok:
            console.print(found.text(), style="red")
        with console.status("waiting for the ledger's next signed head, and checking everybody's receipt"):
            kept = await keep_receipts(room, stack, settings, key)
        console.print(answers_table(kept))
        desk = Desk(http, stack, room, console, key, kept.folder)
        reviewed = await review(desk, evidence_id, seconds)
        await _show_teacher(http, stack, room, found, console)
        is_pair_found = await show_numbers(desk)
        await _show_analyst(stack, room, found, console)
        admin = await sign_in(http, stack.url, stack.account(Role.admin))
        is_settled = await afterwards(desk, admin)
        is_forgotten = await forget(desk, admin, settings)
        _show_addresses(stack, settings, kept, console)
    console.print("Everything is stopped.")
    is_whole = found.ok and found.acknowledged == found.created and kept.ok
    return 0 if is_whole and reviewed and is_pair_found and is_settled and is_forgotten else 1


def _done(console: Console, what: str, began: float) -> None:
    console.print(f"[green]✓[/green] {what} [dim]({monotonic() - began:.1f} s)[/dim]")


async def _hold(
    http: aiohttp.ClientSession, stack: Stack, room: Room, candidates: int, seconds: int, console: Console
) -> int:
    """Hold the exam under a proctor's eyes: everybody sits down, acts, hands in; return a file's number."""
    began = monotonic()
    title = f"Introduction to Programming, {datetime.now(UTC):%H:%M}"
    with console.status("publishing an exam, making candidates and launch links"):
        links = await room.open(title, candidates)
    _done(console, f"exam “{title}” published, {len(links)} launch links made", began)
    began = monotonic()
    with console.status("candidates take their seats"):
        await room.seat(links)
    plant(room)
    _done(console, f"{len(room.clients)} candidates have opened their attempts and proctor sessions", began)
    console.print(f"\n[bold]What the proctor sees[/bold]  [dim]WebSocket {WALL}[/dim]")
    began = monotonic()
    async with proctor(http, stack, room.token, room.exam_id, console) as wall:

        def caption() -> str:
            left = max(0.0, seconds - (monotonic() - began))
            now = f"{left:.0f} s to go" if left else "time is up"
            away = f"{room.offline} of {candidates} offline · {room.disconnects} disconnects so far"
            return f"{now} · {away}\n{wall.caption}"

        suspect = room.clients[TEMPTED].seat
        async with delivery(room.clients, None, console, caption):
            sitting = room.sit(seconds, cast(seconds))
            _, evidence_id = await asyncio.gather(sitting, send_picture(http, stack, suspect))
            if not await wall.shows(suspect.session_id, "Critical", SCORED_WITHIN_S):
                raise StackError("the proctor was not told that a score became critical")
            await room.hand_in()
    began = monotonic()
    with console.status("the teacher grades the essays"):
        graded = await room.grade()
    _done(console, f"{graded} essays graded", began)
    console.print(f"\nThe proctor was told {wall.changes:,} changes, each as it happened.")
    return evidence_id


def _verdict(found: Report, counted: Figures, room: Room) -> Table:
    """Return what became of the events, as the candidates' own logs and the database tell it."""
    table = Table(
        title="\nWhat became of the events", title_justify="left", title_style="bold", show_header=False
    )
    table.add_column()
    table.add_column(justify="right")
    table.add_column(style="dim")
    table.add_row("accepted", f"{found.acknowledged:,}", f"of {found.created:,} that the clients made")
    table.add_row(
        "stored", f"{found.stored - found.made_by_server:,}", f"in TimescaleDB, {found.dead} as dead letters"
    )
    table.add_row("duplicates", f"{counted.duplicates:,}", "sent twice, stored once")
    promises = {
        "lost": (found.lost, "clients' own logs against the rows"),
        "doubled": (found.doubled, ""),
        "out of order": (found.out_of_order, ""),
        "holes in the sequence": (found.gaps, ""),
        "changed or invented": ([*found.changed, *found.invented], ""),
    }
    for name, (faults, note) in promises.items():
        colour = "red" if faults else "green"
        table.add_row(name, f"[{colour}]{len(faults)}[/{colour}]", note)
    table.add_row("disconnects", f"{room.disconnects:,}", "buffered, then sent in order")
    table.add_row("noted by the server", f"{found.made_by_server:,}", "heartbeats missing for 45 s, and back")
    latency = counted.latency_ms
    for name, ms in (("p50", latency.p50), ("p95", latency.p95), ("p99", latency.p99)):
        shown = "-" if ms is None else f"{ms:.1f} ms"
        table.add_row(f"reply {name}", shown, "request to durable reply" if name == "p50" else "")
    return table


async def _show_teacher(
    http: aiohttp.ClientSession, stack: Stack, room: Room, found: Report, console: Console
) -> None:
    """Print the exam's analytics as its teacher gets them, once the projection has every event."""
    url = f"{stack.url}/api/teacher/exams/{room.exam_id}/analytics?limit={STUDENTS_ASKED}"
    began = monotonic()
    with console.status("waiting for the projection"):
        while True:
            reply = await call(http, "GET", url, token=room.token)
            totals = reply["analytics"]["monitoring"]
            if totals["events"] >= found.stored or monotonic() - began > PROJECTED_WITHIN_S:
                break
            await asyncio.sleep(POLL_S)
    attempts = reply["analytics"]["attempts"]
    console.print("\n[bold]What the teacher sees[/bold]  [dim]GET /api/teacher/exams/…/analytics[/dim]")
    console.print(
        f"{attempts['students']} students, {totals['events']:,} events, {totals['violations']:,} violations"
    )
    table = Table("student", "events", "violations", "tabs", "pastes", "silence", "clock")
    for column in table.columns[1:]:
        column.justify = "right"
    for student in sorted(reply["students"], key=_violations, reverse=True)[:STUDENTS_SHOWN]:
        table.add_row(student["student_name"], *_activity_cells(student["attempts"][-1]["activity"]))
    console.print(table)


def _violations(student: dict[str, Any]) -> int:
    activity = student["attempts"][-1]["activity"]
    return activity["violations"] if activity else 0


def _activity_cells(activity: dict[str, Any] | None) -> list[str]:
    if activity is None:
        return ["-"] * 6
    kinds = activity["by_type"]
    silence, skew = activity["longest_silence_s"], activity["clock_skew_ms"]
    return [
        f"{activity['events']:,}",
        f"{activity['violations']:,}",
        str(kinds.get("TabSwitched", 0)),
        str(kinds.get("PasteAttempt", 0)),
        "-" if silence is None else f"{silence:.1f} s",
        "-" if skew is None else f"{round(skew / 1000, 1) + 0.0:+.1f} s",
    ]


async def _show_analyst(stack: Stack, room: Room, found: Report, console: Console) -> None:
    """Ask the Parquet files three questions through the DuckDB catalogue, once they have every event."""
    warehouse = Path(stack.warehouse)
    began = monotonic()
    with console.status("waiting for the Parquet archive"):
        while monotonic() - began < PROJECTED_WITHIN_S:
            archived = await asyncio.to_thread(in_archive, warehouse, [room.exam_id])
            if archived.total() >= found.stored:
                break
            await asyncio.sleep(POLL_S)
    console.print(
        f"\n[bold]What an analyst asks[/bold]  [dim]duckdb -readonly {warehouse / 'catalogue.duckdb'}[/dim]"
    )
    for title, name in QUESTIONS.items():
        columns, rows = await asyncio.to_thread(ask, warehouse, name, exam_id=str(room.exam_id))
        console.print(f"\n{title}")
        text = question(name).partition("\n")[2].strip()  # without the comment at its head
        console.print(Syntax(text, "sql", background_color="default"))
        table = Table(*columns)
        for row in rows:
            table.add_row(*map(str, row))
        console.print(table)


def _show_addresses(stack: Stack, settings: Settings, kept: Kept, console: Console) -> None:
    """Say where everything is; the data stays for the next start."""
    shown = Table(
        title="\nWhere things are while it runs", title_justify="left", title_style="bold", show_header=False
    )
    shown.add_row("everything", stack.url)
    shown.add_row("API documentation", f"{stack.url}/api/docs")
    shown.add_row("events, at high rates", stack.ingest_url)
    shown.add_row("Parquet files and catalogue", stack.warehouse)
    shown.add_row("receipts", f"{kept.folder}: `veritas ledger receipt FILE`")
    shown.add_row("accounts", str(Path(settings.state) / "local.json"))
    console.print(shown)
    console.print("The data stays: `make run` starts the stack again and keeps it running.")
