-- import.batch
-- The end of the next batch, and the number of users to insert in it.
SELECT coalesce(max(number), 0), count(*)
FROM (SELECT number FROM temp.staged_users WHERE number > :after AND decision = 'insert' ORDER BY number LIMIT :limit)
