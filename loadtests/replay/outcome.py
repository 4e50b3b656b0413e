"""
What a replay came to: its counts, its verdict and exit code, and how they are shown.
"""

from typing import Final

import msgspec
from rich.console import Console
from rich.text import Text

from kernel.files.findings import OURS, Group, Kind, shown
from loadtests.check.figures import Figures
from loadtests.terminal import figures_table

SHOWN_LINES: Final = 3  # of each kind of finding, in the terminal

# Exit codes.
STORED, FAULTY, CANNOT, SOME_REFUSED, EMPTY = range(5)


class Outcome(msgspec.Struct, kw_only=True):
    """
    What a replay came to: the file's rows, the clients' figures, and what the database was found to hold.

    Rows: `read` = `stored` + `refused`; `sent` are those of which events could be made; `doubtful` are stored
    as they stand. `findings` names the first of each kind, `faults` is the checker's finding, `exam_ids` are
    by title, `unread` are columns that the mapping does not read, `absent` members that it reads and no row
    has.
    """

    file: str
    read: int
    sent: int
    stored: int
    refused: int
    doubtful: int
    events: int
    events_stored: int
    findings: dict[str, Group]
    unread: list[str]
    absent: list[str]
    session_ids: list[int]
    exam_ids: dict[str, str]
    seconds: float
    figures: Figures
    faults: dict[str, list[str]]

    @property
    def code(self) -> int:
        """Return the exit code."""
        if self.faults or any(kind in self.findings for kind in OURS):
            return FAULTY
        if self.refused or Kind.damaged in self.findings:
            return SOME_REFUSED
        return STORED if self.read else EMPTY

    @property
    def ok(self) -> bool:
        """Tell whether the file has rows, and every event of every one is stored exactly once."""
        return self.code == STORED

    @property
    def verdict(self) -> str:
        """Return the outcome as a sentence."""
        match self.code:
            case 0:
                return f"{_all_rows(self.read)} stored, every event exactly once"
            case 1:
                return "NOT everything that was sent is stored exactly once"
            case 3 if self.refused:
                return _of_refused(self.refused, self.stored)
            case 3:
                rows = f"{_all_rows(self.read)} stored that" if self.read else "no row"
                return f"the file is damaged; {rows} could be read"
        return "the file holds no rows: nothing was sent"


def _of_refused(refused: int, stored: int) -> str:
    if not stored:
        return f"{_all_rows(refused)} refused; nothing is stored"
    verb = "is" if refused == 1 else "are"
    others = "the other is" if stored == 1 else f"the other {stored:,} are"
    return f"{refused:,} of {refused + stored:,} rows {verb} refused; {others} stored"


def _all_rows(count: int) -> str:
    return "the only row is" if count == 1 else f"all {count:,} rows are"


def show(outcome: Outcome, console: Console) -> None:
    """Print what came of a replay; of a file without rows there is nothing to count."""
    if outcome.code == EMPTY:
        say(console, outcome.verdict, "red")
        return
    table = figures_table("Replay", outcome.figures)
    table.add_row("rows read", f"{outcome.read:,}")
    table.add_row("… sent", f"{outcome.sent:,}")
    table.add_row("… stored", f"{outcome.stored:,}")
    table.add_row("… refused", f"{outcome.refused:,}")
    table.add_row("… doubtful, stored as they stand", f"{outcome.doubtful:,}")
    table.add_row("proctor sessions", f"{len(outcome.session_ids):,}")
    table.add_row("events of the file stored", f"{outcome.events_stored:,} of {outcome.events:,}")
    table.add_row("time", f"{outcome.seconds:.1f} s")
    console.print(table)
    for kind, found in outcome.faults.items():
        say(console, f"{kind}: {len(found)}, such as {'; '.join(found[:SHOWN_LINES])}", "red")
    for name, group in outcome.findings.items():
        heading = "refused" if group.refused else "damaged" if name == Kind.damaged else "doubtful"
        say(console, f"{heading}: {Kind(name).words} ({group.count:,})", "yellow")
        for finding in group.first[:SHOWN_LINES]:
            say(console, f"  {outcome.file}, {finding}")
        if group.count > SHOWN_LINES:
            say(console, f"  … and {group.count - SHOWN_LINES:,} more: --findings FILE writes all of them")
    if outcome.unread:
        say(console, f"columns that the mapping does not read: {', '.join(map(shown, outcome.unread))}")
    if outcome.absent:
        names = ", ".join(map(shown, outcome.absent))
        say(console, f"members that the mapping reads and no row has: {names}")
    say(console, outcome.verdict, "green" if outcome.ok else "red")


def say(console: Console, line: str, style: str = "") -> None:
    """Print a line of which parts come out of a file."""
    plain = "".join(each if each.isprintable() else "\ufffd" for each in line)
    console.print(Text(plain, style=style), soft_wrap=True)
