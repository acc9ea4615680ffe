-- users.insert
-- Returns a row also if the same user is stored already, so that an INSERT whose response was lost can be repeated.
-- DO UPDATE, unlike DO NOTHING, sees a row that was committed after the statement began.
INSERT INTO users (id, email, name, password, standing, role, epoch, kept_session, created, email_verified)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (email) DO UPDATE SET email = excluded.email WHERE users.id = excluded.id
RETURNING id
