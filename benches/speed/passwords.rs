//! Compares password hashing with bare Argon2id, in reused and in new memory, and the password policy with the bare strength
//! estimate.

use argon2::{Algorithm, Argon2, Block, Params, Version};
use criterion::Criterion;
use postern::passwords::{Comparison, HashParameters, Password, Policy, WorkPermit};
use tokio::runtime::Runtime;

use crate::{
    comparison::{Group, timed, timed_async},
    service::hasher,
};

/// The default parameters.
const DEFAULT: HashParameters = HashParameters { memory_kib: 19 * 1024, passes: 2, lanes: 1 };

/// Slightly less memory: a hash with the default parameters does not fit into the reused memory of a hasher with these.
const SMALLER: HashParameters = HashParameters { memory_kib: 18 * 1024, passes: 2, lanes: 1 };

const PASSWORD: &str = "secure_password";

/// 100 letters, for which zxcvbn tries no substitutions.
const LETTERS: &str =
    "everypasswordhereissomewhatlongerthanthelastbutnoneofthemhasanysymbolsordigitssotheestimatetakeslittletime";

const PI_DIGITS: [&str; 2] =
    ["31415926535897932384626433832795028841971693993751", "05820974944592307816406286208998628034825342117067"];

fn permit() -> WorkPermit {
    WorkPermit::for_command_line()
}

pub fn measure(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let mut group = Group::new(criterion, "passwords");
    hashes(&mut group, &runtime);
    verifications(&mut group, &runtime);
    policy_checks(&mut group, &runtime);
    similarity(&mut group);
    costly_policy_checks(&mut group, &runtime);
    group.print();
}

fn hashes(group: &mut Group<'_>, runtime: &Runtime) {
    let hasher = hasher(DEFAULT);
    let password = Password::new(PASSWORD);
    let hash = || timed_async(runtime, async || hasher.hash(&permit(), &password).await.expect("an idle thread"));
    group.measure(["password hashed", "Argon2id, memory reused"], hash(), argon2_with_reused_memory());
    group.measure(["password hashed (memory reused)", "Argon2id, new memory"], hash(), argon2_with_new_memory());
}

fn verifications(group: &mut Group<'_>, runtime: &Runtime) {
    let (hasher, smaller) = (hasher(DEFAULT), hasher(SMALLER));
    let password = Password::new(PASSWORD);
    let hash = runtime.block_on(hasher.hash(&permit(), &password)).expect("an idle thread");
    group.measure(
        ["password verified", "Argon2id, memory reused"],
        timed_async(runtime, async || {
            let comparison = Comparison::with(&hash).expect("a hash");
            assert!(hasher.compare(&permit(), &password, comparison).await.expect("an idle thread").is_some());
        }),
        argon2_with_reused_memory(),
    );
    group.measure(
        ["password verified by a larger hash (new memory)", "Argon2id, new memory"],
        timed_async(runtime, async || {
            let comparison = Comparison::with(&hash).expect("a hash");
            assert!(smaller.compare(&permit(), &password, comparison).await.expect("an idle thread").is_some());
        }),
        argon2_with_new_memory(),
    );
}

fn policy_checks(group: &mut Group<'_>, runtime: &Runtime) {
    let hasher = hasher(DEFAULT);
    let policy = Policy { min_code_points: 8 };
    let (name, email) = ("Ada Lovelace".parse().expect("a name"), "ada@example.org".parse().expect("an address"));
    group.measure(
        ["new password checked", "zxcvbn"],
        timed_async(runtime, async || {
            let candidate = policy.check(Password::new(PASSWORD), Some(&name), Some(&email));
            hasher.accept(&permit(), candidate).await.expect("an idle thread").expect("an acceptable password")
        }),
        timed(|| zxcvbn::zxcvbn(PASSWORD, &[]).score()),
    );
}

/// Compares the part of the policy that runs before any limit, for the longest texts, with the normalisation of the password.
/// Case folding makes three characters of each ligature, and name, joined parts and longest part differ.
fn similarity(group: &mut Group<'_>) {
    let policy = Policy { min_code_points: 8 };
    let password = "ﬃ".repeat(256);
    let name = format!("{} ﬃ", "ﬄ".repeat(253)).parse().expect("a name");
    let email = format!("{}@{}.org", "i".repeat(64), ["f".repeat(61), "i".repeat(61), "f".repeat(60)].join("."));
    let email = email.parse().expect("an address");
    group.measure(
        ["longest texts compared", "NFC"],
        timed(|| policy.check(Password::new(&password), Some(&name), Some(&email))),
        timed(|| Password::new(&password)),
    );
}

/// Compares the checks of passwords that need much work with the bare estimate of 100 letters.
fn costly_policy_checks(group: &mut Group<'_>, runtime: &Runtime) {
    let hasher = hasher(DEFAULT);
    let symbols = "4@8({[<369!1|70$5+%2";
    let passwords = [
        ("all symbols", symbols.repeat(5)),
        ("ASCII", ('!'..='~').collect()),
        ("words with symbols", "p4$$w0rd|0v3m0nk3y{r4g0n}".repeat(4)),
        ("digits", PI_DIGITS.concat()),
        ("dates", "11/11/1991".repeat(10)),
        ("repeats", "aabaabc".repeat(14)),
        ("rows of keys", "qawsedrftgyhujikolp;".repeat(5)),
        ("256 long characters", "🐎🔋📎😀".repeat(64)),
    ];
    for (name, password) in passwords {
        let check = timed_async(runtime, async || {
            let candidate = Policy { min_code_points: 8 }.check(Password::new(&password), None, None);
            hasher.accept(&permit(), candidate).await.expect("an idle thread").is_ok()
        });
        let letters = timed(|| zxcvbn::zxcvbn(LETTERS, &[]).score());
        group.measure([&format!("new password checked: {name}"), "zxcvbn, 100 letters"], check, letters);
    }
}

fn argon2_with_reused_memory() -> impl FnMut(u64) -> std::time::Duration {
    let argon2 = argon2();
    let mut memory = vec![Block::default(); argon2.params().block_count()];
    timed(move || {
        let mut hash = [0; 32];
        let outcome =
            argon2.hash_password_into_with_memory(PASSWORD.as_bytes(), b"sixteen bytes of", &mut hash, &mut memory);
        outcome.expect("valid parameters");
        hash
    })
}

fn argon2_with_new_memory() -> impl FnMut(u64) -> std::time::Duration {
    let argon2 = argon2();
    timed(move || {
        let mut hash = [0; 32];
        argon2.hash_password_into(PASSWORD.as_bytes(), b"sixteen bytes of", &mut hash).expect("valid parameters");
        hash
    })
}

fn argon2() -> Argon2<'static> {
    let params = Params::new(DEFAULT.memory_kib, DEFAULT.passes, DEFAULT.lanes, Some(32)).expect("valid parameters");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}
