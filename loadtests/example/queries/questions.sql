-- How each question of the final examination measured.
SELECT exam_id, position, difficulty, point_biserial FROM item_analysis
WHERE exam_id IN (SELECT exam_id FROM submission_items GROUP BY exam_id HAVING max(position) = 16)
ORDER BY exam_id, position;
