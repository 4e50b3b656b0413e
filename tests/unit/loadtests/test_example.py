"""The pictures of docs/example.md are drawn of any warehouse that has such data, and again the same (W-7)."""

from pathlib import Path

import duckdb

from loadtests.example.plots import PICTURES, Analyst, grades
from warehouse.catalogue import NAME

TABLES = """
CREATE TABLE submissions AS
SELECT format('s{}-{}', e, n) AS submission_id, format('a{}-{}', e, n) AS attempt_id,
       format('e{}', e) AS exam_id, 'o' AS organisation_id, format('p{}', n) AS student_id,
       format('f{}', e) AS form_id, 'imported' AS kind, 'import' AS submitted_by,
       TIMESTAMPTZ '2015-01-01 00:00Z' + to_days(e::int) AS started_at,
       TIMESTAMPTZ '2015-01-01 00:00Z' + to_days(e::int) AS finalised_at,
       n::double AS points, 16.0::double AS max_points, n::double AS score,
       (n * 6.25)::double AS percentage, n > 8 AS passed, false AS is_void,
       TIMESTAMPTZ '2015-02-01 00:00Z' AS as_of
FROM range(4) x (e), range(12) y (n);
CREATE TABLE submission_items AS
SELECT submission_id, attempt_id, exam_id, organisation_id, student_id, form_id, (k + 1)::int AS position,
       format('q{}', k) AS question_id, format('v{}', k) AS question_version_id, 'essay' AS kind,
       NULL::varchar AS response, NULL::varchar AS key, ((points + k) % 2)::double AS points,
       1.0::double AS max_points, NULL::double AS seconds, []::varchar[] AS topics
FROM submissions, range(16) z (k) WHERE k = 0 OR exam_id > 'e1';
CREATE TABLE item_analysis AS
SELECT exam_id, position, avg(points) AS difficulty, 0.3::double AS point_biserial
FROM submission_items GROUP BY exam_id, position;
CREATE TABLE attempt_activity AS
SELECT format('p{}', n) AS student_id, 7 * n AS events FROM range(12) y (n);
CREATE TABLE events AS
SELECT TIMESTAMPTZ '2015-01-01 00:00Z' AS client_at, (101 + n % 3)::smallint AS event_type,
       n % 5 AS session_id
FROM range(600) y (n);
"""


def test_all_pictures_are_drawn_and_again_the_same_w7(tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / NAME)) as conn:
        conn.execute(TABLES)
    for draw in PICTURES:
        draw(Analyst(tmp_path), tmp_path)
    drawn = {each.name: each.read_text() for each in tmp_path.glob("*.svg")}
    grades(Analyst(tmp_path), tmp_path)

    assert drawn.keys() == {"finals.svg", "activity.svg", "grades.svg"}
    assert (tmp_path / "grades.svg").read_text() == drawn["grades.svg"]
