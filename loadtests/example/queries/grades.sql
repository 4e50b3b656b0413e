-- The grade of each laboratory session, in per cent, beside the better of the student's final scores.
WITH finals AS (
    SELECT student_id, max(percentage) AS percentage FROM submissions
    WHERE kind = 'imported' AND exam_id IN (SELECT exam_id FROM submission_items GROUP BY exam_id HAVING max(position) = 16)
    GROUP BY student_id
), laboratory AS (
    SELECT student_id, percentage AS grade, row_number() OVER (PARTITION BY student_id ORDER BY finalised_at) + 1 AS session
    FROM submissions
    WHERE kind = 'imported' AND exam_id IN (SELECT exam_id FROM submission_items GROUP BY exam_id HAVING max(position) = 1)
)
SELECT session, student_id, grade, percentage FROM laboratory JOIN finals USING (student_id) ORDER BY session, student_id;
