-- import.decided
SELECT number, old_id, id, email, password IS NOT NULL, decision, remark
FROM temp.staged_users WHERE number > :after AND decision <> 'unreadable' ORDER BY number LIMIT :limit
