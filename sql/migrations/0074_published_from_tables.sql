-- Datasets that come straight from durable tables. What is appended to these marks its partition for publication in the
-- same transaction, so that whoever writes need not know who publishes.

CREATE FUNCTION mark_snapshots() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO reporting.partition_marks (dataset, partition)
    SELECT DISTINCT 'risk_snapshots', s.exam_id::text FROM appended a JOIN proctor_sessions s ON s.id = a.session_id;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION mark_snapshots() FROM PUBLIC;
CREATE TRIGGER marked AFTER INSERT ON risk_snapshots REFERENCING NEW TABLE AS appended
    FOR EACH STATEMENT EXECUTE FUNCTION mark_snapshots();

-- Of rules that fire, and of what is decided about sessions in which they did.
CREATE FUNCTION mark_rules() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO reporting.partition_marks (dataset, partition)
    SELECT DISTINCT 'rule_precision', organisation_id::text FROM changed;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION mark_rules() FROM PUBLIC;
CREATE TRIGGER marked_added AFTER INSERT ON reporting.session_rule_fires REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION mark_rules();
CREATE TRIGGER marked_gone AFTER DELETE ON reporting.session_rule_fires REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION mark_rules();
CREATE TRIGGER marked_added AFTER INSERT ON risk_rule_versions REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION mark_rules();
CREATE TRIGGER marked_decided AFTER INSERT ON proctor_decisions REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION mark_rules();
CREATE TRIGGER marked_changed AFTER UPDATE ON proctor_decisions REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION mark_rules();
