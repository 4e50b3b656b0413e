-- Whose best partner is another, or is one as never before, is judged anew (spec.md W-1): integrity rests on it.

-- An adjusted p above a tenth says nothing against anybody, whichever it is: only that there is one, which an insert says.
CREATE FUNCTION reporting.mark_alike_attempts() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    pair reporting.answer_similarity := coalesce(NEW, OLD);
BEGIN
    INSERT INTO reporting.projection_marks (layer, key, attempt_id, lane)
    SELECT 'attempt', attempt_id, attempt_id, pair.exam_id FROM unnest(ARRAY[pair.attempt_a, pair.attempt_b]) a (attempt_id);
    RETURN NULL;
END
$$;
CREATE TRIGGER alike AFTER INSERT OR DELETE ON reporting.answer_similarity
    FOR EACH ROW EXECUTE FUNCTION reporting.mark_alike_attempts();
CREATE TRIGGER alike_otherwise AFTER UPDATE ON reporting.answer_similarity
    FOR EACH ROW WHEN (least(OLD.q, 0.1) IS DISTINCT FROM least(NEW.q, 0.1) OR OLD.second_factor IS DISTINCT FROM NEW.second_factor
                       OR OLD.is_best_of_a IS DISTINCT FROM NEW.is_best_of_a OR OLD.is_best_of_b IS DISTINCT FROM NEW.is_best_of_b)
    EXECUTE FUNCTION reporting.mark_alike_attempts();
