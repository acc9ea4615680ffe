-- users.insert
-- A row that is there already comes back only where it is this very user: an INSERT that is repeated because its answer
-- was lost meets itself. DO UPDATE, and not DO NOTHING, because it sees what was committed after the statement began.
INSERT INTO users (id, email, name, password, standing, role, epoch, kept_session, created)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (email) DO UPDATE SET email = excluded.email WHERE users.id = excluded.id
RETURNING id
