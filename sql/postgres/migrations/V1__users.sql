CREATE TABLE users (
    id uuid PRIMARY KEY,
    -- Normalised: in lower case, its domain in A-labels.
    email text NOT NULL CONSTRAINT users_email_key UNIQUE,
    name text NOT NULL,
    -- A PHC string; NULL where no password opens the account.
    password text,
    standing text NOT NULL CHECK (standing IN ('active', 'inactive')),
    -- 64 random bits, compared for equality only.
    epoch bigint NOT NULL,
    kept_session uuid,
    created timestamptz NOT NULL
);
