-- What staff say of observations.

-- name: find_reviewed
-- An observation that the caller reaches, and whether they may judge what is of its exam.
SELECT s.author_id AS observer_id,
       :sees_organisation OR s.exam_id IN (SELECT * FROM judged_exam_ids()) AS may_judge
FROM submissions s
WHERE s.id = :id AND s.kind = 'observation' AND s.organisation_id = :organisation
  AND (:sees_organisation OR EXISTS (SELECT FROM exam_viewers w WHERE w.exam_id = s.exam_id AND w.user_id = :user_id));

-- name: insert_observation_review
-- A trigger holds others back meanwhile, asks whether it may follow, and numbers it.
INSERT INTO observation_reviews (submission_id, number, organisation_id, exam_id, observer_id, verdict, reason, reviewed_by,
                                 reviewed_at)
SELECT s.id, 1, s.organisation_id, s.exam_id, s.author_id, :verdict, :reason, :reviewed_by, :reviewed_at
FROM submissions s
WHERE s.id = :submission_id;
