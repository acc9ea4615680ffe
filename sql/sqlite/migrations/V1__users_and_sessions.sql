-- Times are milliseconds since 1970; ids are the 16 bytes of a UUID.
CREATE TABLE users (
    id BLOB PRIMARY KEY CHECK (length(id) = 16),
    email TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    -- A PHC string; NULL where no password opens the account.
    password TEXT,
    standing TEXT NOT NULL CHECK (standing IN ('active', 'inactive')),
    -- 64 random bits, compared for equality only.
    epoch INTEGER NOT NULL,
    kept_session BLOB CHECK (length(kept_session) = 16),
    created INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- No foreign key: a session is opened before the user is inserted, and removed again where that fails.
CREATE TABLE sessions (
    user BLOB NOT NULL CHECK (length(user) = 16),
    id BLOB NOT NULL CHECK (length(id) = 16),
    epoch INTEGER NOT NULL,
    held INTEGER NOT NULL,
    successor INTEGER NOT NULL,
    successor_key BLOB NOT NULL CHECK (length(successor_key) = 4),
    rotated INTEGER NOT NULL,
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    last_used INTEGER NOT NULL,
    address TEXT NOT NULL,
    user_agent TEXT NOT NULL,
    PRIMARY KEY (user, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX sessions_by_expiry ON sessions (expires);
