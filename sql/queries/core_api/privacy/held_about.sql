-- What is held about a person, table by table.

-- name: list_own
-- $1 whoever asks: what is theirs.
SELECT place, state FROM held_about($1, true);

-- name: list_held
-- $1 person of an admin's organisation: all but secrets.
SELECT place, state FROM held_about($1, false);

-- name: list_files
-- $1 person of an admin's organisation. What has arrived of evidence of their sessions, and of findings about them, part by part;
-- but what has gone by policy.
SELECT e.id AS evidence_id, e.file_name, e.tier, c.object_key, c.size_bytes
FROM (SELECT v.id FROM proctor_sessions s JOIN evidence v ON v.session_id = s.id WHERE s.candidate_id = $1
      UNION
      SELECT v.evidence_id FROM submission_subjects b JOIN submission_evidence v ON v.submission_id = b.submission_id
      WHERE b.subject_id = $1) f
JOIN evidence e ON e.id = f.id AND e.gone_at IS NULL
JOIN evidence_chunks c ON c.evidence_id = e.id AND c.stored_at IS NOT NULL
ORDER BY e.id, c.number;
