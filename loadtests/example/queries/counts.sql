-- How much is published of what the pictures are drawn of.
SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM attempt_activity), (SELECT count(*) FROM submission_items),
       (SELECT count(*) FROM item_analysis);
