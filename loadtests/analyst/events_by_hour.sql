-- How many events of each type each hour had, all exams together.
SELECT time_bucket(INTERVAL 1 hour, occurred_at) AS hour, event_type_name, count(*) AS events
FROM catalogue.events
GROUP BY hour, event_type_name
ORDER BY hour, event_type_name
