-- Which two groups an exam's items are compared for (spec.md W-1; analytics.md, Mantel-Haenszel DIF): whether one is harder for the
-- focal group than for members of the reference group who do as well.

ALTER TABLE exams
    -- squawk-ignore adding-foreign-key-constraint
    ADD COLUMN reference_group_id uuid REFERENCES groups,
    -- squawk-ignore adding-foreign-key-constraint
    ADD COLUMN focal_group_id uuid REFERENCES groups;
-- squawk-ignore constraint-missing-not-valid
ALTER TABLE exams ADD CONSTRAINT exams_compared_groups
    CHECK ((reference_group_id IS NULL) = (focal_group_id IS NULL) AND reference_group_id <> focal_group_id);
COMMENT ON COLUMN exams.reference_group_id IS 'The group that the other one is compared with; null: none is.';
COMMENT ON COLUMN exams.focal_group_id IS 'The group that items may be harder for; null: none is compared.';
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX exams_reference_group ON exams (reference_group_id) WHERE reference_group_id IS NOT NULL;
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX exams_focal_group ON exams (focal_group_id) WHERE focal_group_id IS NOT NULL;
GRANT UPDATE (reference_group_id, focal_group_id) ON exams TO veritas_core;
GRANT SELECT (reference_group_id, focal_group_id) ON exams TO veritas_pipeline;
GRANT SELECT (group_id, user_id) ON group_members TO veritas_pipeline;

-- As before where no groups are compared.
CREATE OR REPLACE FUNCTION record_of_exam(of_id text, of_subject uuid) RETURNS TABLE (part text, state text)
    LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY
    SELECT 'exam', json_build_array(x.organisation_id, x.creator_id, x.title, x.description, x.subject, x.topic, x.max_score,
                                    x.duration_minutes, x.passing_score, x.is_published, x.published_at, x.enable_monitoring,
                                    x.enable_integrity_analysis, x.metadata, x.evaluation_version_id, x.archived_at)::text
                   || CASE WHEN x.double_review THEN ' double review' ELSE '' END
                   || coalesce(' reference ' || x.reference_group_id, '') || coalesce(' focal ' || x.focal_group_id, '')
    FROM exams x WHERE x.id = of_id::uuid;
END
$$;

-- Whoever joins or leaves one of the two counts otherwise in what is added up of the exam's forms.
CREATE FUNCTION mark_compared_member() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    member group_members := coalesce(NEW, OLD);
BEGIN
    INSERT INTO reporting.projection_marks (layer, key, attempt_id, lane, frames)
    SELECT 'exam', a.exam_id, a.id, a.exam_id, '{tallies}'
    FROM exams e
    JOIN exam_attempts a ON a.exam_id = e.id AND a.student_id = member.user_id AND a.status = 'completed'
    WHERE e.reference_group_id = member.group_id OR e.focal_group_id = member.group_id;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION mark_compared_member() FROM PUBLIC;
CREATE TRIGGER compared AFTER INSERT OR DELETE ON group_members FOR EACH ROW EXECUTE FUNCTION mark_compared_member();
