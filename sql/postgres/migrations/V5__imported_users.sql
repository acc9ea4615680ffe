-- A replica that is one version behind inserts without the column. The default is in the catalogue, so no row is rewritten.
ALTER TABLE users ADD COLUMN email_verified boolean NOT NULL DEFAULT false;

-- The users whose password is still hashed as another program hashed it: every hash of Postern begins with `$`. Most
-- installations have none. Readers go on meanwhile; who signs up or changes a password waits for one look at each row.
CREATE INDEX users_by_imported_hash ON users (id) WHERE password NOT LIKE '$%';

-- How many users were imported with hashes of one algorithm and cost.
CREATE TABLE imported_hashes (
    recipe text PRIMARY KEY,
    users bigint NOT NULL
);

-- At most one row: the key that assigns unknown emails to a kind of hash. It only has to be unknown to those who cannot
-- read the table of users.
CREATE TABLE imported_hashes_key (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    key bytea NOT NULL CHECK (length(key) = 32)
);
