-- The five attempts whose client fell silent longest. $exam_id: the exam.
SELECT attempt_id,
       round(longest_silence_s, 1) AS silence_s,
       round(clock_skew_ms / 1000, 1) + 0.0 AS clock_s,
       events,
       violations
FROM catalogue.attempt_activity
WHERE exam_id = $exam_id
ORDER BY silence_s DESC NULLS LAST, attempt_id
LIMIT 5
