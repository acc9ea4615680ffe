-- import.stage
CREATE TEMPORARY TABLE staged_users (
    number INTEGER PRIMARY KEY,
    old_id TEXT NOT NULL,
    id BLOB NOT NULL,
    email TEXT NOT NULL,
    email_verified INTEGER NOT NULL,
    name TEXT NOT NULL,
    password TEXT,
    recipe TEXT,
    standing TEXT NOT NULL,
    role TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    created INTEGER NOT NULL,
    decision TEXT NOT NULL,
    remark TEXT
) STRICT
