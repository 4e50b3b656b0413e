"""
What a run shows in the terminal while it lasts, and its figures as a table.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from typing import Final

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from kernel.running.tasks import cancel
from loadtests.check.figures import Figures
from loadtests.client.client import Client

REFRESH_S: Final = 0.2


@asynccontextmanager
async def delivery(
    clients: Collection[Client], events: int | None, console: Console, caption: Callable[[], str] = str
) -> AsyncIterator[None]:
    """
    Show while the block runs how many events the clients have made, had acknowledged, and know to be stored.

    Args:
        clients: may grow meanwhile.
        events: how many there will be; None when nobody knows.
        console: where to show it.
        caption: gives the line below the bars.
    """
    progress = Progress(
        TextColumn("{task.description:<14}"),
        BarColumn(bar_width=40),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    )
    bars = [progress.add_task(word, total=events) for word in ("created", "acknowledged", "stored")]

    def picture() -> Group:
        created = sum(client.outbox.created for client in clients)
        offered = sum(client.outbox.offered for client in clients)
        held = sum(len(client.outbox) for client in clients)
        for bar, done in zip(bars, (created, created - offered, created - held), strict=True):
            progress.update(bar, completed=done, total=events or created)
        return Group(progress, Text(caption(), style="dim"))

    with Live(picture(), console=console, auto_refresh=False) as live:

        async def keep_fresh() -> None:
            while True:
                live.update(picture(), refresh=True)
                await asyncio.sleep(REFRESH_S)

        task = asyncio.create_task(keep_fresh())
        try:
            yield
        finally:
            await cancel([task])
            live.update(picture(), refresh=True)


def figures_table(title: str, figures: Figures) -> Table:
    """Return the figures of a run as a table of two columns."""
    table = Table("", "", title=title, show_header=False, title_justify="left", title_style="bold")
    table.columns[1].justify = "right"
    rows = {
        "events created": f"{figures.created:,}",
        "events acknowledged": f"{figures.acknowledged:,}",
        "events sent twice, stored once": f"{figures.duplicates:,}",
        "events given up after a final refusal": f"{figures.given_up:,}",
        "requests with events": f"{figures.requests:,}",
        "… sent again": f"{figures.resent:,}",
        "… without a reply": f"{figures.unanswered:,}",
        "… to be sent again": _by_code(figures.waits),
        "… refused": _by_code(figures.refusals),
        "acknowledged events a second": f"{figures.acked_events_per_s:,.0f}",
    }
    for name, value in rows.items():
        table.add_row(name, value)
    latency = figures.latency_ms
    for name, ms in (("p50", latency.p50), ("p95", latency.p95), ("p99", latency.p99), ("max", latency.max)):
        table.add_row(f"acknowledgement {name}", "-" if ms is None else f"{ms:.1f} ms")
    return table


def _by_code(counts: dict[str, int]) -> str:
    total = sum(counts.values())
    names = ", ".join(f"{code} {count}" for code, count in sorted(counts.items()))
    return f"{total:,} ({names})" if counts else "0"
