-- Pastes, and how soon each came after the same candidate's latest tab switch: an as-of join. $exam_id: the exam.
WITH seen AS (
    SELECT session_id, occurred_at, event_type_name
    FROM catalogue.events
    WHERE exam_id = $exam_id
), pastes AS (FROM seen WHERE event_type_name = 'PasteAttempt'),
   switches AS (FROM seen WHERE event_type_name = 'TabSwitched'),
   waits AS (
    SELECT epoch(p.occurred_at - s.occurred_at) AS wait_s
    FROM pastes p
    ASOF LEFT JOIN switches s
      ON p.session_id = s.session_id AND p.occurred_at >= s.occurred_at
)
SELECT count(*) AS pastes,
       count(*) FILTER (wait_s <= 10) AS within_10_s_of_a_switch,
       round(median(wait_s), 1) AS median_wait_s
FROM waits
