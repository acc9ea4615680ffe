//! Imports from a real Django: each user logs in with the old password, on both stores.

use std::fs;

use serde_json::{Value, json};

use crate::{
    page::table,
    project::Project,
    support::{Api, Postern, Serving, Tokens, string_field},
};

/// A user of the project, and what Postern makes of it.
struct Imported {
    email: &'static str,
    /// As Django hashed it.
    password: &'static str,
    hasher: &'static str,
    /// The cost of the hasher, if it is not Django's default.
    cost: Option<u32>,
    /// What the user may type.
    accepted: &'static [&'static str],
    rejected: &'static [&'static str],
    is_renewed: bool,
}

/// 300 characters: more than Postern accepts for a new password.
const LONG_PASSWORD: &str = "0123456789 abcdefghijklmnopqrs.0123456789 abcdefghijklmnopqrs.0123456789 abcdefghijklmnopqrs.\
     0123456789 abcdefghijklmnopqrs.0123456789 abcdefghijklmnopqrs.0123456789 abcdefghijklmnopqrs.\
     0123456789 abcdefghijklmnopqrs.0123456789 abcdefghijklmnopqrs.0123456789 abcdefghijklmnopqrs.012345678901234567890";

/// The first 72 bytes are those of `BEYOND_BCRYPT`, and the rest is not.
const OF_BCRYPT: &str = "seventy-two bytes are all that bcrypt reads of any password, and no more, and so on";
const BEYOND_BCRYPT: &str = "seventy-two bytes are all that bcrypt reads of any password, and no moreover, it ends";

/// A user whose password is accepted as it is, and as the API of Django accepted it.
const fn plain(email: &'static str, hasher: &'static str) -> Imported {
    Imported {
        email,
        password: "Str0ng-pass-9",
        hasher,
        cost: None,
        accepted: &["Str0ng-pass-9"],
        rejected: &[],
        is_renewed: true,
    }
}

const IMPORTED: [Imported; 12] = [
    plain("pbkdf2@example.org", "pbkdf2_sha256"),
    plain("argon2@example.org", "argon2"),
    Imported { rejected: &["str0ng-pass-9"], ..plain("argon2i@example.org", "argon2i") },
    Imported { rejected: &["str0ng-pass-9"], ..plain("scrypt@example.org", "scrypt") },
    Imported {
        password: "pässwörd-🔑-ü",
        accepted: &["pässwörd-🔑-ü"],
        rejected: &["password-🔑-u"],
        ..plain("sha1@example.org", "pbkdf2_sha1")
    },
    // Django's API trims passwords, its admin site does not.
    Imported {
        accepted: &["  Str0ng-pass-9\u{3000}"],
        cost: Some(260_000),
        ..plain("padded@example.org", "pbkdf2_sha256")
    },
    Imported {
        password: " spaced out 77 ",
        accepted: &[" spaced out 77 "],
        rejected: &["spaced out 77"],
        cost: Some(1000),
        ..plain("spaces@example.org", "pbkdf2_sha256")
    },
    // bcrypt itself reads 72 bytes.
    Imported {
        password: OF_BCRYPT,
        accepted: &[BEYOND_BCRYPT],
        rejected: &["seventy-two bytes are all"],
        ..plain("bcrypt@example.org", "bcrypt")
    },
    Imported {
        password: LONG_PASSWORD,
        accepted: &[LONG_PASSWORD],
        is_renewed: false,
        ..plain("long@example.org", "bcrypt_sha256")
    },
    // Addresses that a sign-up would refuse.
    Imported { cost: Some(1000), ..plain("admin@localhost", "pbkdf2_sha256") },
    Imported { cost: Some(1000), ..plain("two..dots@example.org", "pbkdf2_sha256") },
    Imported { cost: Some(1000), ..plain("Mixed.Case@Example.org", "pbkdf2_sha256") },
];

/// Users who cannot log in after the import, and why.
fn locked_out() -> Vec<Value> {
    vec![
        json!({"email": "md5@example.org", "password": "Str0ng-pass-9", "hasher": "md5"}),
        json!({"email": "unusable@example.org", "password": "", "hasher": "unusable"}),
        json!({"email": "inactive@example.org", "password": "Str0ng-pass-9", "hasher": "pbkdf2_sha256", "cost": 1000,
               "fields": {"is_active": false}}),
    ]
}

/// Users who are not imported.
fn refused() -> Vec<Value> {
    ["Twin@example.org", "twin@example.org", "", "no address", "müller@example.org"]
        .iter()
        .map(|email| json!({"email": email, "password": "Str0ng-pass-9", "hasher": "pbkdf2_sha256", "cost": 1000}))
        .collect()
}

/// Users with a role.
fn privileged() -> Vec<Value> {
    let user = |email: &str, superuser: bool| {
        json!({"email": email, "password": "Str0ng-pass-9", "hasher": "pbkdf2_sha256", "cost": 1000,
               "fields": {"name": "Grace Hopper", "is_staff": true, "is_superuser": superuser}})
    };
    vec![user("staff@example.org", false), user("root@example.org", true)]
}

fn users() -> Value {
    let imported = IMPORTED.iter().map(|user| {
        json!({"email": user.email, "password": user.password, "hasher": user.hasher, "cost": user.cost,
               "fields": {"name": "Ada Lovelace"}})
    });
    imported.chain(locked_out()).chain(privileged()).chain(refused()).collect()
}

/// Runs the import with this source and these options, and returns its summary.
pub async fn import(postern: &Postern, source: &str, options: &[&str]) -> Value {
    let arguments = [&["import", "django", "--from", source, "--json"], options].concat();
    let ended = postern.run(&arguments).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"))
}

/// Returns every user of Postern, with hashes.
pub async fn exported(postern: &Postern) -> Vec<Value> {
    let ended = postern.run(&["user", "export", "--format", "jsonl", "--with-hashes"]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ended.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// Returns an exported user.
#[track_caller]
pub fn of_email<'users>(users: &'users [Value], email: &str) -> &'users Value {
    users.iter().find(|user| user["email"] == *email).unwrap_or_else(|| panic!("{email}: {users:?}"))
}

/// Logs every user in, and returns the hashes of those who are renewed afterwards.
async fn expect_logins(postern: &Postern, serving: &Serving) {
    let api = serving.api();
    for user in &IMPORTED {
        for password in user.rejected {
            api.log_in(user.email, password).send().await.expect_problem(401, "invalid_credentials");
        }
        for password in user.accepted {
            let tokens = api.logged_in(user.email, password).await;
            api.expect_valid(&tokens).await;
            let profile = api.profile(&tokens).send().await.expect(200);
            assert_eq!(string_field(&profile, "email"), user.email.to_lowercase());
            assert_eq!(string_field(&profile, "name"), "Ada Lovelace");
        }
    }
    let users = exported(postern).await;
    for user in &IMPORTED {
        let password = of_email(&users, &user.email.to_lowercase())["password"].as_str().expect("a hash");
        assert_eq!(password.starts_with("$argon2id$v=19$m=8,t=1,p=1"), user.is_renewed, "{}: {password}", user.email);
        assert_eq!(password.starts_with('$'), user.is_renewed, "{}: {password}", user.email);
    }
    // The renewed hash accepts what the imported one accepted.
    for user in &IMPORTED {
        api.logged_in(user.email, user.accepted[0]).await;
    }
}

async fn expect_no_logins(api: Api) {
    for user in locked_out().iter().chain(&refused()) {
        let email = string_field(user, "email");
        let response = api.log_in(email, "Str0ng-pass-9").send().await;
        let status = response.status;
        assert_eq!(status, if email.is_empty() { 400 } else { 401 }, "{email}");
    }
}

/// Everything but the logins is as it was at Django.
async fn expect_roles_and_times(postern: &Postern, project: &Project) {
    let users = exported(postern).await;
    assert_eq!(users.len(), IMPORTED.len() + locked_out().len() + privileged().len(), "{users:?}");
    assert_eq!(of_email(&users, "root@example.org")["role"], "administrator");
    assert_eq!(of_email(&users, "staff@example.org")["role"], "member");
    assert_eq!(of_email(&users, "inactive@example.org")["standing"], "inactive");
    for email in ["md5@example.org", "unusable@example.org"] {
        assert!(of_email(&users, email)["password"].is_null(), "{email}");
    }
    let dump = project.manage(&["dumpdata", "users.User"], "").await;
    let dump: Vec<Value> = serde_json::from_str(&dump).expect("JSON");
    let root = dump.iter().find(|user| user["fields"]["email"] == "root@example.org").expect("a user");
    let joined = string_field(&root["fields"], "creation_date");
    let created = string_field(of_email(&users, "root@example.org"), "created");
    assert_eq!(created.get(..19), joined.get(..19), "{created} {joined}");
}

/// Returns both sources of a project: its database, and a dump of all its tables in the directory of Postern.
async fn sources(project: &Project, postern: &Postern) -> [String; 2] {
    let dump = project.manage(&["dumpdata"], "").await;
    fs::write(postern.path("dump.json"), dump).expect("a file");
    [project.database.clone(), "dump.json".to_owned()]
}

/// Without limits on failed logins, and with time for a hash on a busy machine.
fn patient(postern: Postern) -> Postern {
    postern.with("POSTERN_THROTTLE", "off").with("POSTERN_REQUEST_TIMEOUT", "1m").with("POSTERN_HASH_MAX_WAIT", "60s")
}

/// Each reason in the list of rejects is in the table of the page.
fn expect_documented_reasons(postern: &Postern) {
    let rejects = fs::read_to_string(postern.path("rejects.csv")).expect("a file");
    let reasons: Vec<_> = table("## 2. Rehearse the import").iter().map(|row| row[0]).collect();
    assert!(rejects.lines().count() > refused().len(), "{rejects}");
    for line in rejects.lines().skip(1) {
        let known = reasons.iter().flat_map(|cell| cell.split('`')).any(|text| text.len() > 2 && line.contains(text));
        assert!(known, "{line}: {reasons:?}");
    }
}

/// Imports a project from its database and logs everybody in; imports it from a dump into another Postern, which then has the
/// same users.
async fn expect_import_by_each_source(targets: [Postern; 2]) {
    let Some(project) = Project::custom(&users()).await else { return };
    let [postern, of_dump] = targets.map(patient);
    let [database, dump] = sources(&project, &of_dump).await;
    let options = ["--table", "users_user", "--rejects", "rejects.csv"];

    let summary = import(&postern, &database, &options).await;
    assert_eq!(import(&of_dump, &dump, &options).await["refused"], summary["refused"]);

    assert_eq!(summary["refused"], refused().len(), "{summary}");
    expect_documented_reasons(&postern);
    expect_roles_and_times(&postern, &project).await;
    assert_eq!(exported(&of_dump).await, exported(&postern).await);
    let serving = postern.serve().await;
    expect_logins(&postern, &serving).await;
    expect_no_logins(serving.api()).await;
}

#[tokio::test]
async fn each_hash_of_django_logs_in_on_the_embedded_store() {
    expect_import_by_each_source([Postern::new(), Postern::new()]).await;
}

#[tokio::test]
async fn each_hash_of_django_logs_in_on_postgresql_and_redis() {
    expect_import_by_each_source([Postern::on_migrated_servers().await, Postern::on_migrated_servers().await]).await;
}

/// Users of Django's own model, with the emails that django-allauth has verified.
fn stock_users() -> Value {
    let user = |email: &str, name: &str, verified: Option<bool>| {
        json!({"email": email, "password": "Str0ng-pass-9", "hasher": "pbkdf2_sha256", "cost": 1000, "verified": verified,
               "fields": {"username": name, "first_name": "Ada", "last_name": "Lovelace", "is_staff": true}})
    };
    json!([
        user("Verified@example.org", "verified", Some(true)),
        user("unverified@example.org", "unverified", Some(false)),
        user("unknown@example.org", "unknown", None),
    ])
}

#[tokio::test]
async fn users_of_the_stock_model_keep_verified_emails() {
    let Some(project) = Project::stock(&stock_users()).await else { return };
    let [embedded, servers] = Postern::on_each_backend().await.map(patient);
    for (number, postern) in [embedded, servers].iter().enumerate() {
        let source = &sources(&project, postern).await[1 - number];

        let options = ["--name-column", "first_name+last_name", "--staff-as", "administrator"];
        let summary = import(postern, source, &options).await;

        assert_eq!((&summary["imported"], &summary["refused"]), (&json!(3), &json!(0)), "{summary}");
        let users = exported(postern).await;
        for (email, verified) in
            [("verified@example.org", true), ("unverified@example.org", false), ("unknown@example.org", false)]
        {
            let user = of_email(&users, email);
            assert_eq!((&user["email_verified"], &user["name"]), (&json!(verified), &json!("Ada Lovelace")), "{user}");
            assert_eq!(user["role"], "administrator", "{user}");
            assert!(string_field(user, "id").parse::<uuid::Uuid>().is_ok(), "{user}");
        }
        let serving = postern.serve().await;
        let tokens: Tokens = serving.api().logged_in("VERIFIED@example.org", "Str0ng-pass-9").await;
        serving.api().expect_valid(&tokens).await;
    }
}
