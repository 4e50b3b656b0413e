-- What is held about a person, table by table.

-- name: list_own
-- $1 whoever asks: what is theirs.
SELECT place, state FROM held_about($1, true);

-- name: list_held
-- $1 person of an admin's organisation: all but secrets.
SELECT place, state FROM held_about($1, false);
