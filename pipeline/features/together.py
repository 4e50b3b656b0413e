"""
Beside a pair that answers have found: time, address and device in common, and the reasons in
words.

Nothing here makes a pair, or changes its p. Two attempts overlap for as long as both were at work; an
address or a device is the same when any of one's is among the other's. Null where it is not known of one
of the two. `second_factor` is true when any of the three is there, null when none is known.

>>> from pipeline.features.frames import CONTACTS
>>> from pipeline.features.simulated import Plan, cohort
>>> exam = cohort(1, Plan(candidates=2, items=2))
>>> a, b = sorted(exam.submissions["attempt_id"])
>>> told = [(a, "device", "x"), (b, "device", "y"), (b, "device", "x")]
>>> contacts = pl.DataFrame(told, schema=CONTACTS.schema, orient="row")
>>> found = beside(pl.DataFrame({"attempt_a": [a], "attempt_b": [b]}), exam.submissions, contacts)
>>> found.select("overlap_s", "same_address", "same_device", "second_factor").row(0)
(54.411, None, True, True)

Source: analytics.md, "collusion": a second factor corroborates, and is never a feature by itself.
"""

from typing import Any, Final

import polars as pl

from pipeline.features.frames import as_json, reason

MATCHES: Final = (
    "{matches} of {items} answers are identical. Two people who got {right_a} and {right_b} right, each"
    " alone, have {expected_matches:.1f} in common on average; {odds}."
)
SIMILAR: Final = "among the {pairs} pairs of this form, chance alone hardly gives one such"
USUAL: Final = "among the {pairs} pairs of this form, chance gives such ones"
WRONG: Final = (
    "{identical_wrong} wrong answers are the same ones, where {expected_identical_wrong:.1f} are usual"
    " at these totals."
)
RUN: Final = "{longest_run} answers in a row are identical, from question {run_begins} on."
OVERLAP: Final = "Both were at work at the same time for {minutes} minutes."
APART: Final = "They were never at work at the same time."
ADDRESS: Final = "Both were connected from the same network address."
DEVICE: Final = "Both worked on the same device."
KINDS: Final = ("address", "device")


def beside(pairs: pl.DataFrame, submissions: pl.DataFrame, contacts: pl.DataFrame) -> pl.DataFrame:
    """
    Return pairs with what stands beside them, in their order.

    Args:
        pairs: with attempt_a and attempt_b.
        submissions: of `frames.SUBMISSIONS`.
        contacts: of `frames.CONTACTS`.

    Adds overlap_s, same_address, same_device, second_factor; organisation_id; and as_of, the later hand-in.
    """
    times = submissions.select("attempt_id", "organisation_id", "started_at", "finalised_at")
    found = pairs.join(times, left_on="attempt_a", right_on="attempt_id", how="left", maintain_order="left")
    found = found.join(
        times.drop("organisation_id"),
        left_on="attempt_b",
        right_on="attempt_id",
        how="left",
        maintain_order="left",
        suffix="_b",
    )
    ends = pl.min_horizontal("finalised_at", "finalised_at_b")
    begins = pl.max_horizontal("started_at", "started_at_b")
    found = found.with_columns(
        overlap_s=(ends - begins).dt.total_microseconds().clip(lower_bound=0) / 1_000_000,
        as_of=pl.max_horizontal("finalised_at", "finalised_at_b"),
    ).drop("started_at", "started_at_b", "finalised_at", "finalised_at_b")
    for kind in KINDS:
        found = _same(found, contacts.filter(pl.col("kind") == kind), f"same_{kind}")
    known = [pl.col("overlap_s") > 0, pl.col("same_address"), pl.col("same_device")]
    any_known = pl.any_horizontal(each.is_not_null() for each in known)
    is_any = pl.any_horizontal(each.fill_null(value=False) for each in known)
    return found.with_columns(second_factor=pl.when(any_known).then(is_any))


def _same(pairs: pl.DataFrame, values: pl.DataFrame, name: str) -> pl.DataFrame:
    """Return pairs with whether the two have a value in common, null where one of them has none."""
    of = values.group_by("attempt_id").agg(pl.col("value").unique().sort().alias("values"))
    found = pairs
    for side in ("a", "b"):
        renamed = of.rename({"attempt_id": f"attempt_{side}", "values": f"values_{side}"})
        found = found.join(renamed, on=f"attempt_{side}", how="left", maintain_order="left")
    common = pl.col("values_a").list.set_intersection("values_b").list.len() > 0
    return found.with_columns(common.alias(name)).drop("values_a", "values_b")


def explained(pairs: pl.DataFrame) -> pl.DataFrame:
    """Return pairs with their reasons."""
    texts = [as_json(_reasons(row)) for row in pairs.iter_rows(named=True)]
    return pairs.with_columns(pl.Series("reasons", texts, dtype=pl.String))


def _reasons(row: dict[str, Any]) -> list[dict[str, Any]]:
    """Say what is alike, what would be usual, and what else the two have in common."""
    items, wrong = row["items"], row["expected_identical_wrong"]
    odds = (SIMILAR if row["is_similar"] else USUAL).format(**row)
    found = [
        reason("MATCHES", row["matches"], row["expected_matches"], items, MATCHES.format(odds=odds, **row)),
        reason("IDENTICAL_WRONG", row["identical_wrong"], wrong, items, WRONG.format(**row)),
        reason("LONGEST_RUN", row["longest_run"], 1, items, RUN.format(**row)),
    ]
    if (seconds := row["overlap_s"]) is not None:
        text = OVERLAP.format(minutes=round(seconds / 60)) if seconds else APART
        found.append(reason("SAME_TIME", seconds, 0, 2, text))
    for kind, text in zip(KINDS, (ADDRESS, DEVICE), strict=True):
        if row[f"same_{kind}"]:
            found.append(reason(f"SAME_{kind.upper()}", 1, 1, 2, text))
    return found
