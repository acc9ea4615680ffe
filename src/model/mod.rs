//! Nouns that every layer shares: users, sessions, audit events and their parts.

mod audit_event;
mod audit_event_view;
mod client_network;
mod csv_cell;
mod display_text;
mod email;
mod escape;
mod id;
mod invisible;
mod name;
mod plain_text;
mod rotation;
mod session;
mod statistics;
mod user;
mod user_change;
mod user_page;

pub use self::{
    audit_event::{AuditEvent, AuditOrigin, AuditSubject, EventId, EventKind, EventPage, EventPageQuery},
    audit_event_view::AuditEventView,
    client_network::{ClientNetwork, PrefixLength},
    csv_cell::neutralised_cell,
    display_text::{DisplayText, InvalidDisplayText},
    email::{Email, InvalidEmail, MAX_CHARACTERS as MAX_EMAIL_CHARACTERS},
    escape::{ControlEscape, escape_control},
    id::{Epoch, SessionId, UserId},
    name::{InvalidName, MAX_CHARACTERS as MAX_NAME_CHARACTERS, Name},
    plain_text::{escape_invisible, is_plain, trimmed},
    rotation::{REUSE_INTERVAL, RefreshOutcome, Rotation},
    session::{
        Client, FIRST_CURRENT, FIRST_NEXT, KeyTag, LiveSession, MAX_USER_AGENT_BYTES, NewSession, RefreshedSession,
        Session,
    },
    statistics::{HourlyCount, Statistic},
    user::{AccountStatus, PasswordHash, Role, User},
    user_change::{AdminReach, NewPassword, UserChange},
    user_page::{
        CursorKey, Direction, InvalidCursor, MAX_PAGE, MAX_WORD_CHARACTERS, UserCursor, UserFilter, UserOrder,
        UserPage, UserPageQuery, UserSummary,
    },
};
