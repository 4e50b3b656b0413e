-- Each student's activity in all sessions, and the better of their final scores.
WITH finals AS (
    SELECT student_id, max(percentage) AS percentage FROM submissions
    WHERE kind = 'imported' AND exam_id IN (SELECT exam_id FROM submission_items GROUP BY exam_id HAVING max(position) = 16)
    GROUP BY student_id
)
SELECT student_id, sum(events)::bigint AS stretches, any_value(percentage) AS percentage
FROM attempt_activity JOIN finals USING (student_id)
GROUP BY student_id
ORDER BY student_id;
