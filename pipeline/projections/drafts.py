"""
How the texts of an attempt came to be, and whose texts they are like.

A turn stores an attempt's passages, which marks it again, and whom it is like (0068_draft_analysis.sql): in
the next turn it is compared through their index.
"""

from typing import Final

import polars as pl

from kernel.settings import Settings
from pipeline.features.frames import DRAFTS, EVENTS, checked
from pipeline.features.originality import draft_analysis
from pipeline.features.winnowing import Nearest, passages
from pipeline.projections.projection import Frames, Layer, Projection
from warehouse.datasets.draft_analysis import DRAFT_ANALYSIS
from warehouse.datasets.draft_passages import DRAFT_PASSAGES


def analysed(frames: Frames, _: Settings) -> pl.DataFrame:
    """Return the rows of what was handed in."""
    handed_in = frames["submissions"].select("attempt_id", "organisation_id")
    neighbours = frames["neighbours"].select("attempt_id", "question_id", "n", "other_attempt_id", "shared")
    return draft_analysis(
        kept(frames),
        checked(frames["typing"], EVENTS),
        prompts=prompts_of(frames),
        nearest={
            (attempt_id, question_id): other and Nearest(attempt_id=other, shared=shared, n=n)
            for attempt_id, question_id, n, other, shared in neighbours.iter_rows()
        },
    ).join(handed_in, on="attempt_id")


def prompts_of(frames: Frames) -> dict[str, str]:
    """Return what each question asks."""
    prompts = frames["prompts"].drop_nulls().sort("question_id", "prompt")
    return dict(zip(prompts["question_id"], prompts["prompt"], strict=True))


def kept(frames: Frames) -> pl.DataFrame:
    """
    Return the versions of texts that were handed in.

    A page saves by itself, changed or not: a save that changed nothing is no version. What was imported was
    handed over as a draft by somebody, and is one.
    """
    changed = pl.col("text") != pl.col("text").shift().over("attempt_id", "question_id")
    return (
        frames["drafts"]
        .join(frames["submissions"].select("attempt_id", "kind"), on="attempt_id")
        .sort("attempt_id", "question_id", "version")
        .filter(changed.fill_null(value=True) | (pl.col("kind") == "imported"))
        .select(DRAFTS.schema.names())
    )


ANALYSED: Final = Projection(
    layer=Layer.attempt,
    dataset=DRAFT_ANALYSIS,
    takes=("submissions", "drafts", "typing", "prompts", "neighbours"),
    compute=analysed,
)
PASSAGES: Final = Projection(
    layer=Layer.attempt,
    dataset=DRAFT_PASSAGES,
    takes=("submissions", "drafts", "prompts"),
    compute=lambda frames, _: passages(kept(frames), prompts_of(frames)),
    is_published=False,
)
