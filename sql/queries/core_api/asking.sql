-- Whom a borrowed connection answers. Row security reads it (migrations/0011_row_security.sql, 0017_bound_sign_ins.sql);
-- giving the connection back resets it. A candidate's statements find rows by their keys: a plan for any values is as good as
-- one for theirs, and a connection that plans each statement once is not lost to the first crowd that comes to it.

-- name: ask_as
-- $1 view text, $2 user_id as text or '', $3 organisation as text or '', $4 exam as text that the sign-in is bound to, or ''
SELECT set_config('veritas.view', $1, false), set_config('veritas.user_id', $2, false),
       set_config('veritas.organisation_id', $3, false), set_config('veritas.exam_id', $4, false),
       set_config('plan_cache_mode', CASE $1 WHEN 'candidate' THEN 'force_generic_plan' ELSE 'auto' END, false);

-- name: narrow
-- $1 exam as text. To the end of the transaction; a sign-in that is bound to an exam stays so.
SELECT set_config('veritas.exam_id', coalesce(nullif(current_setting('veritas.exam_id', true), ''), $1), true);
