-- Observations are listed by exam and by observer (spec.md M-4), newest first, past however many hand-ins.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX submissions_observed ON submissions (exam_id, id) WHERE kind = 'observation';
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX submissions_observer ON submissions (author_id, id) WHERE kind = 'observation';
