-- import.stage
-- Other sessions neither see the table nor wait for it, and it ends with the session.
CREATE TEMPORARY TABLE staged_users (
    number bigint NOT NULL,
    old_id text NOT NULL,
    id uuid NOT NULL,
    email text NOT NULL,
    email_verified boolean NOT NULL,
    name text NOT NULL,
    password text,
    recipe text,
    standing text NOT NULL,
    role text NOT NULL,
    epoch bigint NOT NULL,
    created timestamptz NOT NULL,
    decision text NOT NULL,
    remark text
)
