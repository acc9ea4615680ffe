//! The users and events of a store.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use postern::model::{
    AccountStatus, AuditEvent, AuditOrigin, AuditSubject, DisplayText, Email, Epoch, EventId, EventKind, Name,
    PasswordHash, Role, User, UserId,
};
use time::{OffsetDateTime, macros::datetime};
use uuid::Builder;

/// The first sign-up; one follows every 30 seconds, and an event every 20.
pub const START: OffsetDateTime = datetime!(2024-01-01 0:00 UTC);

const USER_AGENT: &str =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36";

const FIRST_NAMES: [&str; 24] = [
    "Ada",
    "Grace",
    "Alan",
    "Edsger",
    "Barbara",
    "Donald",
    "Margaret",
    "Ken",
    "Dennis",
    "Frances",
    "Jean-Luc",
    "Joan",
    "Mary",
    "Katherine",
    "Dorothy",
    "Hedy",
    "Zo\u{eb}",
    "Niklaus",
    "Tony",
    "Leslie",
    "Shafi",
    "Silvio",
    "Adele",
    "Karen",
];
const SYLLABLES: [&str; 16] =
    ["lo", "ve", "la", "hop", "per", "tu", "ring", "dijk", "stra", "lis", "kov", "knu", "th", "ham", "il", "ton"];

/// Spreads numbers evenly over all values (`SplitMix64` of Steele, Lea and Flood).
pub fn mixed(number: u64) -> u64 {
    let mut value = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

fn chosen<'item>(items: &[&'item str], number: u64) -> &'item str {
    items[usize::try_from(number % items.len() as u64).expect("a small number")]
}

fn created(number: u64) -> OffsetDateTime {
    START + Duration::from_secs(number * 30)
}

fn uuid(at: OffsetDateTime, number: u64) -> uuid::Uuid {
    let milliseconds = u64::try_from(at.unix_timestamp()).expect("a time after 1970") * 1000;
    let random = [mixed(number).to_be_bytes().as_slice(), &[0; 2]].concat();
    Builder::from_unix_timestamp_millis(milliseconds, &random.try_into().expect("ten bytes")).into_uuid()
}

/// Returns a user of a store of `count` users: one of 20 is inactive, and 60 are administrators.
pub fn user(number: u64, count: u64) -> User {
    let random = mixed(number);
    let first = chosen(&FIRST_NAMES, random);
    let syllables = [10, 18, 26].map(|bits| chosen(&SYLLABLES, random >> bits));
    let email = format!("{}.{}.{number}@example.org", first.to_lowercase().replace('\u{eb}', "e"), syllables.concat());
    User {
        id: UserId(uuid(created(number), number)),
        email: Email::from_store(email),
        email_verified: !random.is_multiple_of(3),
        // The last word is of this user only.
        name: Name::from_store(format!("{first} {} x{number}", syllables.concat())),
        password: Some(PasswordHash::new(format!(
            "$argon2id$v=19$m=19456,t=2,p=1${random:x}{random:x}${random:0>43x}"
        ))),
        status: if number % 20 == 7 { AccountStatus::Inactive } else { AccountStatus::Active },
        role: if number.is_multiple_of(count.div_ceil(60)) { Role::Administrator } else { Role::Member },
        epoch: Epoch(random.cast_signed()),
        surviving_session: None,
        created: created(number),
    }
}

/// Returns a user with about a hundred events, whatever the number of users.
pub fn busy_user(random: u64, count: u64) -> User {
    user(busy(random, count), count)
}

fn busy(random: u64, count: u64) -> u64 {
    random % count.div_ceil(400) * 400
}

/// Returns an event of a store of `count` events. A quarter of them are about busy users, one of ten other users never logs in, and
/// 60 events change keys.
pub fn event(number: u64, count: u64) -> AuditEvent {
    let at = START + Duration::from_secs(number * 20);
    let random = mixed(number);
    let about = if number.is_multiple_of(4) { busy(random, count) } else { random % count };
    let about = if about % 10 == 3 { about / 10 * 10 } else { about };
    let kinds = [EventKind::Login, EventKind::Login, EventKind::Logout, EventKind::LoginFailed];
    let kind = if number.is_multiple_of(count.div_ceil(60)) {
        EventKind::KeysChanged
    } else {
        kinds[usize::try_from(random >> 62).expect("at most 3")]
    };
    AuditEvent {
        id: EventId(uuid(at, number)),
        at,
        kind,
        subject: AuditSubject::from(Some(user(about, count).id)),
        origin: AuditOrigin {
            address: Some(address(number, count)),
            user_agent: Some(DisplayText::cleaned(USER_AGENT)),
            request_id: Some(format!("{random:032x}")),
            actor: None,
        },
    }
}

/// Each address has about a hundred events, whatever their number.
fn address(number: u64, count: u64) -> IpAddr {
    let client = u32::try_from(mixed(number ^ 7) % count.div_ceil(100)).expect("few");
    IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + client))
}
