//! Nouns that every layer shares: users, sessions, audit events and their parts.

mod audit_event;
mod email;
mod id;
mod name;
mod pagination;
mod rotation;
mod session;
mod user;

pub use self::{
    audit_event::{Event, EventId, EventKind, EventQuery, Origin, Subject},
    email::{Email, InvalidEmail, MAX_CHARACTERS as MAX_EMAIL_CHARACTERS},
    id::{Epoch, SessionId, UserId},
    name::{InvalidName, MAX_CHARACTERS as MAX_NAME_CHARACTERS, Name},
    pagination::{Cursor, InvalidCursor, UserQuery},
    rotation::{Presentation, Rotation, SHARED_FOR},
    session::{Client, FIRST_HELD, FIRST_SUCCESSOR, KeyTag, MAX_USER_AGENT_BYTES, NewSession, Session},
    user::{PasswordHash, Role, Standing, User},
};
