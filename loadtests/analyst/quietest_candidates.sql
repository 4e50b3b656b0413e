-- Whose client fell silent longest? Five attempts with their longest silence and their violations.
SELECT left(attempt_id, 13) || '…' AS attempt, round(longest_silence_s, 1) AS longest_silence_s, events, violations
FROM catalogue.attempt_activity
ORDER BY longest_silence_s DESC NULLS LAST, attempt
LIMIT 5
