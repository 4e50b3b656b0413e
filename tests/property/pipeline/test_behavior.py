"""Integrity, dropout, flags and their text (analytics.md; spec.md W-1, decisions 6 and 16)."""

import re
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import msgspec
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel.risk import Level
from pipeline.features import behavior, dropout, flags, integrity, summaries
from pipeline.features.behavior import ATTEMPTS, ROWS, behavior_analysis
from pipeline.features.indicators import STRENGTHS
from pipeline.features.integrity import Weights, events_p, strength_of_p
from warehouse.datasets.behavior_analysis import BEHAVIOR_ANALYSIS
from warehouse.layout import conform

START = datetime(2026, 9, 1, 9, tzinfo=UTC)
shares = st.floats(0, 1, allow_subnormal=False)
codes = st.sampled_from(sorted(STRENGTHS))


def optional(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


@st.composite
def rows(draw: st.DrawFn) -> dict[str, Any]:
    """One attempt's inputs, each known or not."""
    scored = draw(optional(st.integers(0, 500)))
    silences = draw(optional(st.integers(0, 3)))
    return {
        "attempt_id": str(draw(st.uuids())),
        "exam_id": "exam",
        "student_id": draw(st.sampled_from(["one", "two"])),
        "completed_at": draw(optional(st.integers(0, 99).map(lambda day: START + timedelta(days=day)))),
        "as_of": START,
        "is_decided": draw(st.booleans()),
        "has_flag": draw(st.booleans()),
        "events": scored,
        "critical_events": None if scored is None else draw(st.integers(0, scored)),
        "peak_risk": draw(optional(st.integers(0, 100).map(float))),
        "scored_events": scored,
        "anomalies": None if scored is None else draw(st.integers(0, scored)),
        "times_p": draw(optional(shares)),
        "rapid_share": draw(optional(shares)),
        "similarity_p": draw(optional(shares)),
        "has_second_factor": draw(optional(st.booleans())),
        "indicators": draw(
            optional(st.lists(codes, max_size=3).map(lambda found: json([{"code": each} for each in found])))
        ),
        "unexplained_silences": silences,
        "unexplained_silence_s": None if silences is None else 60.0 * silences,
        "damaged_evidence": draw(optional(st.integers(0, 2))),
        "lmi_score": draw(optional(st.floats(0, 100))),
        "improvement_trend": None,
        "weak_topics": draw(optional(st.lists(topics, max_size=3, unique_by=lambda each: each["topic"]))),
        "probability": draw(optional(shares)),
        "probability_reasons": None,
        "done_share": draw(optional(shares)),
        "done_share_p10": draw(optional(shares)),
    }


topics = st.fixed_dictionaries({"topic": st.sampled_from(["a", "b", "c", "d"]), "n": st.integers(0, 30)})
attempts = st.lists(rows(), min_size=1, max_size=6, unique_by=lambda each: each["attempt_id"])


def json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def framed(found: list[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(found, schema=ATTEMPTS.schema)


# -- integrity


@settings(max_examples=25)
@given(rows(), st.data())
def test_more_evidence_never_raises_integrity(row: dict[str, Any], data: st.DataObject) -> None:
    """What is known gets worse, or becomes known; once there is a score, it can only fall."""
    worse = dict(row)
    match data.draw(st.sampled_from(["risk", "anomaly", "times", "pair", "factor", "text", "code"])):
        case "risk":
            worse["peak_risk"] = data.draw(st.floats(row["peak_risk"] or 0.0, 100))
        case "anomaly":  # another event, and it is anomalous
            worse["scored_events"] = (row["scored_events"] or 0) + 1
            worse["anomalies"] = (row["anomalies"] or 0) + 1
        case "times":
            worse["times_p"] = data.draw(st.floats(0, 1 if row["times_p"] is None else row["times_p"]))
        case "pair":
            worse["similarity_p"] = data.draw(
                st.floats(0, 1 if row["similarity_p"] is None else row["similarity_p"])
            )
        case "factor":
            worse["has_second_factor"] = True
        case "text":
            worse["indicators"] = row["indicators"] or "[]"
        case _:
            found = msgspec.json.decode(row["indicators"] or "[]")
            worse["indicators"] = json([*found, {"code": data.draw(codes)}])
    before, after = (integrity.integrity(each)["integrity_score"] for each in (row, worse))

    assert before is None or after <= before + 1e-12
    assert before is None or 0 <= after <= 1


@given(st.integers(0, 60), st.integers(0, 60))
@settings(max_examples=25)
def test_an_anomalous_event_more_is_never_likelier(anomalies: int, others: int) -> None:
    scored = anomalies + others

    assert events_p(anomalies + 1, scored + 1) <= events_p(anomalies, scored) + 1e-15


@settings(max_examples=25)
@given(rows())
def test_what_lowers_the_score_adds_up_to_the_whole_of_it(row: dict[str, Any]) -> None:
    scored = integrity.integrity(row)
    parts = [each["share"] for each in scored["reasons"]]

    assert scored["reasons"]
    assert sum(parts) == pytest.approx(1.0 if scored["integrity_score"] not in {None, 1.0} else 0.0)
    assert parts == sorted(parts, reverse=True)
    assert (scored["integrity_score"] is None) == (scored["coverage"] < 0.25)


def test_a_critical_score_alone_needs_review_and_low_coverage_says_nothing() -> None:
    assert integrity.integrity({"peak_risk": 100.0}) | {"reasons": []} == {
        "integrity_score": 0.25,
        "integrity_band": "needs_review",
        "coverage": 0.75 / 2.35,
        "reasons": [],
        "metric_version": "integrity-1",
    }
    alone = integrity.integrity({"indicators": json([{"code": "NEAR_DUPLICATE"}])})
    assert (alone["integrity_score"], alone["integrity_band"]) == (None, None)
    assert [each["code"] for each in alone["reasons"]] == ["INSUFFICIENT_MONITORING"]


def test_a_pair_without_a_second_factor_counts_half() -> None:
    linked = integrity.integrity({"similarity_p": 1e-6, "has_second_factor": True})
    alone = integrity.integrity({"similarity_p": 1e-6})

    assert (linked["integrity_score"], alone["integrity_score"]) == (0.4, 0.7)
    assert strength_of_p(1e-6) == 1.0


def test_weights_are_what_a_block_takes_at_most() -> None:
    given = {"peak_risk": 100.0}

    assert integrity.integrity(given, Weights(rules=1.0))["integrity_score"] == 0.0
    assert integrity.integrity(given, Weights(rules=0.0))["integrity_band"] is None


# -- dropout


def test_every_pair_of_numbers_has_one_label_at_their_edges_too() -> None:
    """The old fault: an integrity of exactly 0.4 fell through every rule."""
    edges = [0.0, 0.3 - 1e-9, 0.3, 0.4 - 1e-9, 0.4, 0.4 + 1e-9, 1.0]
    momenta = [0.0, 30.0 - 1e-9, 30.0, 50.0 - 1e-9, 50.0, 100.0]
    labels = {pair: dropout.label_of(*pair) for pair in product(edges, momenta)}

    assert set(labels.values()) == set(dropout.SHOWN)
    assert labels[0.4, 0.0] == "incapable"
    assert labels[0.4, 30.0] == "safe"
    assert labels[0.3, 0.0] == "no_interest"


@given(rows())
@settings(max_examples=10)
def test_an_honest_candidate_with_one_draft_has_no_label(row: dict[str, Any]) -> None:
    """The old fault: whoever had nothing to compare with was `incapable`."""
    one_draft = {"integrity_score": 1.0, "lmi_score": None, "coverage": 0.5}
    labelled = dropout.dropout(one_draft)
    [attempt] = behavior_analysis(framed([row | {"lmi_score": None, "probability": None}])).to_dicts()

    assert (labelled["dropout_label"], labelled["dropout_confidence"]) == (None, None)
    assert [each["code"] for each in labelled["reasons"]] == ["NO_DROPOUT_LABEL"]
    assert attempt["dropout_label"] is None


@given(rows(), st.floats(0.01, 0.99))
@settings(max_examples=10)
def test_a_probability_makes_the_label_and_at_most_three_reasons(row: dict[str, Any], p: float) -> None:
    known = row | {"integrity_score": 0.2, "coverage": 0.25}
    labelled = dropout.dropout(known | {"probability": p})

    assert (labelled["dropout_label"] == "safe") == (p < dropout.THRESHOLD)
    assert labelled["dropout_confidence"] == pytest.approx(
        (1 - p if labelled["dropout_label"] == "safe" else p) / 2
    )
    assert len(labelled["reasons"]) <= 3


# -- flags and alerts


@given(rows())
@settings(max_examples=25)
def test_attention_is_asked_for_by_what_nobody_has_decided_yet(row: dict[str, Any]) -> None:
    scored = integrity.integrity(row)
    found = flags.attention(row | scored)
    peak, band = row["peak_risk"] or 0.0, scored["integrity_band"]

    assert bool(found) == (not row["is_decided"] and (peak > 50 or band == "needs_review" or row["has_flag"]))


@given(rows(), st.sampled_from([None, *dropout.SHOWN]))
@settings(max_examples=25)
def test_alerts_come_by_urgency_each_with_its_reason(row: dict[str, Any], label: str | None) -> None:
    """Critical, High, evidence tampering, unexplained silence, anomaly cluster, dropout: of every label."""
    found = flags.alerts(row | {"dropout_label": label})
    ranks = [each["rank"] for each in found]

    assert ranks == sorted(set(ranks))
    assert [flags.ALERTS[rank - 1] for rank in ranks] == [each["code"] for each in found]
    assert all(each["text"].endswith(".") for each in found)
    assert ("DROPOUT" in {each["code"] for each in found}) == (label in {"incapable", "copy", "no_interest"})


def test_what_to_do_follows_from_the_peaks_band() -> None:
    assert set(flags.ACTIONS) == set(Level)
    assert [flags.action_of(peak) for peak in (None, 20.0, 20.01, 50.0, 75.0, 75.01)] == [
        "none", "none", "flag_for_review", "flag_for_review", "priority_review", "immediate_attention",
    ]  # fmt: skip


@pytest.mark.parametrize("label", [label for label in dropout.SHOWN if label != "safe"])
def test_two_labels_of_the_last_three_ask_for_help_whichever_they_are(label: str) -> None:
    """The old fault: "high risk" forgot a label."""
    assert standing([label, label, "safe"])["flagged_for_intervention"]
    assert standing([label, None, label])["flagged_for_intervention"]
    assert not standing([label, label, "safe", "safe", None])["flagged_for_intervention"]
    assert standing(["safe", label, None])["current_risk_label"] == label


@given(attempts, st.randoms(use_true_random=False))
@settings(max_examples=10)
def test_a_students_standing_is_of_the_last_ten_and_of_no_order_of_rows(
    found: list[dict[str, Any]], random: Any
) -> None:
    rows = behavior_analysis(framed(found))
    shuffled = rows.sample(fraction=1, shuffle=True, seed=random.randrange(2**31))
    standings = flags.standings(rows)

    assert standings.equals(flags.standings(shuffled))
    assert set(standings["student_id"]) == {
        each["student_id"] for each in found if each["completed_at"] is not None
    }
    assert standings["cumulative_integrity_score"].drop_nulls().is_between(0, 1).all()


def standing(labels: list[str | None]) -> dict[str, Any]:
    """Return a student's standing after attempts with these labels."""
    rows = [
        {
            "attempt_id": str(n), "student_id": "s", "completed_at": START + timedelta(days=n),
            "integrity_score": 0.5, "coverage": 1.0, "dropout_label": label,
        }
        for n, label in enumerate(labels)
    ]  # fmt: skip
    return flags.standings(pl.DataFrame(rows, schema=flags.ATTEMPTS.schema)).row(0, named=True)


# -- the row and its text


@given(attempts, st.randoms(use_true_random=False))
@settings(max_examples=10)
def test_rows_are_the_same_to_the_byte_in_any_order_and_partition(
    found: list[dict[str, Any]], random: Any
) -> None:
    whole = behavior_analysis(framed(found))
    shuffled = random.sample(found, len(found))
    parts = [behavior_analysis(framed(shuffled[n::3])) for n in range(3)]

    assert pl.concat(parts).sort("attempt_id").equals(whole)
    assert whole.schema == ROWS


@given(attempts)
@settings(max_examples=5)
def test_the_row_has_the_datasets_columns(found: list[dict[str, Any]]) -> None:
    """spec.md W-4: schemas are asserted, whatever the rows."""
    table = behavior_analysis(framed(found)).to_arrow()
    plain = pa.schema([pa.field(each.name, each.type) for each in BEHAVIOR_ANALYSIS.schema])

    assert conform(BEHAVIOR_ANALYSIS, table.cast(plain)).num_rows == len(found)


@given(rows())
@settings(max_examples=25)
def test_every_sentence_rests_on_a_reason_of_the_row(row: dict[str, Any]) -> None:
    """spec.md, decision 16."""
    [made] = behavior_analysis(framed([row])).to_dicts()
    reasons = msgspec.json.decode(made["reasons"])
    texts = [each["text"] for each in reasons]
    advised = [summaries.ADVICE[each["code"]] for each in reasons]

    assert reasons
    assert made["llm_model_version"] == "rules-1"
    assert set(sentences(made["llm_summary"])) <= {each for text in texts for each in sentences(text)}
    assert made["llm_recommendations"] is None or set(sentences(made["llm_recommendations"])) <= {
        each for advice in advised if advice for each in sentences(advice)
    }
    assert len(texts) > summaries.SENTENCES_MAX or made["llm_summary"] == " ".join(dict.fromkeys(texts))


def sentences(text: str) -> list[str]:
    return re.split(r"(?<=[.!?]) (?=[A-Z0-9])", text)


def test_a_model_is_told_no_ids_and_keeps_only_what_rests_on_reasons() -> None:
    reasons = [{"code": "RULES", "value": 1, "threshold": 0, "n": 1, "text": "Some risk.", "share": 1.0}]
    answer = {
        "summary": [
            {"text": "Risk was met.", "codes": ["RULES"]},
            {"text": "A friend helped.", "codes": ["RULES", "HEARSAY"]},
            {"text": "x" * 301, "codes": ["RULES"]},
        ],
        "recommendations": [{"text": "Expel.", "codes": []}],
    }

    assert summaries.checked_answer(json(answer), reasons) == ("Risk was met.", None)
    assert summaries.checked_answer(json({"summary": []}), reasons) is None
    assert summaries.checked_answer("no JSON", reasons) is None
    assert {name for each in summaries.facts_of(reasons) for name in each} == {
        "code", "value", "threshold", "n", "text",
    }  # fmt: skip


def test_behavior_asks_for_what_its_parts_ask_for() -> None:
    """One frame feeds them all, under the same names and types."""
    for part in (integrity.EVIDENCE, dropout.STANDING):
        given_elsewhere = {"integrity_score", "coverage"}
        assert {
            name: kind for name, kind in part.schema.items() if name not in given_elsewhere
        }.items() <= ATTEMPTS.schema.items()
    assert flags.ATTEMPTS.schema.items() <= ROWS.items()
    assert behavior.Bars() == behavior.BARS
