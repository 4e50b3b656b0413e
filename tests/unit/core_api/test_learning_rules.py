"""Whatever a result is, its records keep the rules of the two standards (spec.md W-6)."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core_api.exports import caliper, xapi
from core_api.exports.learning import Item, Names, Result
from tests.kits.learning_rules import CALIPER, XAPI, broken

NAMES = Names("https://exams.school.example")
MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  the zone is said
TEXTS = st.text(max_size=10)
KINDS = st.sampled_from(["single_choice", "multiple_choice", "numeric", "short_text", "essay", "finding"])


@st.composite
def items(draw: st.DrawFn) -> Item:
    points_max = draw(st.sampled_from([0.0, 0.01, 1.0, 2.5, 100000.0]))
    return Item(
        position=draw(st.integers(1, 500)), question_id=draw(st.uuids()), kind=draw(KINDS),
        response=draw(st.none() | st.lists(TEXTS, max_size=3)),
        points=draw(st.none() | st.sampled_from([0.0, points_max / 3, points_max])), max_points=points_max,
        seconds=draw(st.none() | st.floats(0, 1e6)), saved_at=draw(MOMENTS),
    )  # fmt: skip


@st.composite
def results(draw: st.DrawFn) -> Result:
    begun = draw(MOMENTS)
    ended = begun + timedelta(microseconds=draw(st.integers(0, 10**11)))
    score = draw(st.none() | st.floats(0, 100))
    return Result(
        attempt_id=draw(st.uuids(version=4)), attempt_number=draw(st.integers(1, 50)),
        exam_id=draw(st.uuids()), exam_title=draw(TEXTS.filter(bool)), student_id=draw(st.uuids()),
        started_at=begun, finalised_at=ended, scored_at=ended, score=score, max_score=100.0,
        percentage=score, passed=draw(st.none() | st.booleans()), is_void=draw(st.booleans()),
        items=draw(st.lists(items(), max_size=3)),
    )  # fmt: skip


@settings(max_examples=150)
@given(results(), MOMENTS)
def test_records_keep_what_the_standards_demand_w6(result: Result, sent_at: datetime) -> None:
    for statement in orjson.loads(orjson.dumps(list(xapi.statements(NAMES, result)))):
        assert broken(XAPI, statement) == [], statement
    for envelope in orjson.loads(orjson.dumps(list(caliper.envelopes(NAMES, sent_at, result)))):
        assert broken(CALIPER, envelope) == [], envelope


WHOLE = Result(
    attempt_id=UUID("10000000-0000-4000-8000-000000000000"), attempt_number=1,
    exam_id=UUID(int=11), exam_title="Biology", student_id=UUID(int=12),
    started_at=datetime(2026, 3, 1, tzinfo=UTC), finalised_at=datetime(2026, 3, 2, tzinfo=UTC),
    scored_at=datetime(2026, 3, 3, tzinfo=UTC), score=60.0, max_score=100.0, percentage=60.0, passed=True,
    is_void=False, items=[],
)  # fmt: skip


@pytest.mark.parametrize(("change", "rule"), [
    ({"result": {"score": {"raw": 0, "min": 0, "max": 0}}}, "2.4.5.1"),
    ({"result": {"score": {"raw": 3, "min": 0, "max": 2}}}, "2.4.5.1"),
    ({"result": {"response": ""}}, "2.2: no empty text"),
    ({"result": {"mark": 1}}, "2.2: no member"),
    ({"result": None}, "2.2: no null"),
    ({"timestamp": "2026-03-01T00:00:00"}, "4.5"),
    ({"version": "2.0.0"}, "2.4.10"),
])  # fmt: skip
def test_the_rules_of_xapi_find_what_breaks_them(change: dict[str, object], rule: str) -> None:
    statement = orjson.loads(orjson.dumps(next(xapi.statements(NAMES, WHOLE)))) | change

    assert [each for each in broken(XAPI, statement) if each.startswith(rule)] != []


@pytest.mark.parametrize(("change", "rule"), [
    ({"id": "3"}, "2.2 (event): its id"),
    ({"action": "Graded"}, "2.3.3"),
    ({"eventTime": "2026-03-01T00:00:00Z"}, "2.4: a moment"),
    ({"actor": {"id": "somebody", "type": "Person"}}, "2.1 (entity): its id"),
    ({"generated": {"id": "https://a.example/1", "type": "Attempt", "count": 0}}, "2.3.3: an attempt"),
    ({"object": {"id": "https://a.example/1", "type": "Assessment", "mark": 1}}, "appendix C"),
])  # fmt: skip
def test_the_rules_of_caliper_find_what_breaks_them(change: dict[str, object], rule: str) -> None:
    (told,) = caliper.envelopes(NAMES, WHOLE.scored_at, WHOLE)
    envelope = orjson.loads(orjson.dumps(told))
    envelope["data"][0] |= change

    assert [each for each in broken(CALIPER, envelope) if each.startswith(rule)] != []
