-- Answers of a running attempt, and how its essays grew.

-- name: save_answers
-- `question_ids`: each once; `responses` as JSON. A row comes back for each answer that is newer than what is stored. In
-- order of the question, so that two saves of one attempt at the same moment wait for one another and never in a circle.
INSERT INTO attempt_answers (attempt_id, question_id, client_seq, response, saved_at)
SELECT :attempt_id, given.question_id, given.client_seq, given.response::jsonb, :saved_at
FROM unnest(:question_ids::uuid[], :client_seqs::bigint[], :responses::text[]) AS given (question_id, client_seq, response)
ORDER BY given.question_id
ON CONFLICT (attempt_id, question_id) DO UPDATE
SET client_seq = excluded.client_seq, response = excluded.response, saved_at = excluded.saved_at
WHERE attempt_answers.client_seq < excluded.client_seq
RETURNING question_id;

-- name: list_answers_to
-- $1 attempt_id, $2 question_ids uuid[]
SELECT question_id, client_seq, saved_at FROM attempt_answers WHERE attempt_id = $1 AND question_id = ANY ($2::uuid[]);

-- name: list_answers
-- As they were saved; long after the hand-in as they were handed in, while that is kept.
SELECT w.question_id, w.client_seq, w.response, w.saved_at
FROM (SELECT attempt_id, question_id, client_seq, response, saved_at FROM attempt_answers WHERE attempt_id = :attempt_id
      UNION ALL
      SELECT b.attempt_id, i.question_id, i.client_seq, i.response, i.saved_at
      FROM submissions b JOIN submission_items i ON i.submission_id = b.id
      WHERE b.attempt_id = :attempt_id AND b.kind = 'attempt' AND b.content <> '' AND i.response IS NOT NULL
        AND NOT EXISTS (SELECT FROM attempt_answers w WHERE w.attempt_id = :attempt_id)) w
JOIN exam_attempts a ON a.id = w.attempt_id
WHERE a.student_id = :student AND (:cursor::uuid IS NULL OR w.question_id > :cursor)
ORDER BY w.question_id
LIMIT :limit;

-- name: keep_drafts
-- $1 attempt_id, $2 question_ids uuid[] of essays just saved, $3 not before timestamptz
-- Keeps what is stored now, unless a draft of the question was kept since $3.
INSERT INTO attempt_drafts (attempt_id, question_id, client_seq, response, saved_at)
SELECT w.attempt_id, w.question_id, w.client_seq, w.response, w.saved_at
FROM attempt_answers w
WHERE w.attempt_id = $1 AND w.question_id = ANY ($2::uuid[])
  AND NOT EXISTS (SELECT FROM attempt_drafts d
                  WHERE d.attempt_id = w.attempt_id AND d.question_id = w.question_id AND d.saved_at > $3)
ON CONFLICT DO NOTHING;

-- name: trim_drafts
-- $1 attempt_id, $2 question_ids uuid[], $3 drafts kept. The first stays always, then the newest.
DELETE FROM attempt_drafts d
USING (
    SELECT question_id, client_seq, row_number() OVER (PARTITION BY question_id ORDER BY client_seq DESC) AS age,
           row_number() OVER (PARTITION BY question_id ORDER BY client_seq) AS number
    FROM attempt_drafts
    WHERE attempt_id = $1 AND question_id = ANY ($2::uuid[])
) ranked
WHERE d.attempt_id = $1 AND d.question_id = ranked.question_id AND d.client_seq = ranked.client_seq
  AND ranked.age >= $3 AND ranked.number > 1;

-- name: find_written
-- $1 attempt_id, $2 student. On which paper they write, or wrote.
SELECT evaluation_version_id FROM exam_attempts WHERE id = $1 AND student_id = $2;

-- name: list_drafts
-- $1 attempt_id, $2 question_id, $3 limit. Newest first; `characters` of the text, null where it was cleared.
SELECT client_seq, saved_at, char_length(response ->> 'text') AS characters
FROM attempt_drafts
WHERE attempt_id = $1 AND question_id = $2
ORDER BY client_seq DESC
LIMIT $3;

-- name: fetch_draft
-- $1 attempt_id, $2 question_id, $3 client_seq
SELECT client_seq, response, saved_at FROM attempt_drafts WHERE attempt_id = $1 AND question_id = $2 AND client_seq = $3;
