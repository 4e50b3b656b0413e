-- Evidence as it is asked for, sent, confirmed and looked at. Candidates and observers reach what they send, staff what belongs
-- to their exams.

-- name: hold_session_for_evidence
-- The caller's own. Holds it, so that its pieces are counted one after the other.
SELECT s.id, s.exam_id, s.status, s.ended_at, coalesce(a.completed_at, a.expires_at) AS attempt_ends_at
FROM proctor_sessions s
JOIN exam_attempts a ON a.id = s.attempt_id
WHERE s.id = :session_id AND s.organisation_id = :organisation AND s.candidate_id = :user_id
FOR NO KEY UPDATE OF s;

-- name: hold_exam_for_evidence
-- No row where the exam was not granted to the observer, or is not published.
SELECT e.id AS exam_id
FROM exams e
WHERE e.id = :exam_id AND e.organisation_id = :organisation AND e.is_published
  AND EXISTS (SELECT FROM exam_viewers v WHERE v.exam_id = e.id AND v.user_id = :user_id);

-- name: count_pieces
-- Of a session; of an observer at an exam, where there is none. What never arrived does not count.
SELECT count(*) FROM evidence
WHERE status <> 4 AND CASE WHEN :session_id::bigint IS NULL THEN uploader_id = :user_id AND exam_id = :exam_id AND session_id IS NULL
                           ELSE session_id = :session_id END;

-- name: sum_usage
-- Of the asker's organisation, bytes.
SELECT evidence_stored();

-- name: insert_evidence
INSERT INTO evidence (session_id, exam_id, organisation_id, uploader_id, type, is_late, is_chunked, file_name, content_type, start_at,
                      end_at, duration_seconds, metadata, requested_at, expires_at)
VALUES (:session_id, :exam_id, :organisation, :user_id, :type, :is_late, :is_chunked, :file_name, :content_type, :start_at, :end_at,
        :duration_seconds, :metadata::text::json, :requested_at, :kept_from::timestamptz + own_evidence_days() * interval '1 day')
RETURNING id;

-- name: insert_chunks
-- Arrays, one place a chunk. One that was announced before and has not arrived is announced anew.
INSERT INTO evidence_chunks AS c (evidence_id, number, stated_sha256, stated_bytes, start_at, end_at)
SELECT :evidence_id, number, stated_sha256, stated_bytes, start_at, end_at
FROM unnest(:numbers::integer[], :hashes::bytea[], :sizes::bigint[], :starts::timestamptz[], :ends::timestamptz[])
    AS given (number, stated_sha256, stated_bytes, start_at, end_at)
ON CONFLICT (evidence_id, number) DO UPDATE
    SET stated_sha256 = excluded.stated_sha256, stated_bytes = excluded.stated_bytes, start_at = excluded.start_at,
        end_at = excluded.end_at
    WHERE c.stored_at IS NULL;

-- name: fetch_own
-- What the caller sends, with when its session ended.
SELECT e.id AS evidence_id, e.session_id, e.exam_id, e.organisation_id, e.uploader_id, e.type, e.status, e.content_type, e.is_chunked,
       e.is_late, e.requested_at, e.closed_at, e.chunk_count, e.size_bytes, e.sha256, s.ended_at
FROM evidence e
LEFT JOIN proctor_sessions s ON s.id = e.session_id
WHERE e.id = :evidence_id AND e.organisation_id = :organisation AND e.uploader_id = :user_id;

-- name: hold_own
-- The same, and nobody stores or closes anything of it meanwhile.
SELECT e.id AS evidence_id, e.session_id, e.exam_id, e.organisation_id, e.uploader_id, e.type, e.status, e.content_type, e.is_chunked,
       e.is_late, e.requested_at, e.closed_at, e.chunk_count, e.size_bytes, e.sha256, s.ended_at
FROM evidence e
LEFT JOIN proctor_sessions s ON s.id = e.session_id
WHERE e.id = :evidence_id AND e.organisation_id = :organisation AND e.uploader_id = :user_id
FOR UPDATE OF e;

-- name: hold_chunk
-- $1 evidence_id, $2 number. Nobody closes the evidence meanwhile.
SELECT e.status, c.number, c.stated_sha256, c.stated_bytes, c.size_bytes, c.sha256, c.stored_at
FROM evidence e
JOIN evidence_chunks c ON c.evidence_id = e.id
WHERE e.id = $1 AND c.number = $2
FOR SHARE OF e FOR UPDATE OF c;

-- name: fetch_chunk
-- $1 evidence_id, $2 number
SELECT number, stated_sha256, stated_bytes, size_bytes, sha256, stored_at FROM evidence_chunks WHERE evidence_id = $1 AND number = $2;

-- name: store_chunk
UPDATE evidence_chunks SET size_bytes = :size_bytes, sha256 = :sha256, object_key = :object_key, stored_at = :at
WHERE evidence_id = :evidence_id AND number = :number AND stored_at IS NULL;

-- name: list_chunks
-- $1 evidence_id, $2 after number, $3 limit
SELECT number, start_at, end_at, stored_at, coalesce(size_bytes, stated_bytes) AS size,
       encode(coalesce(sha256, stated_sha256), 'hex') AS checksum
FROM evidence_chunks
WHERE evidence_id = $1 AND number > $2
ORDER BY number
LIMIT $3;

-- name: list_stored
-- $1 evidence_id
SELECT number, size_bytes, sha256, object_key FROM evidence_chunks WHERE evidence_id = $1 AND stored_at IS NOT NULL ORDER BY number;

-- name: list_announced
-- $1 evidence_id. What has not arrived.
SELECT number, stated_sha256, stated_bytes FROM evidence_chunks WHERE evidence_id = $1 AND stored_at IS NULL ORDER BY number;

-- name: list_missing
-- $1 evidence_id, $2 last number, null: the last one that was announced; $3 limit
SELECT n
FROM generate_series(1, coalesce($2, (SELECT max(number) FROM evidence_chunks WHERE evidence_id = $1))) AS n
WHERE NOT EXISTS (SELECT FROM evidence_chunks c WHERE c.evidence_id = $1 AND c.number = n AND c.stored_at IS NOT NULL)
ORDER BY n
LIMIT $3;

-- name: sum_announced
-- $1 evidence_id, $2 numbers that do not count. How many others there are, and what they will hold.
SELECT count(*) AS chunks, coalesce(sum(coalesce(size_bytes, stated_bytes)), 0)::bigint AS size_bytes
FROM evidence_chunks WHERE evidence_id = $1 AND number <> ALL ($2::integer[]);

-- name: close_evidence
UPDATE evidence e
SET status = :status, closed_at = :at, chunk_count = :chunk_count, size_bytes = :size_bytes, sha256 = :sha256,
    is_late = e.is_late OR EXISTS (SELECT FROM proctor_sessions s JOIN evidence_chunks c ON c.evidence_id = e.id
                                   WHERE s.id = e.session_id AND c.stored_at > s.ended_at)
WHERE e.id = :evidence_id AND e.status = 1
RETURNING e.is_late;

-- name: list_unclosed
-- $1 sessions that ended before, $2 other pieces asked for before, $3 after id, $4 limit
SELECT e.id
FROM evidence e
LEFT JOIN proctor_sessions s ON s.id = e.session_id
WHERE e.status = 1 AND e.id > $3 AND CASE WHEN e.session_id IS NULL THEN e.requested_at < $2 ELSE s.ended_at < $1 END
ORDER BY e.id
LIMIT $4;

-- name: hold_unclosed
-- $1 id. No row where somebody else is at it.
SELECT e.id AS evidence_id, e.session_id, e.exam_id, e.organisation_id, e.uploader_id, e.type, e.status, e.content_type, e.is_chunked,
       e.is_late, e.requested_at, e.closed_at, e.chunk_count, e.size_bytes, e.sha256, s.ended_at
FROM evidence e
LEFT JOIN proctor_sessions s ON s.id = e.session_id
WHERE e.id = $1 AND e.status = 1
FOR UPDATE OF e SKIP LOCKED;

-- name: fetch_visible
-- A piece of evidence of an exam that the caller sees, or one that they sent.
SELECT e.id, e.id AS evidence_id, e.session_id, e.exam_id, e.organisation_id, e.uploader_id, e.type, e.status, e.tier, e.is_late, e.is_chunked, e.file_name,
       e.content_type, e.start_at, e.end_at, e.duration_seconds, e.metadata::text AS metadata_json, e.chunk_count, e.size_bytes, e.sha256,
       e.requested_at, e.closed_at, coalesce(e.gone_at, k.until, e.expires_at) AS expires_at, e.gone_at
FROM evidence e
LEFT JOIN LATERAL evidence_kept_until(ARRAY[e.id]) k ON true
WHERE e.id = :evidence_id AND e.organisation_id = :organisation
  AND (:sees_organisation OR e.uploader_id = :user_id
       OR EXISTS (SELECT FROM exam_viewers v WHERE v.exam_id = e.exam_id AND v.user_id = :user_id));

-- name: list_of_session
-- The caller sees the session. In the order in which it was asked for.
SELECT e.id, e.session_id, e.exam_id, e.organisation_id, e.uploader_id, e.type, e.status, e.tier, e.is_late, e.is_chunked, e.file_name,
       e.content_type, e.start_at, e.end_at, e.duration_seconds, e.metadata::text AS metadata_json, e.chunk_count, e.size_bytes, e.sha256,
       e.requested_at, e.closed_at, coalesce(e.gone_at, k.until, e.expires_at) AS expires_at, e.gone_at
FROM evidence e
LEFT JOIN LATERAL evidence_kept_until(ARRAY[e.id]) k ON true
WHERE e.session_id = :session_id AND (:type::smallint IS NULL OR e.type = :type)
  AND (:status::smallint IS NULL OR e.status = :status) AND (:cursor::bigint IS NULL OR e.id > :cursor)
ORDER BY e.id
LIMIT :limit;

-- name: list_custody_evidence
-- The caller sees the session. What was closed.
SELECT e.id, e.type, e.status, e.tier, e.file_name, e.content_type, e.size_bytes, e.sha256, e.chunk_count, e.gone_at
FROM evidence e
WHERE e.session_id = :session_id AND (:evidence_id::bigint IS NULL OR e.id = :evidence_id)
ORDER BY e.id;

-- name: list_custody_chunks
SELECT c.evidence_id, c.number, c.size_bytes, c.sha256, c.start_at, c.end_at
FROM evidence e
JOIN evidence_chunks c ON c.evidence_id = e.id
WHERE e.session_id = :session_id AND (:evidence_id::bigint IS NULL OR e.id = :evidence_id) AND c.stored_at IS NOT NULL
ORDER BY c.evidence_id, c.number;

-- name: list_custody_events
-- `limit`: one more than may be told.
SELECT event_id, evidence_id, body, position
FROM seen_custody
WHERE session_id = :session_id AND (:evidence_id::bigint IS NULL OR evidence_id = :evidence_id)
ORDER BY event_id
LIMIT :limit;
