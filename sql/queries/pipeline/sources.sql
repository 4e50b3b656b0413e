-- Frames that projections read from the durable tables; each takes the keys of its turn.

-- name: attempts
-- $1 layer, $2 keys of it as text. The attempts of these keys that are over.
SELECT id::text AS attempt_id, exam_id::text AS exam_id, student_id::text AS student_id, status, started_at, completed_at
FROM exam_attempts
WHERE status <> 'in_progress'
  AND CASE $1::text WHEN 'attempt' THEN id = ANY ($2::text[]::uuid[])
                    WHEN 'exam' THEN exam_id = ANY ($2::text[]::uuid[])
                    ELSE student_id = ANY ($2::text[]::uuid[]) END;

-- name: handed_in
-- $1 attempt ids as text. Each submission with its newest score, and whether it counts.
SELECT b.id::text AS submission_id, b.attempt_id::text AS attempt_id, b.exam_id::text AS exam_id,
       b.organisation_id::text AS organisation_id, b.author_id::text AS student_id,
       a.evaluation_version_id::text AS form_id, b.kind, b.submitted_by, a.started_at, b.finalised_at, c.revision, c.scored_at,
       c.scoring_version, c.ungraded, CASE WHEN c.ungraded = 0 THEN c.points::float8 END AS points,
       c.max_points::float8 AS max_points, c.score::float8 AS score, c.percentage::float8 AS percentage, c.passed,
       coalesce(r.is_void, false) AS is_void, greatest(c.scored_at, r.changed_at) AS as_of
FROM submissions b
JOIN exam_attempts a ON a.id = b.attempt_id
CROSS JOIN LATERAL (SELECT * FROM submission_scores WHERE submission_id = b.id ORDER BY revision DESC LIMIT 1) c
LEFT JOIN submission_results r ON r.submission_id = b.id
WHERE b.attempt_id = ANY ($1::text[]::uuid[]);

-- name: handed_in_items
-- $1 attempt ids as text. Each item with the points of the newest score; a response as it was given.
SELECT i.submission_id::text AS submission_id, i.position, i.question_id::text AS question_id,
       i.question_version_id::text AS question_version_id, i.kind, i.response::text AS response,
       (c.item_points ->> i.position::text)::float8 AS points,
       coalesce((c.item_max_points ->> i.position::text)::float8, i.max_points::float8) AS max_points, i.saved_at,
       i.seconds AS stated_seconds
FROM submissions b
JOIN submission_items i ON i.submission_id = b.id
CROSS JOIN LATERAL (SELECT item_points, item_max_points FROM submission_scores WHERE submission_id = b.id ORDER BY revision DESC LIMIT 1) c
WHERE b.attempt_id = ANY ($1::text[]::uuid[]);

-- name: form_items
-- $1 attempt ids as text. Keys and topics of the items of their forms, as remediations have left them; no key where further answers
-- are right.
SELECT f.id::text AS form_id, item ->> 'question_id' AS question_id,
       CASE WHEN NOT item ?| ARRAY['also', 'is_full', 'is_dropped'] THEN (item -> 'item' -> 'key')::text END AS key,
       ARRAY(SELECT t.name FROM jsonb_array_elements_text(item -> 'term_ids') x
             JOIN taxonomy_terms t ON t.id = x.value::uuid ORDER BY t.name, t.id) AS topics
FROM evaluation_versions f
LEFT JOIN LATERAL (SELECT key FROM remediations WHERE evaluation_version_id = f.id AND number IS NOT NULL
                   ORDER BY number DESC LIMIT 1) r ON true
CROSS JOIN LATERAL jsonb_array_elements(coalesce(r.key, f.key)) item
WHERE f.id IN (SELECT evaluation_version_id FROM exam_attempts WHERE id = ANY ($1::text[]::uuid[]));

-- name: item_events
-- $1 attempt ids as text. What clients said of the questions that were on the screen and saved: types 104 and 105.
SELECT s.attempt_id::text AS attempt_id, e.session_id, e.seq, e.event_type, coalesce(e.effective_at, e.occurred_at) AS told_at,
       coalesce(e.payload ->> 'questionId', e.payload ->> 'question_id', e.payload ->> 'question') AS question
FROM proctor_sessions s
CROSS JOIN LATERAL (
    SELECT * FROM events
    WHERE session_id = s.id AND event_type IN (104, 105) AND occurred_at >= s.started_at
) e
WHERE s.attempt_id = ANY ($1::text[]::uuid[]);

-- name: drafts
-- $1 attempt ids as text. Every saved version of an essay, imported ones too; what was handed in is the last.
SELECT d.attempt_id::text AS attempt_id, a.exam_id::text AS exam_id, a.student_id::text AS student_id,
       d.question_id::text AS question_id,
       row_number() OVER (PARTITION BY d.attempt_id, d.question_id ORDER BY d.client_seq)::int AS version,
       coalesce(d.response ->> 'text', '') AS text, d.saved_at
FROM (
    SELECT attempt_id, question_id, client_seq, response, saved_at FROM attempt_drafts
    WHERE attempt_id = ANY ($1::text[]::uuid[])
    UNION
    SELECT b.attempt_id, i.question_id, i.client_seq, i.response, coalesce(i.saved_at, b.finalised_at)
    FROM submissions b
    JOIN submission_items i ON i.submission_id = b.id
    WHERE b.attempt_id = ANY ($1::text[]::uuid[]) AND i.kind = 'essay' AND i.response IS NOT NULL
      AND NOT EXISTS (SELECT FROM attempt_drafts d WHERE d.attempt_id = b.attempt_id AND d.question_id = i.question_id
                      AND d.client_seq = i.client_seq)
    UNION
    SELECT b.attempt_id, i.question_id, t.version, jsonb_build_object('text', t.text), t.saved_at
    FROM submissions b
    JOIN submission_drafts t ON t.submission_id = b.id
    JOIN submission_items i ON i.submission_id = t.submission_id AND i.position = t.position
    WHERE b.attempt_id = ANY ($1::text[]::uuid[])
) d
JOIN exam_attempts a ON a.id = d.attempt_id;

-- name: exams
-- $1 exam ids as text
SELECT id::text AS exam_id, organisation_id::text AS organisation_id, title, subject, topic, max_score::float8 AS max_score,
       passing_score::float8 AS passing_score
FROM exams
WHERE id = ANY ($1::text[]::uuid[]);

-- name: cohort_exams
-- $1 exam ids as text, $2 submissions. Those exams that have at most so many, or in which nobody is at work.
SELECT k.id AS exam_id
FROM unnest($1::text[]) k (id)
WHERE NOT EXISTS (SELECT FROM exam_attempts WHERE exam_id = k.id::uuid AND status = 'in_progress')
   OR (SELECT count(*) FROM (SELECT FROM reporting.submissions WHERE exam_id = k.id::uuid LIMIT $2::bigint + 1) s) <= $2::bigint;

-- name: cohort_contacts
-- $1 exam ids as text. Addresses and devices that their attempts' proctor sessions were taken up from.
SELECT attempt_id::text AS attempt_id, kind, value
FROM proctor_sessions
CROSS JOIN LATERAL (VALUES ('address', host(ip_address)), ('device', device_fingerprint)) c (kind, value)
WHERE exam_id = ANY ($1::text[]::uuid[]) AND value IS NOT NULL;

-- name: typing
-- $1 attempt ids as text. Of attempts with drafts: keystrokes, pastes, and the first event of each session, which tells that they
-- were watched.
SELECT e.session_id, e.seq, s.attempt_id::text AS attempt_id, s.exam_id::text AS exam_id, e.occurred_at, e.effective_at,
       e.event_type, e.severity, e.is_violation, e.is_late, e.payload::text AS payload
FROM proctor_sessions s
CROSS JOIN LATERAL (
    SELECT * FROM events
    WHERE session_id = s.id AND (event_type IN (6, 102) OR seq = 1) AND occurred_at >= s.started_at
) e
WHERE s.attempt_id = ANY ($1::text[]::uuid[]) AND EXISTS (SELECT FROM attempt_drafts d WHERE d.attempt_id = s.attempt_id);

-- name: prompts
-- $1 attempt ids as text. What the essays of their forms ask, as it was published.
SELECT DISTINCT item ->> 'question_id' AS question_id, item -> 'item' -> 'content' ->> 'stem' AS prompt
FROM evaluation_versions f
CROSS JOIN LATERAL jsonb_array_elements(f.key) item
WHERE f.id IN (SELECT evaluation_version_id FROM exam_attempts WHERE id = ANY ($1::text[]::uuid[]))
  AND item -> 'item' ->> 'kind' = 'essay';

-- name: results
-- $1 exam ids as text. How many reached each percentage, of results that count.
SELECT exam_id::text AS exam_id, organisation_id::text AS organisation_id, percentage, count(*) AS n
FROM reporting.submissions
WHERE exam_id = ANY ($1::text[]::uuid[]) AND percentage IS NOT NULL AND NOT is_void
GROUP BY reporting.submissions.exam_id, reporting.submissions.organisation_id, percentage;

-- name: qualities
-- $1 exam ids as text. The thinking quality of each revised text.
SELECT exam_id::text AS exam_id, question_id::text AS question_id, thinking_quality
FROM reporting.draft_analysis
WHERE exam_id = ANY ($1::text[]::uuid[]) AND thinking_quality IS NOT NULL;

-- name: norms
-- $1 exam ids as text
SELECT exam_id::text AS exam_id, scores::text AS scores, qualities::text AS qualities
FROM reporting.exam_norms
WHERE exam_id = ANY ($1::text[]::uuid[]);

-- name: neighbours
-- $1 attempt ids as text. Of each text whose passages are kept, somebody else's to the same question that holds most of them: of equal
-- ones the first by its attempt. Null without one that shares any.
SELECT o.attempt_id::text AS attempt_id, o.question_id::text AS question_id, cardinality(o.fingerprints) AS n,
       best.attempt_id::text AS other_attempt_id, best.shared
FROM reporting.draft_passages o
LEFT JOIN LATERAL (
    SELECT p.attempt_id, (SELECT count(*) FROM unnest(p.fingerprints) x JOIN unnest(o.fingerprints) y ON x = y) AS shared
    FROM reporting.draft_passages p
    WHERE p.question_id = o.question_id AND p.student_id <> o.student_id AND p.fingerprints && o.fingerprints
    ORDER BY shared DESC, p.attempt_id
    LIMIT 1
) best ON true
WHERE o.attempt_id = ANY ($1::text[]::uuid[]);

-- name: watched
-- $1 attempt ids as text. What was seen of attempts that were handed in, beside their events, and what people have said of it.
-- A gap without an end yet has no class. `said_at` is when the latest of this was said or found; risk has its events' time.
SELECT a.id::text AS attempt_id, a.exam_id::text AS exam_id, a.student_id::text AS student_id, a.completed_at,
       w.sessions > 0 AND w.decided = w.sessions AS is_decided, w.has_flag, w.peak_risk,
       CASE WHEN w.sessions > 0 THEN w.silences END AS unexplained_silences,
       CASE WHEN w.sessions > 0 THEN w.silence_s END AS unexplained_silence_s, w.damaged AS damaged_evidence, w.said_at
FROM exam_attempts a
CROSS JOIN LATERAL (
    SELECT count(*) AS sessions, count(*) FILTER (WHERE d.is_finalized) AS decided,
           coalesce(bool_or(f.kind = 'flag'), false) AS has_flag, max(r.peak_risk_score)::float8 AS peak_risk,
           coalesce(sum(g.silences), 0)::bigint AS silences, coalesce(sum(g.seconds), 0)::float8 AS silence_s,
           coalesce(sum(e.files), 0)::bigint AS damaged,
           greatest(max(d.decided_at), max(d.overridden_at), max(f.acted_at), max(e.found_at)) AS said_at
    FROM proctor_sessions s
    LEFT JOIN proctor_decisions d ON d.session_id = s.id
    LEFT JOIN reporting.session_risk r ON r.session_id = s.id
    LEFT JOIN LATERAL (
        SELECT kind, acted_at FROM session_actions
        WHERE session_id = s.id AND kind IN ('flag', 'unflag') ORDER BY id DESC LIMIT 1
    ) f ON true
    CROSS JOIN LATERAL (
        SELECT count(*) AS silences, sum(extract(epoch FROM j.ended_at - j.started_at)) AS seconds
        FROM (SELECT DISTINCT ON (started_at) started_at, ended_at, class FROM heartbeat_gaps
              WHERE session_id = s.id ORDER BY started_at, revision DESC) j
        WHERE j.class = 'unexplained'
    ) g
    CROSS JOIN LATERAL (
        SELECT count(*) AS files, max(damaged_at) AS found_at FROM evidence
        WHERE session_id = s.id AND damaged_at IS NOT NULL
    ) e
    WHERE s.attempt_id = a.id
) w
WHERE a.id = ANY ($1::text[]::uuid[]) AND a.status = 'completed';

-- name: written_texts
-- $1 attempt ids as text. What a language model has worded of their reasons.
SELECT attempt_id::text AS attempt_id, facts_sha256, summary, recommendations, model_version
FROM reporting.written_texts
WHERE attempt_id = ANY ($1::text[]::uuid[]);

-- name: leaving_scores
-- $1 attempt ids as text. What a model of leaving gave their candidates.
SELECT attempt_id::text AS attempt_id, probability, reasons AS probability_reasons, done_share, done_share_p10, model_version
FROM reporting.leaving_scores
WHERE attempt_id = ANY ($1::text[]::uuid[]);

-- name: best_partners
-- $1 attempt ids as text. How unusual the likeness to the best partner is, adjusted for all pairs of the form.
SELECT b.attempt_id::text AS attempt_id, p.q AS similarity_p, p.second_factor AS has_second_factor
FROM unnest($1::text[]::uuid[]) b (attempt_id)
CROSS JOIN LATERAL (
    SELECT q, second_factor FROM reporting.answer_similarity WHERE attempt_a = b.attempt_id AND is_best_of_a
    UNION ALL
    SELECT q, second_factor FROM reporting.answer_similarity WHERE attempt_b = b.attempt_id AND is_best_of_b
) p;

-- name: momenta
-- $1 attempt ids as text. How their candidates' work went on up to each, as it was projected.
SELECT attempt_id::text AS attempt_id, lmi AS lmi_score, improvement_trend, indicators::text AS indicators
FROM reporting.learning_momentum
WHERE attempt_id = ANY ($1::text[]::uuid[]);

-- name: sessions
-- $1 attempt ids as text. Their proctor sessions: which may be a yardstick for others, and of what.
SELECT s.id AS session_id, s.organisation_id::text AS organisation_id, s.mode,
       coalesce(d.is_finalized AND d.status IN (3, 4), false) AS is_upheld
FROM proctor_sessions s
LEFT JOIN proctor_decisions d ON d.session_id = s.id
WHERE s.attempt_id = ANY ($1::text[]::uuid[]);

-- name: seen_events
-- $1 attempt ids as text. The events of those that are over; what they say, where it may tell a magnitude.
SELECT e.session_id, e.seq, s.attempt_id::text AS attempt_id, s.exam_id::text AS exam_id, e.occurred_at, e.effective_at,
       e.event_type, e.severity, e.is_violation, e.is_late,
       CASE WHEN e.payload ?| ARRAY['durationMs', 'duration_ms', 'awayMs', 'characters', 'offset'] THEN e.payload::text END AS payload
FROM proctor_sessions s
JOIN exam_attempts a ON a.id = s.attempt_id AND a.status <> 'in_progress'
CROSS JOIN LATERAL (SELECT * FROM events WHERE session_id = s.id AND occurred_at >= s.started_at) e
WHERE s.attempt_id = ANY ($1::text[]::uuid[]);

-- name: anomaly_norms
-- $1 exam ids as text
SELECT exam_id::text AS exam_id, mode, cells, scores, scores_outside
FROM reporting.event_norms
WHERE exam_id = ANY ($1::text[]::uuid[]);

-- name: times
-- $1 attempt ids as text. Their response times, as they were compared in their exam; speed to a tenth.
SELECT attempt_id::text AS attempt_id, times_p, rapid_share, reporting.rounded(speed, 1) AS speed
FROM reporting.response_times
WHERE attempt_id = ANY ($1::text[]::uuid[]);

-- name: reliabilities
-- $1 exam ids as text. How well their forms measure: SEM in percent.
SELECT exam_id::text AS exam_id, form_id::text AS form_id, reporting.rounded(100 * sem / max_points, 1) AS sem,
       reporting.rounded(alpha, 2) AS alpha
FROM reporting.test_statistics
WHERE exam_id = ANY ($1::text[]::uuid[]) AND alpha IS NOT NULL AND max_points > 0;

-- name: topics
-- $1 exam ids as text
SELECT exam_id::text AS exam_id, item_means::text AS item_means, topic_priors::text AS topic_priors
FROM reporting.topic_norms
WHERE exam_id = ANY ($1::text[]::uuid[]);

-- name: weaknesses
-- $1 attempt ids as text. Topics that their candidates are weak in; null where none could be judged.
SELECT a.id::text AS attempt_id, m.weaknesses::text AS weaknesses
FROM exam_attempts a
JOIN reporting.performance_metrics m ON m.student_id = a.student_id
WHERE a.id = ANY ($1::text[]::uuid[]);
