-- Results of the final examination: its exams have sixteen questions, those of the laboratory one.
SELECT exam_id, percentage FROM submissions
WHERE kind = 'imported' AND exam_id IN (SELECT exam_id FROM submission_items GROUP BY exam_id HAVING max(position) = 16);
