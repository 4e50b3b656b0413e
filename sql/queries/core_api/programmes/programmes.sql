-- Programmes and their versions, as staff see them.

-- name: insert_programme
INSERT INTO programmes (id, organisation_id, creator_id, title, title_ar, created_at)
VALUES (:id, :organisation, :creator_id, :title, :title_ar, :now);

-- name: hold_versions
-- $1 programme_id. Locks them: one at a time drafts or publishes.
SELECT version, state FROM programme_versions WHERE programme_id = $1 ORDER BY version FOR UPDATE;

-- name: insert_version
INSERT INTO programme_versions (programme_id, version, state, drafted_at)
SELECT :programme_id::uuid, coalesce(max(version), 0) + 1, 'draft', :now FROM programme_versions WHERE programme_id = :programme_id
RETURNING version;

-- name: insert_requirements
INSERT INTO programme_requirements (programme_id, version, number, key, exam_ids, asked)
SELECT :programme_id, :version, each.number, each.asked ->> 'key',
       ARRAY(SELECT jsonb_array_elements_text(coalesce(each.asked -> 'exam_ids', jsonb_build_array(each.asked -> 'exam_id'))))::uuid[],
       each.asked
FROM jsonb_array_elements(:requirements::text::jsonb) WITH ORDINALITY AS each (asked, number);

-- name: list_closed_exams
-- Of these, the exams that the caller may not set as requirements: not there, or not theirs to edit.
SELECT given.id FROM unnest(:exam_ids::uuid[]) AS given (id)
WHERE NOT EXISTS (SELECT FROM exams e
                  WHERE e.id = given.id AND e.organisation_id = :organisation
                    AND (:sees_organisation OR EXISTS (SELECT FROM edited_exams v WHERE v.exam_id = e.id)))
ORDER BY given.id;

-- name: set_version_state
UPDATE programme_versions SET state = :state, published_at = coalesce(published_at, :published_at)
WHERE programme_id = :programme_id AND version = :version;

-- name: fetch_programme
-- No row where it is not the caller's.
SELECT id AS programme_id, title, title_ar, creator_id, created_at
FROM programmes
WHERE id = :id AND organisation_id = :organisation AND (:sees_organisation OR creator_id = :user_id);

-- name: list_programmes
-- Newest first; the caller's, or all of the organisation.
SELECT id AS programme_id, title, title_ar, creator_id, created_at,
       (SELECT v.version FROM programme_versions v WHERE v.programme_id = p.id AND v.state = 'published') AS published_version
FROM programmes p
WHERE organisation_id = :organisation AND (:sees_organisation OR creator_id = :user_id) AND (:cursor::uuid IS NULL OR id < :cursor)
ORDER BY id DESC
LIMIT :limit;

-- name: list_versions
-- $1 programme_id
SELECT v.version, v.state, v.drafted_at, v.published_at,
       (SELECT jsonb_agg(r.asked ORDER BY r.number) FROM programme_requirements r
        WHERE r.programme_id = v.programme_id AND r.version = v.version) AS requirements
FROM programme_versions v
WHERE v.programme_id = $1
ORDER BY v.version DESC;
