-- How many events of each type each exam has.
SELECT exam_id, event_type_name AS event_type, count(*) AS events
FROM catalogue.events
GROUP BY ALL
ORDER BY ALL
