"""
Whose answers are more alike than chance explains.
"""

from typing import Final

import pyarrow as pa

from warehouse.layout import TIME, column, describe

UNKNOWN: Final = "not known of one of the two"

ANSWER_SIMILARITY: Final = describe(
    "answer_similarity",
    1,
    grain="one row per pair of attempts that is similar, or of which one is the other's best partner",
    partition_key="exam_id",
    group=slice(-2, None),  # one of 256: the beginning of an id is its time
    sort=("exam_id", "attempt_a", "attempt_b"),
    columns=[
        column("organisation_id", pa.string(), "The exam's organisation.", "UUID as text"),
        column("exam_id", pa.string(), "The exam.", "UUID as text"),
        column(
            "form_id",
            pa.string(),
            "The evaluation version: both had the same items and key.",
            "UUID as text",
            null="the exam has no form of its own, so all of it was compared as one",
        ),
        column("attempt_a", pa.string(), "One attempt, the lesser id of the two.", "UUID as text"),
        column("attempt_b", pa.string(), "The other attempt.", "UUID as text"),
        column("student_a", pa.string(), "Candidate of attempt_a.", "UUID as text"),
        column("student_b", pa.string(), "Candidate of attempt_b.", "UUID as text"),
        column("items", pa.int64(), "Items of the form that have answers to compare.", "items"),
        column("answered_both", pa.int64(), "Those of them that both answered.", "items"),
        column("right_a", pa.int64(), "Total of attempt_a: how many of them it has right.", "items"),
        column("right_b", pa.int64(), "Total of attempt_b.", "items"),
        column("matches", pa.int64(), "Items with the same answer of both.", "items"),
        column("expected_matches", pa.float64(), "Mean of matches of two people with these totals.", "items"),
        column(
            "omega",
            pa.float64(),
            "Matches less their mean, in standard deviations, given both totals.",
            "standard deviations",
        ),
        column("identical_wrong", pa.int64(), "Matches that are wrong.", "items"),
        column("expected_identical_wrong", pa.float64(), "Mean of those at these totals.", "items"),
        column("longest_run", pa.int64(), "Most matches in a row, in the order of the form.", "items"),
        column("run_begins", pa.int64(), "Place in the form at which that run begins, from 1.", "place"),
        column(
            "p",
            pa.float64(),
            "Chance of that many matches or more between two people of these totals who worked alone.",
            "0 to 1",
        ),
        column("q", pa.float64(), "p adjusted for all pairs of the form (Benjamini-Hochberg).", "0 to 1"),
        column("is_similar", pa.bool_(), "q is 0.01 or less."),
        column("is_best_of_a", pa.bool_(), "Nobody's answers are more like attempt_a's than attempt_b's."),
        column("is_best_of_b", pa.bool_(), "Nobody's answers are more like attempt_b's than attempt_a's."),
        column("pairs", pa.int64(), "Pairs of the form that were compared.", "pairs"),
        column(
            "similar_pairs", pa.int64(), "Those that are similar; the most similar ones have rows.", "pairs"
        ),
        column(
            "inflation",
            pa.float64(),
            "How much more alike the form's answers are throughout than independence has it; taken out of p.",
            "ratio of variances, 1 or more",
        ),
        column(
            "overlap_s", pa.float64(), "For how long both were at work at a time.", "seconds", null=UNKNOWN
        ),
        column("same_address", pa.bool_(), "Both were connected from one network address.", null=UNKNOWN),
        column("same_device", pa.bool_(), "Both worked on one device.", null=UNKNOWN),
        column(
            "second_factor",
            pa.bool_(),
            "Any of these three is so. It makes no pair similar, it corroborates one that is.",
            null="none of the three is known",
        ),
        column("metric_version", pa.string(), "Version of these definitions."),
        column("coverage", pa.float64(), "Share of the items that both answered.", "0 to 1"),
        column(
            "reasons",
            pa.string(),
            "What is alike, beside what is usual.",
            "JSON list of {code, value, threshold, n, text}",
        ),
        column("as_of", TIME, "The later of both hand-ins.", "UTC"),
    ],
)
