-- Failed sign-ins: how many, from where, at whose account (spec.md A-3). Accounts are SHA-256 digests of lower-case e-mails.

-- name: busy_network_since
-- $1 network inet, $2 window begins timestamptz, $3 accounts bigint
-- The time of the $3rd latest account's failure in the window: a row means that so many different accounts failed there.
SELECT failed_at FROM login_attempts
WHERE network = $1 AND failed_at > $2
ORDER BY failed_at DESC
OFFSET $3 - 1 LIMIT 1;

-- name: begin_attempt
-- Counted before the password is looked at, in one statement: a burst cannot pass between a check and a count. No row comes
-- back when the window is full.
INSERT INTO login_attempts AS a (network, account, began_at, attempts) VALUES (:network, :account, :now, 1)
ON CONFLICT (network, account) DO UPDATE
SET attempts = CASE WHEN a.began_at <= :window_from THEN 1 ELSE a.attempts + 1 END,
    began_at = CASE WHEN a.began_at <= :window_from THEN :now ELSE a.began_at END
WHERE a.began_at <= :window_from OR a.attempts < :attempts_max
RETURNING a.attempts;

-- name: fetch_window
-- $1 network inet, $2 account bytea
SELECT began_at FROM login_attempts WHERE network = $1 AND account = $2;

-- name: fail_attempt
-- $1 network inet, $2 account bytea, $3 now timestamptz
UPDATE login_attempts SET failed_at = $3 WHERE network = $1 AND account = $2;

-- name: forget_attempts
-- $1 network inet, $2 account bytea. The password was right.
DELETE FROM login_attempts WHERE network = $1 AND account = $2;

-- name: count_failure
-- $1 network inet, $2 now timestamptz, $3 failures int that alert, $4 a minute ago timestamptz
-- True when the last $3 failures came within the minute and nobody was told within the minute.
INSERT INTO login_networks AS n (network, failures, alerted_at)
VALUES ($1, ARRAY[$2::timestamptz], CASE WHEN $3::integer <= 1 THEN $2::timestamptz END)
ON CONFLICT (network) DO UPDATE
SET failures = ($2::timestamptz || n.failures)[1:$3],
    alerted_at = CASE WHEN ($2::timestamptz || n.failures)[$3] > $4 AND coalesce(n.alerted_at <= $4, true) THEN $2
                      ELSE n.alerted_at END
RETURNING coalesce(alerted_at = $2, false) AS alerts;

-- name: delete_old_attempts
-- $1 window begins timestamptz
DELETE FROM login_attempts WHERE began_at <= $1 AND coalesce(failed_at <= $1, true);

-- name: delete_old_networks
-- $1 a minute ago timestamptz
DELETE FROM login_networks WHERE failures[1] <= $1;
