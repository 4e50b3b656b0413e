"""
How a text came to be, and what its reader may want to ask about it.
"""

from typing import Final

import pyarrow as pa

from warehouse.layout import TIME, column, describe

ONE = "there is no earlier version with words, or the last has none"

DRAFT_ANALYSIS: Final = describe(
    "draft_analysis",
    1,
    grain="one row per essay that was handed in",
    partition_key="exam_id",
    group=slice(-2, None),
    sort=("exam_id", "attempt_id", "question_id"),
    columns=[
        column("attempt_id", pa.string(), "The attempt.", "UUID as text"),
        column("question_id", pa.string(), "The essay's question.", "UUID as text"),
        column("exam_id", pa.string(), "Its exam.", "UUID as text"),
        column("organisation_id", pa.string(), "The exam's organisation.", "UUID as text"),
        column("student_id", pa.string(), "Its candidate.", "UUID as text"),
        column("versions", pa.int32(), "Versions that were kept and differ from the one before.", "versions"),
        column("words", pa.int32(), "Words of the last version.", "words"),
        column(
            "thinking_quality",
            pa.float64(),
            "How much was thought over from the first whole draft to the last version.",
            "0 to 1",
            null=ONE,
        ),
        column("words_changed", pa.float64(), "Share of words changed between these.", "0 to 1", null=ONE),
        column("sentences_new", pa.int32(), "Sentences of the last that are new.", "sentences", null=ONE),
        column("content_words_new", pa.int32(), "Distinct content words that are new.", "words", null=ONE),
        column(
            "characters_inserted", pa.int64(), "Inserted from version to version, at least.", "characters"
        ),
        column("characters_deleted", pa.int64(), "Deleted from version to version, at least.", "characters"),
        column(
            "paste_share",
            pa.float64(),
            "Share of the inserted characters that was pasted.",
            "0 to 1",
            null="no event of the attempt came, so that a paste could not have been seen",
        ),
        column(
            "pauses_per_100_words",
            pa.float64(),
            "Pauses over 2 s.",
            "pauses per 100 words",
            null="no client told pauses",
        ),
        column(
            "nearest_attempt_id",
            pa.string(),
            "Whose text to the same question holds most of this one's passages, if 0.60 or more.",
            "UUID as text",
            null="nobody's holds as many, or the text is too short to tell",
        ),
        column(
            "containment",
            pa.float64(),
            "Share of this text's passages that stand in it.",
            "0 to 1",
            null="as `nearest_attempt_id`",
        ),
        column(
            "indicators",
            pa.string(),
            "What a reader may want to ask about.",
            "JSON list of {code, value, threshold, n, p, text}",
        ),
        column("metric_version", pa.string(), "Version of these definitions."),
        column("coverage", pa.float64(), "Share of five kinds of evidence that were there.", "0 to 1"),
        column(
            "reasons",
            pa.string(),
            "What makes up thinking quality.",
            "JSON list of {code, value, threshold, n, text}",
        ),
        column("as_of", TIME, "When the last version was saved.", "UTC"),
    ],
)
