-- That a result is void, or no longer, goes as the submission goes: with the event that says that this one is erased.
CREATE TRIGGER erased BEFORE DELETE ON submission_results FOR EACH ROW EXECUTE FUNCTION refuse_removal();
CREATE TRIGGER kept BEFORE TRUNCATE ON submission_results FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE submission_results ENABLE ALWAYS TRIGGER erased;
ALTER TABLE submission_results ENABLE ALWAYS TRIGGER kept;
