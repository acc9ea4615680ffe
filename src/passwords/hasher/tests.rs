use std::sync::{Arc, mpsc};

use futures_util::FutureExt as _;

use super::{
    super::{imported_hash::ImportedHash, policy::Policy},
    *,
};
use crate::metrics::Metrics;

const CHEAP: HashParameters = HashParameters { memory_kib: 8, passes: 1, lanes: 1 };

fn metrics() -> HashingMetrics {
    Metrics::new("").hashing
}

fn settings(parameters: HashParameters) -> HasherSettings {
    HasherSettings { parameters, threads: 1, max_wait: Duration::from_mins(1) }
}

fn hasher() -> Hasher {
    Hasher::start(settings(CHEAP), metrics()).expect("valid parameters")
}

fn permit() -> WorkPermit {
    WorkPermit::for_command_line()
}

fn password() -> Password {
    Password::new("secure_password")
}

/// Returns the form of the password that matches.
async fn compared(hasher: &Hasher, typed: &str, hash: &PasswordHash) -> Option<PasswordForm> {
    let comparison = Comparison::with(hash).unwrap_or_else(Comparison::dummy);
    hasher.compare(&permit(), &Password::new(typed), comparison).await.expect("an empty queue")
}

#[tokio::test]
async fn password_matches_only_its_own_hash() {
    let hasher = hasher();

    let hash = hasher.hash(&permit(), &password()).await.expect("an empty queue");

    assert_eq!(compared(&hasher, "secure_password", &hash).await, Some(PasswordForm::AsTyped));
    assert_eq!(compared(&hasher, "secure_passwore", &hash).await, None);
    assert_eq!(compared(&hasher, " secure_password", &hash).await, None);
    assert!(hash.as_phc().starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{}", hash.as_phc());
}

#[tokio::test]
async fn hash_of_the_reference_implementation_is_verified() {
    // From the test suite of the reference implementation (P-H-C/phc-winner-argon2, src/test.c, version 0x13).
    let reference = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";

    let matched = compared(&hasher(), "password", &PasswordHash::new(reference.to_owned())).await;

    assert_eq!(matched, Some(PasswordForm::AsTyped));
}

#[tokio::test]
async fn missing_or_unreadable_hash_costs_a_hash_and_never_matches() {
    let hasher = hasher();
    let unreadable = PasswordHash::new("!".to_owned());
    let argon2i = PasswordHash::new(
        "$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$/U3YPXYsSb3q9XxHvc0MLxur+GP960kN9j7emXX8zwY".to_owned(),
    );

    for hash in [&unreadable, &argon2i] {
        let before = hasher.hashes();
        assert_eq!(compared(&hasher, "password", hash).await, None);
        assert_eq!(hasher.hashes(), before + 1);
    }
}

#[tokio::test]
async fn dummy_hash_has_the_current_parameters() {
    let hasher = hasher();

    assert!(!hasher.is_outdated(&hasher.dummy_hash));
}

#[tokio::test]
async fn hash_with_other_parameters_is_outdated() {
    let costlier = HashParameters { passes: 2, ..CHEAP };
    let other = Hasher::start(settings(costlier), metrics()).expect("valid parameters");
    let hash = other.hash(&permit(), &password()).await.expect("an empty queue");

    assert!(hasher().is_outdated(&hash));
    assert!(!other.is_outdated(&hash));
    assert!(compared(&hasher(), "secure_password", &hash).await.is_some());
}

#[tokio::test]
async fn rehash_is_rejected_while_a_job_is_queued() {
    let hasher = hasher();
    let (release, released) = mpsc::channel::<()>();
    hasher.pool.queue().push_unlimited(Box::new(move |_, _| {
        let _ = released.recv();
    }));
    let password = password();
    let permit = permit();
    let mut queued = Box::pin(hasher.hash(&permit, &password));
    assert!(queued.as_mut().now_or_never().is_none());

    assert!(hasher.rehash(&permit, &password, PasswordForm::AsTyped).await.is_err());

    drop(release);
    queued.await.expect("a short queue");
    assert!(hasher.rehash(&permit, &password, PasswordForm::AsTyped).await.is_ok());
}

const IMPORTED: &str = "pbkdf2_sha256$10$salt$DDHnnyz+gHGfYSA3X/flJknPX6NCAedOYn8+qfYbPW0=";

#[tokio::test]
async fn imported_hashes_do_not_occupy_the_other_threads() {
    let hasher = hasher();
    let (release, released) = mpsc::channel::<()>();
    hasher.imported_hash_thread.pool().expect("a thread").queue().push_unlimited(Box::new(move |_, _| {
        let _ = released.recv();
    }));
    let (permit, imported) = (permit(), PasswordHash::new(IMPORTED.to_owned()));
    let (password, comparison) = (Password::new("old_password"), Comparison::with(&imported));
    let mut compared = Box::pin(hasher.compare(&permit, &password, comparison.expect("an imported hash")));
    assert!(compared.as_mut().now_or_never().is_none());

    hasher.hash(&permit, &password).await.expect("an empty queue");

    assert!(compared.as_mut().now_or_never().is_none(), "it waits for the thread of its own");
    drop(release);
    assert_eq!(compared.await, Ok(Some(PasswordForm::AsTyped)));
}

#[tokio::test]
async fn comparisons_wait_in_proportion_to_their_work() {
    let settings = HasherSettings { max_wait: Duration::from_secs(1), ..settings(CHEAP) };
    let hasher = Hasher::start(settings, metrics()).expect("valid parameters");
    let (release, released) = mpsc::channel::<()>();
    hasher.imported_hash_thread.pool().expect("a thread").queue().push_unlimited(Box::new(move |_, _| {
        let _ = released.recv();
    }));
    let (permit, wrong) = (permit(), Password::new("wrong_password"));
    let dummy = |recipe| Comparison::imported_dummy(Arc::new(ImportedHash::dummy(recipe).expect("a recipe")));
    // 0.8 s each on a slow machine, and a wait of 2 s is allowed.
    let mut waiting: Vec<_> = Vec::new();
    for _ in 0..3 {
        let mut job = Box::pin(hasher.compare(&permit, &wrong, dummy("pbkdf2_sha256$1000000")));
        assert!(job.as_mut().now_or_never().is_none());
        waiting.push(job);
    }

    assert!(hasher.compare(&permit, &wrong, dummy("pbkdf2_sha256$10")).await.is_err());

    waiting.pop();
    assert!(hasher.compare(&permit, &wrong, dummy("pbkdf2_sha256$10")).now_or_never().is_none());
    drop(waiting);
    drop(release);
    assert_eq!(hasher.cost(&dummy("pbkdf2_sha256$1000000")), 20);
    assert_eq!((hasher.cost(&dummy("pbkdf2_sha256$10")), hasher.cost(&Comparison::dummy())), (1, 1));
}

#[tokio::test]
async fn wait_for_an_imported_hash_does_not_count_for_others() {
    let hasher = hasher();
    let permit = WorkPermit::for_client("192.0.2.1".parse().expect("an address"));
    let imported = PasswordHash::new(IMPORTED.to_owned());
    let comparison = Comparison::with(&imported).expect("an imported hash");

    hasher.compare(&permit, &password(), comparison).await.expect("an empty queue");

    assert_eq!(permit.waited(), Duration::ZERO);
}

#[tokio::test]
async fn rehash_of_a_trimmed_password_matches_with_and_without_white_space() {
    let hasher = hasher();
    let typed = " old_password\t";
    let form = compared(&hasher, typed, &PasswordHash::new(IMPORTED.to_owned())).await;
    assert_eq!(form, Some(PasswordForm::Trimmed));

    let rehashed = hasher.rehash(&permit(), &Password::new(typed), PasswordForm::Trimmed).await;

    let rehashed = rehashed.expect("an empty queue");
    assert!(rehashed.as_phc().starts_with("$argon2id$v=19$m=8,t=1,p=1,keyid=dHJpbW1lZA$"), "{}", rehashed.as_phc());
    for typed in [typed, "old_password", "\u{3000}old_password"] {
        assert_eq!(compared(&hasher, typed, &rehashed).await, Some(PasswordForm::Trimmed), "{typed:?}");
    }
    assert_eq!(compared(&hasher, "old_ password", &rehashed).await, None);
    assert!(!hasher.is_outdated(&rehashed));
}

#[tokio::test]
async fn imported_hash_is_outdated_and_one_that_never_matches_does_not() {
    let (hasher, imported) = (hasher(), PasswordHash::new(IMPORTED.to_owned()));
    let never = Comparison::with(&imported).expect("an imported hash").never_matching();

    assert_eq!(hasher.compare(&permit(), &Password::new("old_password"), never).await, Ok(None));
    assert!(hasher.is_outdated(&imported));
}

#[tokio::test]
async fn password_that_is_too_long_takes_no_time_of_a_thread() {
    let metrics = metrics();
    let hasher = Hasher::start(settings(CHEAP), metrics.clone()).expect("valid parameters");
    let candidate = Policy { min_code_points: 8 }.check(Password::new(&"ä".repeat(257)), None, None);

    let rejected = hasher.accept(&permit(), candidate).now_or_never();

    let violations = rejected.expect("no wait").expect("no queue").expect_err("it is too long");
    assert_eq!(violations, [PolicyViolation::TooLong(256)]);
    assert_eq!(metrics.policy_checks.get_sample_count(), 0);
}

#[tokio::test]
async fn min_hash_duration_counts_only_the_current_parameters() {
    let metrics = metrics();
    let hasher = Hasher::start(settings(CHEAP), metrics.clone()).expect("valid parameters");
    let password = password();
    let other = HashParameters { memory_kib: 9, ..CHEAP }.params().expect("valid parameters");
    let outdated = new_hash(&password, PasswordForm::AsTyped, other.clone(), &mut Scratch::new(&other));

    assert!(compared(&hasher, "secure_password", &outdated).await.is_some());
    assert!(metrics.min_hash_duration.get() < f64::EPSILON);

    hasher.hash(&permit(), &password).await.expect("an empty queue");
    let first = metrics.min_hash_duration.get();
    hasher.hash(&permit(), &password).await.expect("an empty queue");
    assert!(0.0 < metrics.min_hash_duration.get() && metrics.min_hash_duration.get() <= first);
}

#[test]
fn parameters_out_of_range_are_rejected() {
    let parameters = HashParameters { memory_kib: 7, ..CHEAP };

    assert!(Hasher::start(settings(parameters), metrics()).is_err());
}
