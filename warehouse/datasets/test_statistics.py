"""
How a whole test measured.
"""

from typing import Final

import pyarrow as pa

from warehouse.layout import TIME, column, describe

TEST_STATISTICS: Final = describe(
    "test_statistics",
    1,
    grain="one row per exam and form",
    partition_key="exam_id",
    group=slice(-2, None),
    sort=("exam_id", "form_id"),
    columns=[
        column("exam_id", pa.string(), "The exam.", "UUID as text"),
        column("organisation_id", pa.string(), "The exam's organisation.", "UUID as text"),
        column("form_id", pa.string(), "The evaluation version.", "UUID as text"),
        column("items", pa.int64(), "Its items.", "items"),
        column("n", pa.int64(), "Submissions that are counted: not void, all points known.", "submissions"),
        column("waiting", pa.int64(), "Submissions that wait for a grader.", "submissions"),
        column("max_points", pa.float64(), "What all items are worth.", "points"),
        column("mean", pa.float64(), "Mean total.", "points", null="no submission is counted"),
        column("median", pa.float64(), "Median total.", "points", null="no submission is counted"),
        column(
            "sd",
            pa.float64(),
            "Standard deviation of totals, of n - 1.",
            "points",
            null="under two submissions",
        ),
        column(
            "skew",
            pa.float64(),
            "Skewness of totals, corrected for n (G1); negative: a tail of low totals.",
            "G1; 0 for symmetry",
            null="under three submissions, or one total for all",
        ),
        column("lowest", pa.float64(), "Lowest total.", "points", null="no submission is counted"),
        column("highest", pa.float64(), "Highest total.", "points", null="no submission is counted"),
        column(
            "alpha",
            pa.float64(),
            "Cronbach's alpha: reliability of totals.",
            "at most 1",
            null="not defined: one item, one submission, or one total for all",
        ),
        column("alpha_low", pa.float64(), "Lower bound of alpha, 95 %.", "at most 1", null="no alpha"),
        column("alpha_high", pa.float64(), "Upper bound of alpha, 95 %.", "at most 1", null="no alpha"),
        column("sem", pa.float64(), "Standard error of measurement of a total.", "points", null="no alpha"),
        column("total_passed", pa.int64(), "How many passed.", "submissions", null="of none it is known"),
        column(
            "pass_rate",
            pa.float64(),
            "Share that passed, of those known.",
            "0 to 1",
            null="of none it is known",
        ),
        column(
            "distribution",
            pa.string(),
            "How many had a total in each step of 5 % of the full points; these are in the last.",
            "JSON list of 20 numbers",
            null="no submission is counted",
        ),
        column("metric_version", pa.string(), "Version of these definitions."),
        column(
            "coverage", pa.float64(), "Share of valid submissions that are counted; others wait.", "0 to 1"
        ),
        column("reasons", pa.string(), "What stands out.", "JSON list of {code, value, threshold, n, text}"),
        column("as_of", TIME, "When the latest of its inputs changed.", "UTC"),
    ],
)
