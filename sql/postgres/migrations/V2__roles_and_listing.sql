-- A replica that is one version behind inserts without a role.
ALTER TABLE users ADD COLUMN role text NOT NULL DEFAULT 'member' CHECK (role IN ('member', 'administrator'));

CREATE INDEX users_by_creation ON users (created, id);
