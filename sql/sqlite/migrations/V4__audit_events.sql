-- No reference to users: what happened outlives the account that it happened to.
CREATE TABLE audit_events (
    -- A UUIDv7 of the time: the order of the key is that of what happened.
    id BLOB PRIMARY KEY CHECK (length(id) = 16),
    at INTEGER NOT NULL,
    event TEXT NOT NULL,
    user_id BLOB CHECK (length(user_id) = 16),
    session_id BLOB CHECK (length(session_id) = 16),
    address TEXT,
    user_agent TEXT,
    request_id TEXT,
    actor TEXT,
    detail TEXT
) STRICT, WITHOUT ROWID;

CREATE INDEX audit_events_by_user ON audit_events (user_id, id) WHERE user_id IS NOT NULL;

CREATE TRIGGER audit_events_never_change BEFORE UPDATE ON audit_events
BEGIN
    SELECT RAISE(ABORT, 'audit events are appended, and removed when they are old: UPDATE is refused');
END;

-- The shortest retention is a day; an hour less, for clocks that differ.
CREATE TRIGGER audit_events_are_not_removed_early BEFORE DELETE ON audit_events
WHEN OLD.at > unixepoch() * 1000 - 82800000
BEGIN
    SELECT RAISE(ABORT, 'audit events are appended, and removed when they are old: DELETE is refused');
END;
