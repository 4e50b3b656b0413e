"""
Whether an item treats two groups of equal ability alike: Mantel-Haenszel's odds ratio.

Takes a form's `Tally` with groups (`frames.GROUPS`: reference and focal), gives one `Dif` per item.
Candidates are matched by band of their total, the item included. In a band, A and B of the reference group
got the item right and wrong, C and D of the focal group, T are all:

- odds ratio a = Σ A·D/T / Σ B·C/T, and `delta` = -2.35 ln a, on the scale that item writers use; negative
  where the item is harder for the focal group.
- standard error of ln a by Robins, Breslow and Greenland (1986).
- `level`: A where delta is not significantly other than 0 (5 %), or |delta| < 1; C where |delta| ≥ 1.5 and it
  is significantly more than 1 (5 %, one-sided); B between.

Null with under 30 candidates in a group, where some response got part of the points, or where no band
compares; `why_not` says which. These groups are an audit of the items, which an exam names and its staff see.
They are an input to nobody's number.

An item that 12 of 20 got right and 8 of 20, all of the same total:

>>> dif = _dif([(12, 8, 8, 12)])
>>> round(dif.delta, 3), round(dif.standard_error, 3), dif.level
(-1.906, 1.517, 'A')

Source: analytics.md, "Exam analytics"; Mantel and Haenszel (1959), Journal of the National Cancer Institute
22, 719-748; Holland and Thayer (1988), in: Test Validity, 129-145; Robins, Breslow and Greenland (1986),
Biometrics 42, 311-323; Zieky (1993), in: Differential Item Functioning, 337-347 (levels).
"""

from collections.abc import Sequence
from math import fsum, log, sqrt
from typing import Any, Final

from msgspec import Struct

from pipeline.features.frames import reason
from pipeline.features.moments import Tally

GROUPS: Final = ("reference", "focal")
GROUP_MIN: Final = 30
FEW_TEXT: Final = "{} of the reference group and {} of the focal group are counted: too few, under {}."
PARTLY_TEXT: Final = (
    "Groups are compared for items that are right or wrong; {} responses got part of the points."
)
NO_BAND_TEXT: Final = (
    "Members of the two groups with like totals did not differ in who was right: nothing compares."
)
SCALE: Final = -2.35  # of the odds ratio's logarithm, to the scale of deltas
LARGE: Final = 1.5
SMALL: Final = 1.0
TWO_SIDED: Final = 1.959963984540054  # standard normal quantiles: 5 %
ONE_SIDED: Final = 1.6448536269514722


class Dif(Struct, frozen=True):
    """How differently an item functions."""

    delta: float
    standard_error: float
    level: str


def difs(tally: Tally) -> list[Dif | None]:
    """Return each item's, None where it cannot be told."""
    nobody: list[Dif | None] = [None] * len(tally.sums)
    if not set(GROUPS) <= set(tally.people):
        return nobody
    people = [tally.people[group].tolist() for group in GROUPS]
    if min(map(sum, people)) < GROUP_MIN:
        return nobody
    right = [tally.points[group].T.tolist() for group in GROUPS]
    found = []
    for place, (item, partly) in enumerate(zip(tally.items, tally.partly.tolist(), strict=True)):
        full = item.max_points
        bands = [
            (a // full, n - a // full, c // full, m - c // full)
            for a, c, n, m in zip(right[0][place], right[1][place], *people, strict=True)
            if n and m and full
        ]
        found.append(None if partly else _dif(bands))
    return found


def why_not(tally: Tally, place: int) -> list[dict[str, Any]]:
    """Return the reason that an item has no `Dif` where groups are compared; none without groups."""
    counts = {group: int(tally.people[group].sum()) for group in GROUPS if group in tally.people}
    if not counts:
        return []
    fewest = min(counts.get(group, 0) for group in GROUPS)
    if fewest < GROUP_MIN:
        text = FEW_TEXT.format(counts.get("reference", 0), counts.get("focal", 0), GROUP_MIN)
        return [reason("DIF_TOO_FEW", fewest, GROUP_MIN, sum(counts.values()), text)]
    if partly := int(tally.partly[place]):
        return [reason("DIF_PARTLY", partly, 0, tally.n, PARTLY_TEXT.format(partly))]
    return [reason("DIF_NO_BAND", 0, 1, sum(counts.values()), NO_BAND_TEXT)]


def _dif(bands: Sequence[tuple[int, int, int, int]]) -> Dif | None:
    """Return what bands of (A, B, C, D) come to."""
    r = [a * d / (a + b + c + d) for a, b, c, d in bands]
    s = [b * c / (a + b + c + d) for a, b, c, d in bands]
    p = [(a + d) / (a + b + c + d) for a, b, c, d in bands]
    q = [(b + c) / (a + b + c + d) for a, b, c, d in bands]
    all_r, all_s = fsum(r), fsum(s)
    if not all_r or not all_s:
        return None
    variance = (
        fsum(x * y for x, y in zip(p, r, strict=True)) / (2 * all_r**2)
        + fsum(x * y + z * w for x, y, z, w in zip(p, s, q, r, strict=True)) / (2 * all_r * all_s)
        + fsum(x * y for x, y in zip(q, s, strict=True)) / (2 * all_s**2)
    )
    delta, error = SCALE * log(all_r / all_s), abs(SCALE) * sqrt(variance)
    if abs(delta) < SMALL or abs(delta) <= TWO_SIDED * error:
        level = "A"
    else:
        level = "C" if abs(delta) >= LARGE and abs(delta) - SMALL > ONE_SIDED * error else "B"
    return Dif(delta, error, level)
