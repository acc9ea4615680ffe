//! Users whose password Django has hashed.

use std::{sync::Arc, time::Duration};

use postern::{
    clock::{Clock as _, ManualClock},
    model::{AccountStatus, Epoch, PasswordHash, Role, User, UserId},
    passwords::{HasherSettings, Password, WorkPermit},
    store::ImportedHashStats,
};
use serde_json::json;
use tokio::task::JoinSet;

use super::{
    Service,
    rate_limit::{ELSEWHERE, HOME, WRONG, behind_proxy},
};
use crate::support::{CHEAP, PASSWORD, Settings, eventually, hashing};

/// Of `old_password`, by Django's format; so are the others.
const OF_OLD: &str = "pbkdf2_sha256$10$salt$DDHnnyz+gHGfYSA3X/flJknPX6NCAedOYn8+qfYbPW0=";
const OF_OLD_WITH_SPACES: &str = "pbkdf2_sha256$10$salt$49qCFg4SSyg/w6x1W2HcWG4HPaM9rlxTro4ATZ+dYRA=";
const OF_300_LETTERS: &str = "pbkdf2_sha256$10$salt$d/uO2RwSF6sP4Rar017cjx9Oo9HgV8rM/Mj+NnAWL5A=";
const OF_DECOMPOSED: &str = "pbkdf2_sha256$10$salt$nUi6LYYyip5V9+6wmedfnBcSLDI0LkkV6B3glZukZIw=";
const OF_OLD_COSTLY: &str = "pbkdf2_sha256$50000$salt$SqackzMjaG4dNSgXnULGVbaKNh41B9e6gm+WNtA3Q+w=";
const OLD: &str = "old_password";

impl Service {
    /// Inserts an active user with this stored hash.
    async fn imported(&self, email: &str, hash: Option<&str>) {
        self.imported_as(email, hash, AccountStatus::Active).await;
    }

    async fn imported_as(&self, email: &str, hash: Option<&str>, status: AccountStatus) {
        let user = User {
            id: UserId::new(self.now()),
            email: email.parse().expect("a valid address"),
            email_verified: true,
            name: "Ada Lovelace".parse().expect("a valid name"),
            password: hash.map(|hash| PasswordHash::new(hash.to_owned())),
            status,
            role: Role::Member,
            epoch: Epoch::random(),
            surviving_session: None,
            created: self.now(),
        };
        self.insert(&user).await;
    }

    async fn stored_hash(&self, email: &str) -> String {
        self.user(email).await.password.expect("a password").as_phc().to_owned()
    }

    async fn expect_wrong(&self, email: &str, password: &str) {
        self.log_in(email, password).await.expect_problem(401, "invalid_credentials");
    }

    /// Makes all unknown emails cost as much as a hash with this recipe.
    fn assign_unknown_emails_to(&self, recipe: &str) {
        let (key, recipe) = ([7; 32].into(), recipe.to_owned());
        self.accounts.imported_hashes.adopt(Some(&ImportedHashStats { key, recipe, remaining: 1, users: 1 }));
    }

    /// Computes hashes, because until they have been measured, they count as slow ones.
    async fn measure_hashes(&self) {
        let (permit, password) = (WorkPermit::for_command_line(), Password::new(PASSWORD));
        for _ in 0..100 {
            self.accounts.hasher.hash(&permit, &password).await.expect("no queue");
        }
    }

    /// Returns the numbers of comparisons with imported hashes, and of other hashes.
    async fn comparisons(&self) -> (u64, u64) {
        let imported = self.metric("postern_imported_hashing_duration_seconds_count").await;
        (imported, self.accounts.hasher.hashes())
    }
}

#[tokio::test]
async fn login_with_an_imported_hash_renews_it() {
    let service = Service::start().await;
    service.imported("ada@example.org", Some(OF_OLD)).await;

    service.expect_wrong("ada@example.org", PASSWORD).await;
    assert_eq!(service.stored_hash("ada@example.org").await, OF_OLD);
    let ada = service.logged_in("ada@example.org", OLD).await;

    assert!(service.stored_hash("ada@example.org").await.starts_with("$argon2id$v=19$m=8,t=1,p=1$"));
    ada.expect_valid().await;
    let before = service.comparisons().await.0;
    service.logged_in("ada@example.org", OLD).await.expect_valid().await;
    service.expect_wrong("ada@example.org", PASSWORD).await;
    assert_eq!(service.comparisons().await.0, before);
}

#[tokio::test]
async fn trimmed_password_of_an_imported_user_is_accepted_for_ever() {
    let service = Service::start().await;
    service.imported("ada@example.org", Some(OF_OLD)).await;

    for _ in 0..2 {
        service.log_in("ada@example.org", "\u{1f} old_password\u{3000}").await.expect(200);
        service.log_in("ada@example.org", OLD).await.expect(200);
        service.expect_wrong("ada@example.org", "old_ password").await;
    }
    assert!(service.stored_hash("ada@example.org").await.starts_with("$argon2id$"));
}

#[tokio::test]
async fn changed_password_is_not_trimmed() {
    let service = Service::start().await;
    service.imported("ada@example.org", Some(OF_OLD)).await;
    let ada = service.logged_in("ada@example.org", " old_password ").await;

    ada.change_password(" old_password", PASSWORD).await.expect(200);

    service.log_in("ada@example.org", PASSWORD).await.expect(200);
    service.expect_wrong("ada@example.org", &format!(" {PASSWORD}")).await;
}

#[tokio::test]
async fn password_that_matches_as_typed_is_renewed_as_typed() {
    let service = Service::start().await;
    service.imported("ada@example.org", Some(OF_OLD_WITH_SPACES)).await;

    service.log_in("ada@example.org", " old_password ").await.expect(200);

    service.log_in("ada@example.org", " old_password ").await.expect(200);
    service.expect_wrong("ada@example.org", OLD).await;
}

#[tokio::test]
async fn imported_hash_is_compared_without_normalisation() {
    let service = Service::start().await;
    service.imported("zoe@example.org", Some(OF_DECOMPOSED)).await;

    service.expect_wrong("zoe@example.org", "Zo\u{eb}-password").await;
    service.log_in("zoe@example.org", "Zoe\u{308}-password").await.expect(200);

    service.log_in("zoe@example.org", "Zo\u{eb}-password").await.expect(200);
}

#[tokio::test]
async fn password_that_is_too_long_keeps_its_imported_hash() {
    let service = Service::start().await;
    service.imported("ada@example.org", Some(OF_300_LETTERS)).await;

    for _ in 0..2 {
        service.log_in("ada@example.org", &"a".repeat(300)).await.expect(200);
        assert_eq!(service.stored_hash("ada@example.org").await, OF_300_LETTERS);
    }
    service.expect_wrong("ada@example.org", &"a".repeat(256)).await;
}

#[tokio::test]
async fn imported_hash_confirms_a_password_change_and_a_deletion() {
    let service = Service::start().await;
    // Too long to be renewed by the login.
    let long = "a".repeat(300);
    let users = ["ada@example.org", "bob@example.org"];
    let mut signed_in = Vec::new();
    for email in users {
        service.imported(email, Some(OF_300_LETTERS)).await;
        signed_in.push(service.logged_in(email, &long).await);
    }
    let [ada, bob] = &*signed_in else { unreachable!("two users") };

    ada.change_password(OLD, PASSWORD).await.expect_problem(400, "wrong_password");
    ada.change_password(&long, PASSWORD).await.expect(200);
    bob.delete_account(json!({"password": OLD})).await.expect_problem(400, "wrong_password");
    assert_eq!(bob.delete_account(json!({"password": long})).await.status, 204);

    service.log_in("ada@example.org", PASSWORD).await.expect(200);
    service.expect_wrong("bob@example.org", &long).await;
}

#[tokio::test]
async fn unknown_email_costs_what_the_user_in_its_stead_costs() {
    let service = Service::start().await;
    service.signed_up("renewed@example.org").await;
    service.imported("imported@example.org", Some(OF_OLD)).await;
    service.imported_as("inactive@example.org", Some(OF_OLD), AccountStatus::Inactive).await;
    service.imported("unusable@example.org", None).await;
    service.imported("md5@example.org", Some("md5$salt$56ce9e6edc57775f4a7e173aa459c0a3")).await;

    let (imported, ours) = ((1, 0), (0, 1));
    for (are_assigned, of_unknown) in [(false, ours), (true, imported)] {
        if are_assigned {
            service.assign_unknown_emails_to("pbkdf2_sha256$10");
        }
        for (email, cost) in [
            ("renewed@example.org", ours),
            ("imported@example.org", imported),
            ("inactive@example.org", imported),
            ("unusable@example.org", of_unknown),
            ("md5@example.org", of_unknown),
            ("nobody@example.org", of_unknown),
            ("not an address", ours),
        ] {
            let before = service.comparisons().await;
            let password = if email.starts_with("inactive") { OLD } else { "wrong_password" };
            service.expect_wrong(email, password).await;
            let after = service.comparisons().await;
            assert_eq!((after.0 - before.0, after.1 - before.1), cost, "{email} {are_assigned}");
        }
    }
}

#[tokio::test]
async fn imported_hashes_are_not_accepted_after_the_last_day() {
    let until = Some(ManualClock::default().now() + Duration::from_hours(1));
    let service = Service::start_with(Settings { imported_hashes_until: until, ..Settings::default() }).await;
    service.assign_unknown_emails_to("pbkdf2_sha256$10");
    for email in ["early@example.org", "late@example.org"] {
        service.imported(email, Some(OF_OLD)).await;
    }
    service.log_in("early@example.org", OLD).await.expect(200);

    service.advance(Duration::from_hours(2));

    let before = service.comparisons().await;
    service.expect_wrong("late@example.org", OLD).await;
    service.expect_wrong("nobody@example.org", OLD).await;
    assert_eq!(service.comparisons().await, (before.0, before.1 + 2));
    service.log_in("early@example.org", OLD).await.expect(200);
}

#[tokio::test]
async fn full_queue_refuses_unknown_emails_as_it_refuses_users() {
    let hashing = HasherSettings { max_wait: Duration::ZERO, ..hashing(CHEAP) };
    let service = Service::start().await;
    service.imported("ada@example.org", Some(OF_OLD)).await;
    // Nothing else makes a login wait.
    let busy = service.second_with(Settings { hashing, rate_limits: false, ..Settings::default() }).await;
    busy.assign_unknown_emails_to("pbkdf2_sha256$10");

    for email in ["ada@example.org", "nobody@example.org"] {
        busy.log_in(email, OLD).await.expect_problem(503, "overloaded");
    }

    assert_eq!(busy.metric("postern_imported_hashing_refusals_total").await, 2);
    assert_eq!(busy.metric("postern_hashing_refusals_total").await, 0);
}

#[tokio::test]
async fn costly_failures_exhaust_the_limit_of_an_address_sooner() {
    let service = Service::start().await;
    service.measure_hashes().await;
    service.assign_unknown_emails_to("pbkdf2_sha256$100000");

    let mut failures = 0;
    while failures < 100 {
        let response = service.log_in(&format!("nobody{failures}@example.org"), OLD).await;
        if response.status == 429 {
            break;
        }
        response.expect_problem(401, "invalid_credentials");
        failures += 1;
    }

    // Ten at once, and one more for each 64 s that the machine takes.
    assert!((10..20).contains(&failures), "{failures}");
    assert_eq!(service.metric(r#"postern_rate_limited_total{limit="imported_hash"}"#).await, 1);
    // Hashes of ours are not charged to it.
    service.signed_up("ada@example.org").await;
    service.expect_wrong("ada@example.org", "wrong_password").await;
}

#[tokio::test]
async fn rejected_costly_logins_count_against_their_address_only() {
    let service = behind_proxy().await;
    service.measure_hashes().await;
    service.imported("ada@example.org", Some(OF_OLD_COSTLY)).await;
    service.assign_unknown_emails_to("pbkdf2_sha256$100000");
    let limited = async |limit| service.metric(&format!(r#"postern_rate_limited_total{{limit="{limit}"}}"#)).await;

    // Half of them at the account of an imported user.
    let mut attempts = 0;
    while limited("address").await == 0 && attempts < 200 {
        let unknown = format!("nobody{attempts}@example.org");
        let email = if attempts > 20 && attempts % 2 == 0 { "ada@example.org" } else { &unknown };
        service.log_in_from(ELSEWHERE, email, WRONG).await;
        attempts += 1;
    }

    // An address may fail a hundred times at once.
    assert!((100..130).contains(&attempts), "{attempts}");
    assert!(limited("imported_hash").await > 50);
    assert_eq!((limited("account").await, limited("pair").await), (0, 0));
    service.log_in_from(HOME, "ada@example.org", OLD).await.expect(200);
}

#[tokio::test]
async fn busy_server_renews_imported_hashes() {
    let service = Service::start().await;
    service.imported("ada@example.org", Some(OF_OLD)).await;
    let mut others = JoinSet::new();
    for _ in 0..8 {
        let accounts = Arc::clone(&service.accounts);
        others.spawn(async move {
            for _ in 0..1_000_000 {
                let _ = accounts.hasher.hash(&WorkPermit::for_command_line(), &Password::new(PASSWORD)).await;
            }
        });
    }
    let hashes = service.accounts.hasher.hashes();
    let is_busy = async || service.accounts.hasher.hashes() > hashes + 100;
    eventually(Duration::from_secs(10), "hashes of the others", is_busy).await;

    service.log_in("ada@example.org", OLD).await.expect(200);

    others.shutdown().await;
    assert!(service.stored_hash("ada@example.org").await.starts_with("$argon2id$"));
}

#[tokio::test]
async fn successful_login_with_a_costly_hash_is_not_charged() {
    let service = Service::start().await;
    service.measure_hashes().await;

    // More than an address may fail.
    for number in 0..15 {
        let email = format!("ada{number}@example.org");
        service.imported(&email, Some(OF_OLD_COSTLY)).await;
        service.log_in(&email, OLD).await.expect(200);
    }
}
