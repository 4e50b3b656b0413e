"""
What a benchmark shows while it runs: one bar for the step under way, one line for each that is done.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

Report = Callable[[float, str], None]


class Screen:
    """The terminal of one run."""

    def __init__(self, console: Console) -> None:
        self.console = console

    @contextmanager
    def step(self, title: str, seconds: float | None = None) -> Iterator[Report]:
        """
        Show a bar while the block runs.

        Args:
            title: what is being done.
            seconds: how long it will take; None when nobody knows.

        Yields:
            A function that takes the seconds so far and what to say beside the bar.
        """
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description:<24}"),
            BarColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
        )
        with Progress(
            *columns, console=self.console, transient=True, disable=not self.console.is_terminal
        ) as progress:
            bar = progress.add_task(title, total=seconds, note="")
            yield lambda so_far, note: progress.update(bar, completed=so_far, note=note)

    def say(self, text: str) -> None:
        """Print a line that stays."""
        self.console.print(text, highlight=False, soft_wrap=True)
