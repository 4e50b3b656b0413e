-- What became of each question of the final examination.
SELECT * FROM submission_items
WHERE exam_id IN (SELECT exam_id FROM submission_items GROUP BY exam_id HAVING max(position) = 16);
