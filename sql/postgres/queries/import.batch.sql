-- import.batch
-- The end of the next batch, and the number of users to insert in it.
SELECT coalesce(max(number), 0) AS last, count(*) AS planned
FROM (SELECT number FROM pg_temp.staged_users WHERE number > $1 AND decision = 'insert' ORDER BY number LIMIT $2) AS batch
