-- Blind double review: two people judge a session apart.

-- name: read_stage
-- The caller holds the session. A session that was decided on before its exam asked for two reviews is reviewed once.
SELECT r.reviews > 0 OR (e.double_review AND NOT EXISTS (SELECT FROM proctor_decisions WHERE session_id = :session_id)) AS is_double,
       r.reviews, r.has_reviewed, r.agree,
       :sees_organisation OR EXISTS (SELECT FROM adjudicated_exams a WHERE a.exam_id = e.id) AS may_adjudicate
FROM exams e
CROSS JOIN review_stage(:session_id) r
WHERE e.id = :exam_id;

-- name: insert_review
INSERT INTO blind_reviews (session_id, number, attempt_id, exam_id, candidate_id, organisation_id, status, reason_en, reason_ar,
                           internal_notes, reviewed_by, reviewed_at)
VALUES (:session_id, :number, :attempt_id, :exam_id, :candidate_id, :organisation_id, :status, :reason_en, :reason_ar,
        :internal_notes, :reviewed_by, :reviewed_at);

-- name: list_reviews
-- Of a session that the caller may see, what they may read: their own, and the other's once nobody is blind any more.
SELECT b.session_id AS proctor_session_id, b.status, b.reason_en AS decision_reason_en, b.reason_ar AS decision_reason_ar,
       b.internal_notes, b.reviewed_by, coalesce(u.full_name, '') AS reviewed_by_name, b.reviewed_at
FROM blind_reviews b
LEFT JOIN users u ON u.id = b.reviewed_by
WHERE b.session_id = :session_id AND (b.reviewed_by = :user_id OR (NOT :own AND sees_reviews(b.session_id)))
ORDER BY b.number;

-- name: count_pairs
-- Of the exams that the caller adjudicates, by what both have said. What waits for its adjudicator counts, but for its own
-- reviewers, who learn by nothing that they differ.
SELECT a.status AS first, b.status AS second, count(*) AS pairs, count(*) FILTER (WHERE d.is_finalized IS NOT TRUE) AS undecided
FROM blind_reviews b
JOIN blind_reviews a ON a.session_id = b.session_id AND a.number = 1
LEFT JOIN proctor_decisions d ON d.session_id = b.session_id
WHERE b.number = 2 AND b.organisation_id = :organisation
  AND (:sees_organisation OR b.exam_id IN (SELECT exam_id FROM adjudicated_exams))
  AND (:exam_id::uuid IS NULL OR b.exam_id = :exam_id)
  AND (:reviewed_from::timestamptz IS NULL OR b.reviewed_at >= :reviewed_from)
  AND (:reviewed_before::timestamptz IS NULL OR b.reviewed_at < :reviewed_before)
  AND (d.is_finalized IS TRUE OR :user_id::uuid NOT IN (a.reviewed_by, b.reviewed_by))
GROUP BY a.status, b.status;
