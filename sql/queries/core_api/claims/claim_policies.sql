-- How long an exam's results may be claimed against.

-- name: fetch_claim_policy
-- $1 exam_id. No row: the deployment's defaults hold.
SELECT window_days, releases_judgement, releases_files FROM claim_policies WHERE exam_id = $1;

-- name: set_claim_policy
INSERT INTO claim_policies (exam_id, organisation_id, window_days, releases_judgement, releases_files)
VALUES (:exam_id, :organisation, :window_days, :releases_judgement, :releases_files)
ON CONFLICT (exam_id) DO UPDATE
SET window_days = excluded.window_days, releases_judgement = excluded.releases_judgement,
    releases_files = excluded.releases_files;
