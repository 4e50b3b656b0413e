-- Stretches of activity by day of the students' own clocks; a day with fewer is a clock that was wrong.
SELECT client_at::date AS day, count(*) FILTER (event_type = 102) AS keys, count(*) FILTER (event_type = 103) AS mouse,
       count(*) FILTER (event_type = 101) AS neither, count(DISTINCT session_id) AS sessions
FROM events
WHERE event_type IN (101, 102, 103)
GROUP BY day
HAVING count(*) >= 500
ORDER BY day;
