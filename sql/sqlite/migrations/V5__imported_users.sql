ALTER TABLE users ADD COLUMN email_verified INTEGER NOT NULL DEFAULT 0 CHECK (email_verified IN (0, 1));

-- The users whose password is still hashed as another program hashed it: every hash of Postern begins with `$`.
CREATE INDEX users_by_imported_hash ON users (id) WHERE substr(password, 1, 1) <> '$';

-- How many users were imported with hashes of one algorithm and cost.
CREATE TABLE imported_hashes (
    recipe TEXT PRIMARY KEY,
    users INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- At most one row: the key that assigns unknown emails to a kind of hash. It only has to be unknown to those who cannot
-- read the table of users.
CREATE TABLE imported_hashes_key (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    key BLOB NOT NULL CHECK (length(key) = 32)
) STRICT;
