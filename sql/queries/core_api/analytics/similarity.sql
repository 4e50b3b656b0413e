-- Whose answers are more alike than chance explains.

-- name: list_pairs
-- Similar ones, the least likely first. `q`, `attempt_a`, `attempt_b`: after this one. `second_factor`: only those, where given.
SELECT s.attempt_a, s.attempt_b, s.student_a, s.student_b, coalesce(a.full_name, '') AS name_a, coalesce(b.full_name, '') AS name_b,
       s.form_id, s.items, s.answered_both, s.right_a, s.right_b, s.matches, s.expected_matches, s.identical_wrong,
       s.expected_identical_wrong, s.longest_run, s.run_begins, s.omega, s.p, s.q, s.overlap_s, s.same_address, s.same_device,
       s.second_factor, s.metric_version, s.coverage, s.reasons, s.as_of
FROM reporting.answer_similarity s
LEFT JOIN users a ON a.id = s.student_a
LEFT JOIN users b ON b.id = s.student_b
WHERE s.exam_id = :exam_id AND s.is_similar
  AND (:second_factor::boolean IS NULL OR coalesce(s.second_factor, false) = :second_factor)
  AND (:q::float8 IS NULL OR (s.q, s.attempt_a, s.attempt_b) > (:q, :attempt_a::uuid, :attempt_b::uuid))
ORDER BY s.q, s.attempt_a, s.attempt_b
LIMIT :limit;

-- name: list_clusters
-- $1 exam_id uuid, $2 limit. The largest first.
SELECT c.cluster_id, c.attempt_ids, c.student_ids,
       ARRAY(SELECT coalesce(u.full_name, '') FROM unnest(c.student_ids) WITH ORDINALITY t (id, place)
             LEFT JOIN users u ON u.id = t.id ORDER BY t.place) AS names,
       c.pairs, c.density, c.most_matches, c.most_identical_wrong, c.strongest_p, c.weakest_q, c.second_factor_pairs,
       c.metric_version, c.coverage, c.reasons, c.as_of
FROM reporting.collusion_clusters c
WHERE c.exam_id = $1
ORDER BY c.size DESC, c.cluster_id
LIMIT $2;
