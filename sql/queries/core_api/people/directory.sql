-- Students and groups of the organisation, as whoever assigns an exam looks for them. In the order of names.

-- name: list_students
-- After the student `cursor`, who may have been locked since. Of somebody's groups twenty at most.
SELECT s.id, s.full_name, s.email,
       ARRAY(SELECT g.id FROM group_members m JOIN groups g ON g.id = m.group_id WHERE m.user_id = s.id
             ORDER BY lower(g.name) LIMIT 20) AS group_ids,
       ARRAY(SELECT g.name FROM group_members m JOIN groups g ON g.id = m.group_id WHERE m.user_id = s.id
             ORDER BY lower(g.name) LIMIT 20) AS group_names
FROM listed_students s
WHERE s.organisation_id = :organisation
  AND (:cursor::uuid IS NULL
       OR (s.sorted_by, s.id) > (SELECT folded(c.full_name), c.id FROM users c WHERE c.id = :cursor))
ORDER BY s.sorted_by, s.id
LIMIT :limit;

-- name: search_students
-- `q`: each of its words begins a word of the name, or the address. `group`: of this group only, where it is given.
WITH found AS MATERIALIZED (
    SELECT id, full_name, email, sorted_by FROM listed_students
    WHERE organisation_id = :organisation AND found_by @@ search_query(:organisation, :q)
)
SELECT s.id, s.full_name, s.email,
       ARRAY(SELECT g.id FROM group_members m JOIN groups g ON g.id = m.group_id WHERE m.user_id = s.id
             ORDER BY lower(g.name) LIMIT 20) AS group_ids,
       ARRAY(SELECT g.name FROM group_members m JOIN groups g ON g.id = m.group_id WHERE m.user_id = s.id
             ORDER BY lower(g.name) LIMIT 20) AS group_names
FROM found s
WHERE (:group::uuid IS NULL OR s.id = ANY (ARRAY(SELECT user_id FROM group_members WHERE group_id = :group)))
  AND (:cursor::uuid IS NULL
       OR (s.sorted_by, s.id) > (SELECT folded(c.full_name), c.id FROM users c WHERE c.id = :cursor))
ORDER BY s.sorted_by, s.id
LIMIT :limit;

-- name: list_students_of_group
WITH found AS MATERIALIZED (
    SELECT id, full_name, email, sorted_by FROM listed_students
    WHERE organisation_id = :organisation AND id = ANY (ARRAY(SELECT user_id FROM group_members WHERE group_id = :group))
)
SELECT s.id, s.full_name, s.email,
       ARRAY(SELECT g.id FROM group_members m JOIN groups g ON g.id = m.group_id WHERE m.user_id = s.id
             ORDER BY lower(g.name) LIMIT 20) AS group_ids,
       ARRAY(SELECT g.name FROM group_members m JOIN groups g ON g.id = m.group_id WHERE m.user_id = s.id
             ORDER BY lower(g.name) LIMIT 20) AS group_names
FROM found s
WHERE :cursor::uuid IS NULL
   OR (s.sorted_by, s.id) > (SELECT folded(c.full_name), c.id FROM users c WHERE c.id = :cursor)
ORDER BY s.sorted_by, s.id
LIMIT :limit;

-- name: list_groups_to_assign
-- `q`: somewhere in the name. `students`: whom an assignment to the group reaches.
SELECT g.id, g.name, g.description,
       (SELECT count(*) FROM group_members m JOIN listed_students s ON s.id = m.user_id WHERE m.group_id = g.id) AS students
FROM groups g
WHERE g.organisation_id = :organisation AND (:q::text IS NULL OR strpos(folded(g.name), folded(:q)) > 0)
  AND (:cursor::uuid IS NULL OR (lower(g.name), g.id) > (SELECT lower(c.name), c.id FROM groups c WHERE c.id = :cursor))
ORDER BY lower(g.name), g.id
LIMIT :limit;
