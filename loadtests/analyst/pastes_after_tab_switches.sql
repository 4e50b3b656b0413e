-- Who pasted within ten seconds of coming back from another tab? An as-of join over the raw events.
WITH pastes AS (SELECT session_id, occurred_at FROM catalogue.events WHERE event_type_name = 'PasteAttempt'),
     switches AS (SELECT session_id, occurred_at FROM catalogue.events WHERE event_type_name = 'TabSwitched')
SELECT count(*) AS pastes, count(*) FILTER (p.occurred_at - s.occurred_at <= INTERVAL 10 seconds) AS within_10_s_of_a_switch,
       median(epoch(p.occurred_at - s.occurred_at)).round(1) AS median_s_after_the_switch
FROM pastes p ASOF LEFT JOIN switches s ON p.session_id = s.session_id AND p.occurred_at >= s.occurred_at
