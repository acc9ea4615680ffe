-- import.decided
SELECT number, old_id, id, email, password IS NOT NULL AS has_password, decision, remark
FROM pg_temp.staged_users WHERE number > $1 AND decision <> 'unreadable' ORDER BY number LIMIT $2
