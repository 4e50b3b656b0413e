"""
Draw the pictures of docs/example.md from a warehouse: `python -m loadtests.example.plots WAREHOUSE FOLDER`.

Nothing but the warehouse's catalogue is read, as an analyst reads it. It waits until what was imported and
replayed is published.
"""

import argparse
import sys
import time
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import duckdb
import matplotlib as mpl
import polars as pl
from matplotlib import pyplot as plt
from scipy.stats import spearmanr

from kernel.running.process import prepare_process
from warehouse.catalogue import NAME

WAIT_S: Final = 600.0
SETTLED_S: Final = 30.0  # in which nothing more is published: projections are told apart by seconds
POLL_S: Final = 1.0
mpl.use("svg")
# The same numbers make the same bytes.
mpl.rcParams.update({"svg.hashsalt": "veritas", "font.size": 9, "axes.spines.top": False})
mpl.rcParams["axes.spines.right"] = False


class Analyst:
    """Who has the warehouse's folder, and nothing else."""

    def __init__(self, warehouse: Path) -> None:
        """Remember where the catalogue is."""
        self._catalogue = warehouse / NAME

    def ask(self, name: str) -> pl.DataFrame:
        """Return the answer to a query of the folder beside this, over what is published now."""
        query = (files("loadtests.example") / "queries" / f"{name}.sql").read_text(encoding="utf-8")
        with duckdb.connect(str(self._catalogue), read_only=True) as conn:
            found = pl.from_arrow(conn.sql(query).to_arrow_table())
        assert isinstance(found, pl.DataFrame), "a table is a frame"
        return found


def wait(analyst: Analyst) -> None:
    """Wait until nothing more is published; raises TimeoutError, which says what there is."""
    began = settled = time.monotonic()
    before: tuple[Any, ...] | None = None
    while time.monotonic() - began < WAIT_S:
        try:
            counts = analyst.ask("counts").row(0)
        except duckdb.Error:  # nothing is published yet
            counts = None
        if counts is None or counts != before:
            before, settled = counts, time.monotonic()
        elif min(counts) and time.monotonic() - settled > SETTLED_S:
            return
        time.sleep(POLL_S)
    message = f"events, attempts, items of submissions and of exams that are published: {before}"
    raise TimeoutError(message)


def finals(analyst: Analyst, folder: Path) -> None:
    """Draw how the scores of both sittings lie, and how their questions measured."""
    submissions = analyst.ask("finals")
    _, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4))
    exams = submissions.group_by("exam_id").len().sort("len", "exam_id")["exam_id"].to_list()
    scores = [submissions.filter(pl.col("exam_id") == exam)["percentage"].sort().to_list() for exam in exams]
    names = [f"sitting {n}, n = {len(some)}" for n, some in enumerate(scores, 1)]
    left.hist(scores, bins=list(range(0, 101, 10)), label=names)
    left.axvline(50, color="grey", linewidth=0.8, linestyle="--")
    left.set(title="Final examination", xlabel="score, % of 100 points", ylabel="students")
    left.legend(frameon=False)
    questions = analyst.ask("questions")
    for n, exam in enumerate(exams, 1):
        rows = questions.filter(pl.col("exam_id") == exam)
        right.scatter(
            rows["difficulty"].to_list(), rows["point_biserial"].to_list(), s=18, label=f"sitting {n}"
        )
        for place, x, y in rows.select("position", "difficulty", "point_biserial").iter_rows():
            if n == len(exams) and y is not None:
                right.annotate(str(place), (x, y), fontsize=6, xytext=(3, 2), textcoords="offset points")
    right.axhline(0.10, color="grey", linewidth=0.8, linestyle="--")
    right.set(
        title="Its questions", xlabel="difficulty (share of the points won)", ylabel="corrected item-total r"
    )
    right.legend(frameon=False)
    _save(folder / "finals.svg")


def activity(analyst: Analyst, folder: Path) -> None:
    """Draw when there was activity, and whether it goes with the score."""
    days, together = analyst.ask("days"), analyst.ask("together")
    _, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4))
    names = [f"{day:%d %b}\n{count} sessions" for day, count in days.select("day", "sessions").iter_rows()]
    base = [0] * len(days)
    for name in ("keys", "mouse", "neither"):
        left.bar(names, days[name].to_list(), bottom=base, label=name)
        base = [below + more for below, more in zip(base, days[name].to_list(), strict=True)]
    left.tick_params(axis="x", labelsize=6)
    left.set(title="Stretches of activity, by what was used", ylabel="events", ylim=(0, 1.3 * max(base)))
    left.legend(frameon=False, loc="upper left", ncols=3)
    rho, p = spearmanr(together["stretches"].to_list(), together["percentage"].to_list())
    right.scatter(together["stretches"].to_list(), together["percentage"].to_list(), s=12)
    right.set(
        title=f"Activity and score: Spearman's rho {rho:.2f}, p = {p:.2g}, n = {len(together)}",
        xlabel="events of all sessions",
        ylabel="best final score, %",
    )
    right.title.set_fontsize(8)
    _save(folder / "activity.svg")


def grades(analyst: Analyst, folder: Path) -> None:
    """Draw whether the grades of the laboratory go with the final score, session by session."""
    pairs = analyst.ask("grades")
    sessions = pairs["session"].unique().sort().to_list()
    _, axes = plt.subplots(1, len(sessions), figsize=(9, 2.4), sharey=True)
    for place, session in zip(axes, sessions, strict=True):
        some = pairs.filter(pl.col("session") == session)
        rho, _ = spearmanr(some["grade"].to_list(), some["percentage"].to_list())
        place.scatter(some["grade"].to_list(), some["percentage"].to_list(), s=8)
        place.set(title=f"session {session}, rho {rho:.2f}", xlabel="grade, %")
        place.title.set_fontsize(8)
    axes[0].set(ylabel="best final score, %")
    _save(folder / "grades.svg")


def _save(path: Path) -> None:
    plt.tight_layout()
    plt.savefig(path, metadata={"Date": None})
    plt.close()
    # matplotlib ends lines with blanks
    path.write_text("".join(f"{line.rstrip()}\n" for line in path.read_text().splitlines()))


PICTURES: Final[tuple[Callable[[Analyst, Path], None], ...]] = (finals, activity, grades)


def main() -> int:
    """Draw everything; return 0."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("warehouse", type=Path)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    analyst = Analyst(given.warehouse)
    wait(analyst)
    for draw in PICTURES:
        draw(analyst, given.folder)
    return 0


if __name__ == "__main__":
    prepare_process()
    sys.exit(main())
