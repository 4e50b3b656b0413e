"""
Groups of attempts that similar answers join.
"""

from typing import Final

import pyarrow as pa

from warehouse.layout import TIME, column, describe

TEXTS: Final = pa.list_(pa.field("element", pa.string()))

COLLUSION_CLUSTERS: Final = describe(
    "collusion_clusters",
    1,
    grain="one row per connected component of the similar pairs of one form",
    partition_key="exam_id",
    group=slice(-2, None),  # one of 256: the beginning of an id is its time
    sort=("exam_id", "cluster_id"),
    columns=[
        column("cluster_id", pa.string(), "The cluster: the least of its attempts' ids.", "UUID as text"),
        column("organisation_id", pa.string(), "The exam's organisation.", "UUID as text"),
        column("exam_id", pa.string(), "The exam.", "UUID as text"),
        column(
            "form_id",
            pa.string(),
            "The evaluation version of its attempts.",
            "UUID as text",
            null="the exam has no form of its own, so all of it was compared as one",
        ),
        column("attempt_ids", TEXTS, "Its attempts, ascending.", "UUIDs as text"),
        column("student_ids", TEXTS, "Their candidates, in the same order.", "UUIDs as text"),
        column("size", pa.int64(), "How many attempts those are.", "attempts"),
        column("pairs", pa.int64(), "Similar pairs among them.", "pairs"),
        column("density", pa.float64(), "Share of all pairs among them that are similar.", "0 to 1"),
        column("most_matches", pa.int64(), "Most identical answers of one of its similar pairs.", "items"),
        column("most_identical_wrong", pa.int64(), "Most identical wrong answers of one of them.", "items"),
        column("strongest_p", pa.float64(), "Least p of its similar pairs.", "0 to 1"),
        column("weakest_q", pa.float64(), "Greatest q of its similar pairs.", "0 to 1"),
        column(
            "second_factor_pairs",
            pa.int64(),
            "Its similar pairs that time, address or device connect as well.",
            "pairs",
            null="none of these is known of any of its pairs",
        ),
        column("metric_version", pa.string(), "Version of these definitions."),
        column("coverage", pa.float64(), "Least coverage of its similar pairs.", "0 to 1"),
        column("reasons", pa.string(), "What joins it.", "JSON list of {code, value, threshold, n, text}"),
        column("as_of", TIME, "The last hand-in of its similar pairs.", "UTC"),
    ],
)
