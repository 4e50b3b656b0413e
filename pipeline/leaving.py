"""
What a model of leaving takes, made of what is stored; and what it gives, kept for the attempts it is about.

A cohort is a group of people that exams were assigned to. Progress is read a cohort and a cut-off at a time,
so memory holds one group. Scores are told once for a cut-off, and kept: a projection reads an attempt's own,
as it reads what a person has decided, and a rebuild gives the same rows whichever workers compute them.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Final

import polars as pl
import structlog

from kernel.settings import Settings
from pipeline.features.models import PROGRESS, Model, score
from sql import named
from sql.running import connect, rows, run

LEAVING: Final = named("leaving")
TURNS: Final = named("turns")
COHORT_MIN: Final = 10  # members who are enrolled; fewer are no cohort to compare anybody with
P10: Final = 0.10
log = structlog.get_logger(__name__, process="pipeline")


def progress_of(
    settings: Settings, cut_offs: Sequence[datetime], *, horizon_days: int, as_of: datetime
) -> Iterator[pl.DataFrame]:
    """
    Yield `PROGRESS` of each cohort at each cut-off, where at least COHORT_MIN of it were enrolled.

    Args:
        settings: the database, as one who may read people's groups.
        cut_offs: up to when everything in a row is.
        horizon_days: days after a cut-off; who is asked for something within them comes back, or has left.
        as_of: outcomes of horizons that are over by then are known.
    """
    with connect(settings.database_url) as conn:
        for (cohort_id,) in run(conn, LEAVING["list_cohorts"]).fetchall():
            for cut_off in cut_offs:
                bound = LEAVING.bind(
                    "list_cohort_progress",
                    cohort_id=cohort_id,
                    cut_off=cut_off,
                    horizon_days=horizon_days,
                    as_of=as_of,
                )
                found = pl.DataFrame(rows(conn, *bound), schema=PROGRESS.schema)
                if found["is_enrolled"].sum() >= COHORT_MIN:
                    yield found


def version_in_file(model: Model, text: bytes) -> str:
    """Return what rows call a model: its version, and a hash of its file."""
    return f"{model.version}-{sha256(text).hexdigest()[:8]}"


def apply(
    settings: Settings,
    model: Model,
    version: str,
    *,
    cut_off: datetime,
    horizon_days: int,
    now: datetime,
) -> tuple[int, int]:
    """
    Score everybody who is enrolled, keep the scores, and mark the attempts for their turn.

    Returns:
        How many students were scored, and how many attempts were given a score: who has handed in nothing has
        no attempt that could have one.
    """
    students = attempts = 0
    with connect(settings.database_url) as conn:
        for progress in progress_of(settings, [cut_off], horizon_days=horizon_days, as_of=now):
            shares = progress.filter("is_enrolled").select(
                "student_id",
                done_share=pl.when(pl.col("due") > 0).then(pl.col("done") / pl.col("due")),
            )
            scored = score(model, progress).join(shares, on="student_id", maintain_order="left")
            known = shares["done_share"].drop_nulls()
            bound = LEAVING.bind(
                "put_scores",
                cohort_id=progress["cohort_id"][0],
                cut_off=cut_off,
                horizon_days=horizon_days,
                done_share_p10=known.quantile(P10, "linear") if len(known) >= COHORT_MIN else None,
                model_version=version,
                scored_at=now,
                students=scored["student_id"].to_list(),
                probabilities=scored["probability"].to_list(),
                reasons=scored["reasons"].to_list(),
                done_shares=scored["done_share"].to_list(),
            )
            with conn.transaction():
                given = [attempt for (attempt,) in run(conn, *bound)]
                run(conn, TURNS["mark_attempts"], given, ["leaving_scores"])
            students, attempts = students + scored.height, attempts + len(given)
    log.info("model_applied", model=version, students=students, attempts=attempts)
    return students, attempts
