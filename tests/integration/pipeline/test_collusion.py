"""Similar answers of what was handed in reach reporting and Parquet (spec.md W-1 to W-3)."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import psycopg

from kernel.settings import Settings
from pipeline.features.similarity import CANDIDATES_MIN
from pipeline.publications import publish_marked
from tests.kits.handed_in import START, abandon, hand_in, make_class
from tests.kits.pipeline_child import project_now
from tests.kits.pipeline_world import rows_of

ITEMS = 24
SESSION = b"""
INSERT INTO proctor_sessions
    (attempt_id, exam_id, candidate_id, organisation_id, mode, started_at, ip_address)
VALUES (%(attempt)s, %(exam)s, %(student)s, %(organisation)s, 1, %(at)s, '192.0.2.7')
ON CONFLICT (attempt_id, mode) DO UPDATE SET ip_address = excluded.ip_address
"""
SIMILAR = """
SELECT ARRAY[attempt_a, attempt_b], same_address, same_device, second_factor
FROM reporting.answer_similarity WHERE is_similar
"""

JUDGED = """
SELECT attempt_id, jsonb_path_query_array(reasons, '$[*].code')
FROM reporting.behavior_analysis ORDER BY attempt_id
"""


def test_who_copied_is_found_from_the_hand_in_to_parquet(
    database: str, database_as: Callable[[str], str], tmp_path: Path
) -> None:
    """A large exam's answers are compared once nobody is at work any more."""
    settings = Settings(
        database_url=database_as("veritas_pipeline"),
        warehouse=str(tmp_path / "warehouse"),
        cohort_every_s=0,
        cohort_settled_s=0,
        cohort_running_max=CANDIDATES_MIN - 1,
    )
    own = make_class(database, students=CANDIDATES_MIN + 1, items=ITEMS)
    random = np.random.default_rng(1)
    able = random.random((CANDIDATES_MIN, ITEMS)) < random.uniform(0.3, 0.7, (CANDIDATES_MIN, 1))
    chosen = np.where(able, "b", random.choice(list("acd"), (CANDIDATES_MIN, ITEMS)))
    chosen[1, :23] = chosen[0, :23]
    for number, letters in enumerate(chosen):
        hand_in(database, own, number, "".join(letters), minutes=30 + number)
    pair = own.attempts[:2]
    with psycopg.connect(database) as conn:
        for attempt in pair:
            conn.execute(SESSION, {**attempt, "at": START})

    project_now(settings)
    assert rows_of(database, SIMILAR) == []
    abandon(database, own, CANDIDATES_MIN)
    project_now(settings)
    published = publish_marked(settings)

    planted = sorted(each["attempt"] for each in pair)
    assert rows_of(database, SIMILAR) == [(planted, True, None, True)]
    found = rows_of(database, "SELECT attempt_ids, pairs, density FROM reporting.collusion_clusters")
    assert found == [(planted, 1, 1.0)]
    assert published["answer_similarity"] == published["collusion_clusters"] == 1
    told = dict(rows_of(database, JUDGED))
    assert [each for each, codes in told.items() if "SIMILARITY" in codes] == planted
    assert len(told) == CANDIDATES_MIN
    assert rows_of(database, "SELECT * FROM reporting.projection_marks") == []
