"""
How each risk rule fared with those who decide.
"""

from typing import Final

import pyarrow as pa

from warehouse.layout import TIME, column, describe

RULE_PRECISION: Final = describe(
    "rule_precision",
    1,
    grain="one row per risk rule, in its newest version",
    partition_key="organisation_id",
    group=slice(-2, None),
    sort=("organisation_id", "rule_id"),
    columns=[
        column("rule_id", pa.int64(), "The rule.", "number, an id"),
        column("organisation_id", pa.string(), "The organisation whose rule it is.", "UUID as text"),
        column("version", pa.int32(), "Its newest version.", "place"),
        column("name_en", pa.string(), "Its name."),
        column("is_active", pa.bool_(), "It counts in sessions that begin now."),
        column("fired", pa.int64(), "Sessions in which it ever triggered.", "sessions"),
        column("upheld", pa.int64(), "Of these, finally suspicious or invalidated.", "sessions"),
        column("cleared", pa.int64(), "Of these, finally cleared.", "sessions"),
        column("overturned", pa.int64(), "Of these, cleared by an override of the former.", "sessions"),
        column(
            "upheld_share",
            pa.float64(),
            "Upheld among those that were finally decided: the rule's precision.",
            "0 to 1",
            null="none was finally decided",
        ),
        column("as_of", TIME, "The last decision on any of them.", "UTC", null="none was decided"),
    ],
)
