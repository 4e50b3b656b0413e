-- The five seconds with the most events, and what share of them were violations. $exam_id: the exam.
SELECT time_bucket(INTERVAL 1 second, occurred_at) AS second,
       count(*) AS events,
       round(100.0 * count(*) FILTER (is_violation) / count(*), 1) AS violations_percent
FROM catalogue.events
WHERE exam_id = $exam_id
GROUP BY second
ORDER BY events DESC, second
LIMIT 5
