-- When was most going on? The five busiest seconds, and what share of their events were violations.
SELECT time_bucket(INTERVAL 1 second, occurred_at) AS second, count(*) AS events,
       round(100.0 * count(*) FILTER (is_violation) / count(*), 1) AS violations_percent
FROM catalogue.events
GROUP BY second
ORDER BY events DESC, second
LIMIT 5
