"""
How much evidence speaks against an attempt: its integrity, as a score and a band.

One row per attempt. `integrity` takes the evidence of one attempt and is the definition; `integrity_scores`
does it for a frame of `EVIDENCE`. The score runs from 0 to 1; 1 means that nothing speaks against the
candidate:

    integrity_score = product over blocks of (1 - w·e),    e in [0, 1]

| block | e | w |
|---|---|---|
| rules | peak risk / 100 | 0.75 |
| events | e(p) of P(K ≥ anomalous events), K Poisson with mean 0.01 · scored events | 0.25 |
| times | e(p) of the answers' speed, given their score, and of rapid answers | 0.35 |
| similarity | e(p) of the best partner, p adjusted for all pairs; half without a second factor | 0.60 |
| originality | 1 - product of (1 - s) over the indicators, each code once | 0.40 |

with e(p) = clip((-log10 p - 1) / 4, 0, 1): nothing above 0.1, all of it from 0.00001. An anomalous event is
one of a hundred by its own definition, so chance brings a hundredth of the scored events. The weights are
settings. `coverage` is the weight of the blocks that are known over the weight of all; under 0.25 score and
band are null. A block's share is ln(1 - w·e) over the sum of all blocks' logarithms, and stands as `share`
in its reason. Bands: from 0.8 `consistent`, from 0.5 `review_optional`, from 0.3 `concerns`, below it
`needs_review`.

More evidence never raises the score: no factor is above 1, and each falls with its e. As in Fisher's method
for independent p-values (Fisher 1925, Statistical Methods for Research Workers, § 21.1) the logarithms are
added, so that several weak kinds of evidence make a strong one, and each one's part stays visible. For what
response times and answer similarity tell: Cizek and Wollack (eds., 2017), Handbook of Quantitative Methods
for Detecting Cheating on Tests. Person-fit indices are not in it: they carry no signal on real flagged
examinees.

A peak risk of 50 and nothing else, with a session's events as chance has them:

>>> row = integrity({"peak_risk": 50.0, "scored_events": 200, "anomalies": 2})
>>> row["integrity_score"], row["integrity_band"], round(row["coverage"], 3)
(0.625, 'review_optional', 0.426)
>>> [(each["code"], each["share"]) for each in row["reasons"]]
[('RULES', 1.0)]
>>> integrity({"indicators": []})["integrity_band"] is None
True

Source: analytics.md, integrity_score; spec.md W-1.
"""

from collections.abc import Iterator, Mapping, Sequence
from math import fsum, log, log1p, log10
from typing import Any, Final

import orjson
import polars as pl
from msgspec import Struct
from scipy.special import gammainc

from pipeline.features.frames import as_json, checked, frame, reason
from pipeline.features.indicators import STRENGTHS, originality

METRIC_VERSION: Final = "integrity-1"
COVERAGE_MIN: Final = 0.25
CHANCE: Final = 0.01  # of an event to be anomalous, by the definition of its score
P_MIN: Final = 1e-300  # smaller ones are not told apart
P_COUNTS: Final = 0.1  # where e(p) begins
BANDS: Final = ((0.8, "consistent"), (0.5, "review_optional"), (0.3, "concerns"), (0.0, "needs_review"))
NEEDS_REVIEW: Final = "needs_review"
SIMILAR_TEXT: Final = "Answers agree with another candidate's more than both scores explain (p = {:.2g}); {}."
LINKED_TEXT: Final = "the two also share time, address or device"
ALONE_TEXT: Final = "nothing else connects the two, so it counts half"

EVIDENCE: Final = frame(
    "one row per attempt",
    {
        "attempt_id": (pl.String, "The attempt."),
        "peak_risk": (pl.Float64, "Highest risk of its sessions, 0 to 100; null: none was scored."),
        "scored_events": (
            pl.Int64,
            "Events with an anomaly score but heartbeats; null: not monitored.",
        ),
        "anomalies": (pl.Int64, "Those of them that are anomalous; null like them."),
        "times_p": (pl.Float64, "p of the response times; null: too few are known."),
        "rapid_share": (pl.Float64, "Share of rapid answers, 0 to 1; null: not known."),
        "similarity_p": (
            pl.Float64,
            "p of the best partner, adjusted for all pairs; null: none.",
        ),
        "has_second_factor": (pl.Boolean, "Time, address or device of the pair overlap; null: not known."),
        "indicators": (
            pl.String,
            "Originality indicators, JSON list of {code, …}; null: no text.",
        ),
    },
)
SCORES: Final = pl.Schema(
    {
        "attempt_id": pl.String,
        "integrity_score": pl.Float64,
        "integrity_band": pl.String,
        "coverage": pl.Float64,
        "reasons": pl.String,
        "metric_version": pl.String,
    }
)


class Weights(Struct, frozen=True, kw_only=True):
    """What each block can take from the score at most, 0 to 1."""

    rules: float = 0.75
    events: float = 0.25
    times: float = 0.35
    similarity: float = 0.60
    originality: float = 0.40


WEIGHTS: Final = Weights()


class Block(Struct, frozen=True):
    """What a block says of an attempt: e, and what a teacher reads of it."""

    code: str
    weight: float
    e: float
    value: float
    threshold: float
    n: int
    text: str


def strength_of_p(p: float) -> float:
    """
    Return e(p), 0 to 1.

    >>> [strength_of_p(p) for p in (1.0, 0.1, 0.001, 0.00001, 0.0)]
    [0.0, 0.0, 0.5, 1.0, 1.0]
    """
    return min(max((-log10(max(p, P_MIN)) - 1) / 4, 0.0), 1.0)


def events_p(anomalies: int, scored_events: int) -> float:
    """
    Return the probability of so many anomalous events or more, by chance.

    The regularised incomplete gamma function is the Poisson distribution's upper tail.

    >>> round(events_p(3, 100), 4)
    0.0803
    """
    return float(gammainc(anomalies, CHANCE * scored_events)) if anomalies else 1.0


def band_of(score: float | None) -> str | None:
    """
    Return the band of a score; null of null.

    >>> [band_of(score) for score in (1.0, 0.8, 0.5, 0.4, 0.3, 0.1, None)]
    ['consistent', 'consistent', 'review_optional', 'concerns', 'concerns', 'needs_review', None]
    """
    return None if score is None else next(name for least, name in BANDS if score >= least)


def integrity(row: Mapping[str, Any], weights: Weights = WEIGHTS) -> dict[str, Any]:
    """
    Score one attempt.

    Args:
        row: columns of `EVIDENCE`; one that is not there counts as null.
        weights: of the blocks.

    Returns:
        The columns of `SCORES` but the attempt's id, the reasons as a list, the heaviest block first.
    """
    blocks = list(_blocks(row, weights))
    total = fsum([weights.rules, weights.events, weights.times, weights.similarity, weights.originality])
    coverage = fsum(block.weight for block in blocks) / total if total else 0.0
    if coverage < COVERAGE_MIN:
        score = None
        reasons = [_insufficient(coverage, len(blocks))]
    else:
        score = 1.0
        for block in blocks:
            score *= 1 - block.weight * block.e
        reasons = _contributions(blocks) or [_nothing(len(blocks))]
    return {
        "integrity_score": score,
        "integrity_band": band_of(score),
        "coverage": coverage,
        "reasons": reasons,
        "metric_version": METRIC_VERSION,
    }


def integrity_scores(evidence: pl.DataFrame, weights: Weights = WEIGHTS) -> pl.DataFrame:
    """Return a row of `SCORES` for each row of `EVIDENCE`, by attempt."""
    rows = []
    for row in checked(evidence, EVIDENCE).sort("attempt_id").iter_rows(named=True):
        scored = integrity(row, weights)
        rows.append({"attempt_id": row["attempt_id"], **scored, "reasons": as_json(scored["reasons"])})
    return pl.DataFrame(rows, schema=SCORES)


def _blocks(row: Mapping[str, Any], weights: Weights) -> Iterator[Block]:
    """Yield the blocks that are known, in the order of the table above."""
    if (peak := row.get("peak_risk")) is not None:
        text = f"The rules of proctoring gave at most {_short(peak)} of 100 points of risk."
        yield Block("RULES", weights.rules, min(peak, 100.0) / 100, peak, 0, 1, text)
    if (scored := row.get("scored_events")) is not None:
        found = row["anomalies"]
        p = events_p(found, scored)
        text = (
            f"{found} of {scored} events were out of the ordinary, where chance brings"
            f" {_short(CHANCE * scored)}."
        )
        yield Block("EVENTS", weights.events, strength_of_p(p), p, P_COUNTS, scored, text)
    if (times_p := row.get("times_p")) is not None:
        e, text = strength_of_p(times_p), _times_text(times_p, row.get("rapid_share"))
        yield Block("RESPONSE_TIMES", weights.times, e, times_p, P_COUNTS, 1, text)
    if (pair_p := row.get("similarity_p")) is not None:
        is_linked = bool(row.get("has_second_factor"))
        e = strength_of_p(pair_p) if is_linked else strength_of_p(pair_p) / 2
        text = SIMILAR_TEXT.format(pair_p, LINKED_TEXT if is_linked else ALONE_TEXT)
        yield Block("SIMILARITY", weights.similarity, e, pair_p, P_COUNTS, 1, text)
    if (indicators := row.get("indicators")) is not None:
        found = orjson.loads(indicators) if isinstance(indicators, str) else indicators
        codes = sorted({each["code"] for each in found} & set(STRENGTHS))
        e = originality(codes)
        words = ", ".join(code.replace("_", " ").lower() for code in codes)
        text = f"How the text came about shows {words}."
        yield Block("ORIGINALITY", weights.originality, e, e, 0, len(codes), text)


def _times_text(p: float, rapid_share: float | None) -> str:
    rapid = "" if rapid_share is None else f", {round(100 * rapid_share)} % of them within moments"
    return f"Answers came faster than their score explains{rapid} (p = {p:.2g})."


def _contributions(blocks: Sequence[Block]) -> list[dict[str, Any]]:
    """Return a reason for each block that lowers the score, the heaviest first."""
    logs = {block.code: _log_left(block) for block in blocks if block.weight * block.e > 0}
    whole = fsum(logs.values())
    chosen = sorted((block for block in blocks if block.code in logs), key=lambda block: logs[block.code])
    return [
        reason(block.code, block.value, block.threshold, block.n, block.text)
        | {"share": logs[block.code] / whole}
        for block in chosen
    ]


def _log_left(block: Block) -> float:
    taken = block.weight * block.e
    return log1p(-taken) if taken < 1 else log(P_MIN)


def _insufficient(coverage: float, known: int) -> dict[str, Any]:
    text = f"Insufficient monitoring: {round(100 * coverage)} % of what integrity rests on is known."
    return reason("INSUFFICIENT_MONITORING", coverage, COVERAGE_MIN, known, text) | {"share": 0.0}


def _nothing(known: int) -> dict[str, Any]:
    kinds = "The one kind" if known == 1 else f"None of the {known} kinds"
    verb = "does not speak" if known == 1 else "speaks"
    text = f"{kinds} of evidence that is known {verb} against the candidate."
    return reason("NO_CONTRARY_EVIDENCE", 0.0, 0.0, known, text) | {"share": 0.0}


def _short(value: float) -> str:
    """Return a number with at most one decimal."""
    return f"{value:.1f}".removesuffix(".0")
