-- No reference to users: what happened outlives the account that it happened to.
CREATE TABLE audit_events (
    -- A UUIDv7 of the time: the order of the key is that of what happened.
    id uuid PRIMARY KEY,
    at timestamptz NOT NULL,
    event text NOT NULL,
    user_id uuid,
    session_id uuid,
    address inet,
    user_agent text,
    request_id text,
    actor text,
    detail text
);

CREATE INDEX audit_events_by_user ON audit_events (user_id, id) WHERE user_id IS NOT NULL;
-- Rows come in the order of their time: ranges of blocks are enough, and cost next to nothing.
CREATE INDEX audit_events_by_time ON audit_events USING brin (at);

CREATE FUNCTION audit_events_are_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit events are appended, and removed when they are old: % is refused', TG_OP
        USING ERRCODE = 'object_not_in_prerequisite_state';
END
$$;

CREATE TRIGGER audit_events_never_change BEFORE UPDATE OR TRUNCATE ON audit_events
    FOR EACH STATEMENT EXECUTE FUNCTION audit_events_are_kept();
-- The shortest retention is a day; an hour less, for clocks that differ.
CREATE TRIGGER audit_events_are_not_removed_early BEFORE DELETE ON audit_events
    FOR EACH ROW WHEN (OLD.at > now() - interval '23 hours') EXECUTE FUNCTION audit_events_are_kept();
