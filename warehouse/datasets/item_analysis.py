"""
How each item of a form measured.
"""

from typing import Final

import pyarrow as pa

from warehouse.layout import TIME, column, describe

ITEM_ANALYSIS: Final = describe(
    "item_analysis",
    1,
    grain="one row per exam, form and item",
    partition_key="exam_id",
    group=slice(-2, None),
    sort=("exam_id", "form_id", "position"),
    columns=[
        column("exam_id", pa.string(), "The exam.", "UUID as text"),
        column("organisation_id", pa.string(), "The exam's organisation.", "UUID as text"),
        column("form_id", pa.string(), "The evaluation version that the item is in.", "UUID as text"),
        column("position", pa.int32(), "Its place in the form, from 1.", "place"),
        column("question_id", pa.string(), "The question, the same in all its versions.", "UUID as text"),
        column("question_version_id", pa.string(), "Its version.", "UUID as text"),
        column(
            "kind",
            pa.string(),
            "`single_choice`, `multiple_choice`, `numeric`, `short_text`, `essay` or `finding`.",
        ),
        column(
            "key",
            pa.string(),
            "The right response.",
            null="there is none, or more than one response is right",
        ),
        column("max_points", pa.float64(), "What the item is worth.", "points"),
        column("n", pa.int64(), "Submissions that are counted: not void, all points known.", "submissions"),
        column(
            "difficulty",
            pa.float64(),
            "Mean share of the points; the higher, the easier.",
            "0 to 1",
            null="no submission is counted",
        ),
        column("omitted", pa.int64(), "How many gave no response and got no points.", "submissions"),
        column(
            "point_biserial",
            pa.float64(),
            "Correlation of its points with those of all other items.",
            "-1 to 1",
            null="one of the two is the same for all, or there is no other item",
        ),
        column(
            "biserial",
            pa.float64(),
            "The same with the normal trait behind right and wrong.",
            "may exceed -1 to 1",
            null="no point_biserial, or some got part of the points",
        ),
        column(
            "d27",
            pa.float64(),
            "Mean share of the points in the upper 27 % by total less that in the lower.",
            "-1 to 1",
            null="no submission is counted",
        ),
        column(
            "alpha_if_deleted",
            pa.float64(),
            "Cronbach's alpha of the other items.",
            "at most 1",
            null="not defined: under two other items, or one total for all",
        ),
        column(
            "distractors",
            pa.string(),
            "Each option that somebody chose: by how many, and its correlation with the other items.",
            "JSON list of {option, is_key, chosen, share, r}",
            null="the item has no options",
        ),
        column("timed", pa.int64(), "How many responses' times are known.", "responses"),
        column(
            "median_seconds",
            pa.float64(),
            "Median time on the item, of times rounded down: to 0.1 s below 10 s, 1 s below 2 min, 5 s below"
            " 10 min, 30 s up to an hour, the longest.",
            "seconds",
            null="no time is known",
        ),
        column(
            "nt10_share",
            pa.float64(),
            "Share of responses faster than min(10 s, 10 % of the item's mean).",
            "0 to 1",
            null="no time is known",
        ),
        column(
            "dif_delta",
            pa.float64(),
            "Mantel-Haenszel's delta between two groups; negative: harder for the focal one.",
            "ETS delta",
            null="the exam compares no groups, or a reason (`DIF_…`) says why not",
        ),
        column("dif_class", pa.string(), "`A` negligible, `B`, or `C` large.", null="no dif_delta"),
        column(
            "flags",
            pa.list_(pa.field("element", pa.string())),
            "What stands out: `MISKEY`, `EASY`, `HARD`, `WEAK`, `RAPID`, `DIF`; none under 30 submissions.",
        ),
        column("metric_version", pa.string(), "Version of these definitions."),
        column(
            "coverage", pa.float64(), "Share of valid submissions that are counted; others wait.", "0 to 1"
        ),
        column(
            "reasons",
            pa.string(),
            "The flags, each explained.",
            "JSON list of {code, value, threshold, n, text}",
        ),
        column("as_of", TIME, "When the latest of its inputs changed.", "UTC"),
    ],
)
