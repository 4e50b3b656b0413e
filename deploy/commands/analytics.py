"""
`veritas analytics …`: how far its numbers can be trusted.
"""

from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from deploy.commands.helps import Group

if TYPE_CHECKING:
    from loadtests.false_alarms import Rate

app = typer.Typer(cls=Group, help="Check the numbers of analytics.", no_args_is_help=True)
TOO_MANY: Final = 1


@app.callback()
def group() -> None:
    """Check the numbers of analytics."""


@app.command("false-alarms")
def false_alarms(
    exams: Annotated[int, typer.Option(min=1, max=100_000, help="Honest exams to simulate.")] = 200,
    planted: Annotated[
        int, typer.Option(min=0, max=10_000, help="Exams to simulate of each kind with somebody planted.")
    ] = 10,
    seed: Annotated[int, typer.Option(min=0, max=2**40, help="Of the first exam; each has its own.")] = 1,
) -> None:
    """
    Simulate exams, and count how often somebody honest is accused and somebody planted is found.

    Nothing else need run. The same numbers give the same table.

    Exits with 1 when honest exams raise any alarm in more than 1 % of what it counts.
    """
    from loadtests.false_alarms import ALARMS, SEARCHES  # noqa: PLC0415
    from loadtests.false_alarms import honest as on_honest  # noqa: PLC0415
    from loadtests.false_alarms import planted as on_planted  # noqa: PLC0415

    console = Console(highlight=False)
    alarms: list[Rate] = []
    found: list[Rate] = []
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    ) as bar:
        task = bar.add_task("honest exams", total=exams)
        for alarms in on_honest(ALARMS, exams, seed):  # noqa: B007  the last is of all exams
            bar.advance(task)
        task = bar.add_task("planted exams", total=planted * len(SEARCHES))
        for search in SEARCHES:
            rates = []
            for rate in on_planted(search, planted, seed):
                rates = [rate]
                bar.advance(task)
            found += rates
    console.print(table_of("Honest exams: false alarms", alarms))
    if found:
        console.print(table_of("Planted: found", found))
    if any(rate.is_too_high for rate in alarms):
        print("TOO MANY: an alarm is raised in more than 1 % of what it counts.")
        raise typer.Exit(TOO_MANY)


def table_of(title: str, rates: "list[Rate]") -> Table:
    """Return rates as a table, each with where it is with 95 % confidence."""
    table = Table(title=title, title_justify="left")
    for name in ("what is said", "in", "exams", "found", "rate", "95 % interval"):
        table.add_column(name, justify="left" if name in {"what is said", "in"} else "right")
    for each in rates:
        low, high = each.bounds
        table.add_row(
            each.alarm.says,
            each.plans,
            f"{each.exams:,}",
            f"{each.found:,} of {each.among:,} {each.alarm.of}",
            f"{each.rate:.2%}",
            f"{low:.2%} to {high:.2%}",
        )
    return table
