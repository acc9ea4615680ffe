use std::{collections::BTreeSet, fs, time::Duration};

use super::{
    super::{
        manifest::list,
        testing::{generated, rewrite, states},
    },
    KeyState::{Active, Next, Retiring},
    Purpose::{Access, Limiter, Refresh},
    *,
};

const TIMES: KeyTimes =
    KeyTimes { max_age: Duration::from_mins(5), access: Duration::from_mins(5), refresh: Duration::from_hours(24) };

/// Returns the time this many seconds after the creation of the keys of [`generated`].
fn at(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(seconds)
}

fn id_of(directory: &Path, purpose: Purpose, state: KeyState) -> String {
    let keys = list(directory).expect("a manifest");
    keys.into_iter().find(|key| (key.purpose, key.state) == (purpose, state)).expect("such a key").id
}

/// Returns the earliest time of a step that was rejected as too early.
#[track_caller]
fn too_early<T: std::fmt::Debug>(outcome: Result<T, KeyringError>) -> String {
    match outcome {
        Err(KeyringError::TooEarly { until, .. }) => until,
        other => panic!("{other:?}"),
    }
}

#[test]
fn generate_makes_one_active_key_per_purpose_once() {
    let directory = generated();

    let again = generate(directory.path(), at(0)).expect("keys exist");

    assert!(again.is_empty());
    assert_eq!(states(directory.path()), [(Access, Active), (Refresh, Active), (Limiter, Active)]);
}

#[test]
fn concurrent_generate_makes_one_set() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let made: Vec<_> = std::thread::scope(|scope| {
        let generate = || generate(directory.path(), at(0)).expect("keys").len();
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(generate)).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });

    assert_eq!(made.iter().filter(|made| **made > 0).count(), 1, "{made:?}");
    let files = fs::read_dir(directory.path()).expect("a directory");
    let files: BTreeSet<_> = files.map(|file| file.expect("a file").file_name()).collect();
    assert_eq!(files.len(), 4, "{files:?}");
}

#[test]
fn purpose_has_one_next_key_which_does_not_sign() {
    let directory = generated();
    let signing = Keyring::load(directory.path()).expect("keys").signing().footer.clone();

    add_next(directory.path(), Access, at(0)).expect("a next key");

    let again = add_next(directory.path(), Access, at(0));
    assert!(matches!(again, Err(KeyringError::NextExists { purpose: Access, .. })), "{again:?}");
    let keyring = Keyring::load(directory.path()).expect("keys");
    assert_eq!(keyring.signing().footer, signing);
    assert!(keyring.verifying(&id_of(directory.path(), Access, Next)).is_some());
}

#[test]
fn next_key_is_activated_after_twice_max_age_and_30_s() {
    for purpose in Purpose::ALL {
        let directory = generated();
        add_next(directory.path(), purpose, at(1000)).expect("a next key");
        let (previous, next) = (id_of(directory.path(), purpose, Active), id_of(directory.path(), purpose, Next));

        for selector in [KeySelector::NextOf(purpose), KeySelector::Id(next.clone())] {
            let just_before = at(1000 + 630) - time::Duration::nanoseconds(1);
            let outcome = activate(directory.path(), &selector, &TIMES, just_before);
            assert_eq!(too_early(outcome), "1970-01-01T00:27:10Z");
        }
        activate(directory.path(), &KeySelector::NextOf(purpose), &TIMES, at(1630)).expect("the step is due");

        assert_eq!(id_of(directory.path(), purpose, Active), next);
        assert_eq!(id_of(directory.path(), purpose, Retiring), previous);
        let since = list(directory.path()).expect("a manifest").iter().map(|key| key.since).max();
        assert_eq!(since, Some(at(1630)));
        Keyring::load(directory.path()).expect("usable keys");
    }
}

#[test]
fn retiring_key_is_removed_a_minute_after_its_last_token() {
    for (purpose, seconds) in [(Access, 360), (Refresh, 24 * 3600 + 60), (Limiter, 90 * 24 * 3600 + 60)] {
        let directory = generated();
        add_next(directory.path(), purpose, at(0)).expect("a next key");
        activate(directory.path(), &KeySelector::NextOf(purpose), &TIMES, at(1000)).expect("the step is due");
        let id = id_of(directory.path(), purpose, Retiring);
        let file =
            list(directory.path()).expect("a manifest").into_iter().find(|key| key.id == id).expect("the key").file;

        let early = retire(directory.path(), &id, &TIMES, at(1000 + seconds - 1));
        assert_eq!(too_early(early), rfc3339(at(1000 + seconds)));
        assert!(directory.path().join(&file).exists());
        retire(directory.path(), &id, &TIMES, at(1000 + seconds)).expect("the step is due");

        assert!(!directory.path().join(&file).exists());
        assert!(list(directory.path()).expect("a manifest").iter().all(|key| key.id != id));
        Keyring::load(directory.path()).expect("usable keys");
    }
}

#[test]
fn state_begins_at_the_next_second() {
    let directory = generated();

    add_next(directory.path(), Access, at(0) + time::Duration::milliseconds(1)).expect("a next key");

    assert_eq!(list(directory.path()).expect("a manifest").pop().map(|key| key.since), Some(at(1)));
}

#[test]
fn steps_in_the_wrong_order_are_rejected() {
    let directory = generated();
    let active = id_of(directory.path(), Access, Active);

    let outcome = retire(directory.path(), &active, &TIMES, at(1_000_000));
    assert!(matches!(outcome, Err(KeyringError::WrongState { state: Active, needed: Retiring, .. })), "{outcome:?}");
    let outcome = activate(directory.path(), &KeySelector::Id(active), &TIMES, at(1_000_000));
    assert!(matches!(outcome, Err(KeyringError::WrongState { state: Active, needed: Next, .. })), "{outcome:?}");
    let outcome = activate(directory.path(), &KeySelector::NextOf(Access), &TIMES, at(1_000_000));
    assert!(matches!(outcome, Err(KeyringError::NoNext(Access))), "{outcome:?}");
    let outcome = retire(directory.path(), "k4.pid.x", &TIMES, at(1_000_000));
    assert!(matches!(outcome, Err(KeyringError::Unknown(_))), "{outcome:?}");
}

#[test]
fn rotate_takes_each_due_step_once() {
    let directory = generated();
    let rotated = |seconds| {
        let steps = rotate(directory.path(), &[Access], &TIMES, at(seconds)).expect("a rotation");
        assert!(rotate(directory.path(), &[Access], &TIMES, at(seconds)).expect("a rotation").is_empty());
        Keyring::load(directory.path()).expect("usable keys");
        let name = |step: &Step| match step {
            Step::Created(_) => "made",
            Step::Activated(_) => "activated",
            Step::Retiring(_) => "retiring",
            Step::Removed(_) => "dropped",
        };
        steps.iter().map(name).collect::<Vec<_>>().join(" ")
    };

    assert_eq!(rotated(0), "made");
    assert_eq!(rotated(629), "");
    assert_eq!(rotated(630), "activated retiring made");
    assert_eq!(rotated(989), "");
    assert_eq!(rotated(990), "dropped");
    assert_eq!(rotated(1260), "activated retiring made");
    assert_eq!(rotated(10_000), "dropped activated retiring made");
    assert_eq!(states(directory.path())[..2], [(Refresh, Active), (Limiter, Active)]);
}

#[test]
fn emergency_rotation_replaces_all_keys_of_one_purpose() {
    let directory = generated();
    rotate(directory.path(), &Purpose::ALL, &TIMES, at(0)).expect("next keys");
    rotate(directory.path(), &[Access], &TIMES, at(1000)).expect("a retiring key, and a next one");
    let before = list(directory.path()).expect("a manifest");
    // Also the remedy for an unreadable key.
    let broken = before.iter().find(|key| key.purpose == Access).expect("a key");
    fs::write(directory.path().join(&broken.file), "broken").expect("it can be written");

    let steps = emergency_rotate(directory.path(), Access, at(1000)).expect("a new key");

    assert_eq!(steps.len(), 4, "{steps:?}");
    let (of_purpose, others): (Vec<_>, Vec<_>) =
        list(directory.path()).expect("a manifest").into_iter().partition(|key| key.purpose == Access);
    assert!(matches!(&of_purpose[..], [key] if key.state == Active && !before.contains(key)), "{of_purpose:?}");
    assert_eq!(others, before.iter().filter(|key| key.purpose != Access).cloned().collect::<Vec<_>>());
    let gone = before.iter().filter(|key| key.purpose == Access).all(|key| !directory.path().join(&key.file).exists());
    assert!(gone);
    Keyring::load(directory.path()).expect("usable keys");
}

#[test]
fn unusable_keys_are_not_changed() {
    let directory = generated();
    add_next(directory.path(), Access, at(0)).expect("a next key");
    let next = list(directory.path()).expect("a manifest").pop().expect("a key");
    fs::remove_file(directory.path().join(next.file)).expect("the file exists");

    assert!(activate(directory.path(), &KeySelector::NextOf(Access), &TIMES, at(1000)).is_err());
    assert!(rotate(directory.path(), &Purpose::ALL, &TIMES, at(1000)).is_err());
    assert!(add_next(directory.path(), Refresh, at(1000)).is_err());

    rewrite(directory.path(), |keys| drop(keys.pop()));
    rotate(directory.path(), &Purpose::ALL, &TIMES, at(1000)).expect("usable keys");
}

#[test]
fn rotate_skips_purposes_without_keys() {
    let directory = generated();
    rewrite(directory.path(), |keys| keys.retain(|key| key.purpose != Limiter));

    rotate(directory.path(), &Purpose::ALL, &TIMES, at(0)).expect("a rotation");
    assert!(rotate(directory.path(), &[Limiter], &TIMES, at(0)).is_err());
    assert!(states(directory.path()).iter().all(|(purpose, _)| *purpose != Limiter));

    add_next(directory.path(), Limiter, at(0)).expect("a key");
    assert_eq!(states(directory.path()).last(), Some(&(Limiter, Active)));
}
