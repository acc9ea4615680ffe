ALTER TABLE users ADD COLUMN role TEXT NOT NULL DEFAULT 'member' CHECK (role IN ('member', 'administrator'));

CREATE INDEX users_by_creation ON users (created, id);
