-- A replica that is one version behind inserts without a role. The constraint does not look at the rows that are there, so
-- that nobody waits for that.
ALTER TABLE users
    ADD COLUMN role text NOT NULL DEFAULT 'member',
    ADD CONSTRAINT users_role_check CHECK (role IN ('member', 'administrator')) NOT VALID;
