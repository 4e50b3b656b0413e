-- How well each topic was answered over all exams, the hardest first, and in what time.
SELECT topic, count(*) AS answers, round(sum(points) / sum(max_points), 3) AS share_right, median(seconds) AS median_s
FROM (SELECT unnest(topics) AS topic, points, max_points, seconds FROM catalogue.submission_items WHERE points IS NOT NULL)
GROUP BY topic
ORDER BY share_right, topic
