-- How the items of an exam measured.

-- name: list_items
-- `by` is a column, `sign` 1 from its least value on or -1 from its greatest; `form_id`, `flag`: only those, where given. An
-- evaluation has only so many items.
SELECT i.form_id, v.id AS shown_form, i.position, i.question_id, i.question_version_id, i.kind, i.key, i.max_points, i.n, i.difficulty,
       i.omitted, i.point_biserial, i.biserial, i.d27, i.alpha_if_deleted, i.distractors, i.timed, i.median_seconds,
       i.nt10_share, i.dif_delta, i.dif_class, i.flags, i.metric_version, i.coverage, i.reasons, i.as_of
FROM reporting.item_analysis i
LEFT JOIN evaluation_versions v ON v.id = i.form_id
WHERE i.exam_id = :exam_id AND (:form_id::uuid IS NULL OR i.form_id = :form_id) AND (:flag::text IS NULL OR :flag = ANY (i.flags))
ORDER BY :sign::float8 * CASE :by::text WHEN 'difficulty' THEN i.difficulty WHEN 'point_biserial' THEN i.point_biserial
                                       WHEN 'median_seconds' THEN i.median_seconds WHEN 'omitted' THEN i.omitted ELSE i.position END
         NULLS LAST, i.form_id, i.position
LIMIT :limit OFFSET :offset;
