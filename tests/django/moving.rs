//! The steps of docs/from-django.md: the import, both servers behind nginx, and the way back.

use std::{fs, net::SocketAddr};

use serde_json::{Value, json};

use crate::{
    imports::{exported, of_email},
    page::{block, replaced},
    project::{Project, Served},
    support::{
        Api, Ended, NEW_PASSWORD, Postern, RequestBuilder, ReservedPort, ReverseProxy, Serving, Tokens, string_field,
    },
};

const OLD_PASSWORD: &str = "Str0ng-pass-9";

/// The URL of the page.
const SOURCE: &str = "postgres://postern_import:a_long_password@127.0.0.1/app";

fn users() -> Value {
    let user = |email: &str| {
        json!({"email": email, "password": OLD_PASSWORD, "hasher": "pbkdf2_sha256", "cost": 1000,
               "fields": {"name": "Ada Lovelace"}})
    };
    let mut users: Vec<_> =
        ["ada@example.org", "Bob@Example.org", "carol@example.org", "dora@example.org", ""].map(user).into();
    users.push(json!({"email": "md5@example.org", "password": OLD_PASSWORD, "hasher": "md5"}));
    users.push(json!({"email": "root@example.org", "password": OLD_PASSWORD, "hasher": "pbkdf2_sha256",
                      "fields": {"is_staff": true, "is_superuser": true}}));
    users.into()
}

/// A project and a Postern, before the move.
struct Move {
    project: Project,
    postern: Postern,
    /// The source of the import: the role of the page, with a name of the test.
    source: String,
}

impl Move {
    /// Creates both, and the role of the page. `None` without Django.
    async fn start(postern: Postern) -> Option<Self> {
        let project = Project::custom(&users()).await?;
        // All tests share the roles of one server.
        let role = format!("import_{}", uuid::Uuid::new_v4().simple());
        let sql = block("sql", "CREATE ROLE postern_import").replace("postern_import", &role);
        project.psql(&sql).await.expect_done();
        let source = project.database.replace("//postern:postern@", &format!("//{role}:a_long_password@"));
        let postern = postern
            .with("POSTERN_THROTTLE", "off")
            .with("POSTERN_REQUEST_TIMEOUT", "1m")
            .with("POSTERN_HASH_MAX_WAIT", "60s");
        Some(Self { project, postern, source })
    }

    /// Runs a command line of Postern on the page.
    async fn run(&self, line: &str) -> Ended {
        let line = line.replace(SOURCE, &self.source);
        let words: Vec<_> = line.split_whitespace().collect();
        assert_eq!(words[0], "postern", "{line}");
        self.postern.run(&words[1..]).await
    }

    /// Makes the users at Django read-only, and imports them as the page does.
    async fn import(&self) {
        self.project.psql(&block("sql", "CREATE FUNCTION refuse_user_changes")).await.expect_done();
        let ended = self.run(&block("sh", "--map map.csv")).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        fs::copy(self.postern.path("map.csv"), self.project.path("map.csv")).expect("a map");
    }

    /// Imports the users, loads the map into Django, and lets new users in.
    async fn switch(&self) {
        self.import().await;
        self.project.psql(&load_map()).await.expect_done();
        self.project.psql(&block("sql", "DROP TRIGGER refuse_new_users")).await.expect_done();
    }

    /// Starts Postern, whose tokens the application of Django then accepts.
    async fn serve(&self) -> Serving {
        let serving = self.postern.serve().await;
        self.project.check_tokens_of(&format!("http://{}", serving.public));
        serving
    }
}

fn load_map() -> String {
    block("sql", "CREATE TEMPORARY TABLE postern_map")
}

#[tokio::test]
async fn documented_dry_run_changes_nothing() {
    let Some(moving) = Move::start(Postern::on_migrated_servers().await).await else { return };

    let ended = moving.run(&block("sh", "--rejects rejects.csv --dry-run")).await;

    assert_eq!(ended.code, Some(0), "{ended:?}");
    let rejects = fs::read_to_string(moving.postern.path("rejects.csv")).expect("a file");
    assert!(!rejects.contains("ada@example.org") && rejects.contains("email"), "{rejects}");
    assert_eq!(exported(&moving.postern).await, Vec::<Value>::new());
}

#[tokio::test]
async fn documented_dump_is_a_source() {
    let Some(moving) = Move::start(Postern::new()).await else { return };
    let lines = block("sh", "dumpdata");
    let (dump, import) = lines.trim_end().split_once('\n').expect("two commands");
    let dump: Vec<_> = dump.split_whitespace().collect();
    assert_eq!(dump[..2], ["python", "manage.py"], "{dump:?}");

    moving.project.manage(&dump[2..], "").await;
    fs::copy(moving.project.path("dump.json"), moving.postern.path("dump.json")).expect("a dump");
    let ended = moving.run(import.strip_suffix(" --dry-run").expect("a dry run")).await;

    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(exported(&moving.postern).await.len(), users().as_array().map_or(0, Vec::len) - 1);
}

#[tokio::test]
async fn documented_trigger_makes_users_read_only() {
    let Some(moving) = Move::start(Postern::new()).await else { return };
    moving.project.psql(&block("sql", "CREATE FUNCTION refuse_user_changes")).await.expect_done();

    for change in [
        "UPDATE users_user SET password = '!'",
        "UPDATE users_user SET is_active = false",
        "DELETE FROM users_user",
        "INSERT INTO users_user SELECT * FROM users_user LIMIT 1",
    ] {
        let ended = moving.project.psql(change).await;
        assert!(ended.code != Some(0) && ended.stderr.contains("users have moved to Postern"), "{change}: {ended:?}");
    }
    // As a login does.
    moving.project.psql("UPDATE users_user SET last_login = now()").await.expect_done();
    let django = moving.project.serve().await;
    Api(django.address).log_in("ada@example.org", OLD_PASSWORD).unchecked().send().await.expect(500);
    Api(django.address).log_in("root@example.org", OLD_PASSWORD).unchecked().send().await.expect(200);
    moving.project.psql(&block("sql", "DROP TRIGGER refuse_user_changes")).await.expect_done();
    Api(django.address).log_in("ada@example.org", OLD_PASSWORD).unchecked().send().await.expect(200);
}

#[tokio::test]
async fn documented_map_replaces_foreign_keys() {
    let Some(moving) = Move::start(Postern::new()).await else { return };
    moving.import().await;

    let replace = block("sql", "ALTER TABLE orders_order ADD COLUMN owner uuid");
    let check = "SELECT title, owner FROM orders_order ORDER BY title;";
    let rows =
        moving.project.psql(&format!("{}{replace}\\pset tuples_only\n\\pset format csv\n{check}", load_map())).await;

    let users = exported(&moving.postern).await;
    for row in rows.expect_done().lines() {
        let (title, owner) = row.split_once(',').expect("two columns");
        let email = title.strip_prefix("order of ").expect("a title").to_lowercase();
        // The user without an email was not imported.
        let expected = if email.is_empty() { "" } else { string_field(of_email(&users, &email), "id") };
        assert_eq!(owner, expected, "{title}");
    }
}

/// nginx with the configuration of the page.
struct Nginx {
    address: SocketAddr,
    _proxy: ReverseProxy,
    _port: ReservedPort,
}

impl Nginx {
    async fn start(postern: &Serving, django: &Served) -> Self {
        let port = ReservedPort::new();
        let listen = format!("listen unix:socket;\nlisten {};", port.address);
        let server = replaced(&block("nginx", "server"), "listen 80;", &listen);
        let server = replaced(&server, "127.0.0.1:8000", &postern.public.to_string());
        let server = replaced(&server, "127.0.0.1:8001", &django.address.to_string());
        Self { address: port.address, _proxy: ReverseProxy::nginx(&server).await, _port: port }
    }

    fn request(&self, method: &str, path: &str) -> RequestBuilder {
        RequestBuilder::new(self.address, method, path).unchecked()
    }

    /// Returns the orders of a user.
    async fn orders(&self, access: &str) -> Value {
        self.request("GET", "/orders/").bearer(access).send().await.expect(200)
    }
}

#[tokio::test]
async fn both_servers_respond_behind_the_documented_nginx() {
    let target = Postern::on_migrated_servers().await.with("POSTERN_TRUSTED_PROXIES", "127.0.0.1");
    let Some(moving) = Move::start(target).await else { return };
    let of_django = {
        let django = moving.project.serve().await;
        let login = Api(django.address).log_in("ada@example.org", OLD_PASSWORD).unchecked();
        Tokens::of(&login.send().await.expect(200))
    };
    moving.switch().await;
    let postern = moving.serve().await;
    let django = moving.project.serve().await;
    let nginx = Nginx::start(&postern, &django).await;
    let api = Api(nginx.address);

    let ada = Tokens::of(&api.log_in("ada@example.org", OLD_PASSWORD).unchecked().send().await.expect(200));
    let bob = Tokens::of(&api.log_in("bob@example.org", OLD_PASSWORD).unchecked().send().await.expect(200));

    assert!(ada.access.starts_with("v4.public."), "Postern's");
    assert_eq!(nginx.orders(&of_django.access).await, json!(["order of ada@example.org"]));
    assert_eq!(nginx.orders(&ada.access).await, json!(["order of ada@example.org"]));
    assert_eq!(nginx.orders(&bob.access).await, json!(["order of Bob@Example.org"]));
    for (method, path) in
        [("GET", "/profile/"), ("GET", "/profile"), ("GET", "/sessions/"), ("POST", "/logout-everywhere/")]
    {
        assert_eq!(nginx.request(method, path).bearer(&ada.access).send().await.status, 200, "{path}");
    }
    api.refresh(&of_django).unchecked().send().await.expect_problem(401, "invalid_refresh_token");
    // Django's own pages.
    let admin = nginx.request("GET", "/admin/login/").send().await;
    assert!(admin.status == 200 && admin.text("content-type").starts_with("text/html"), "{admin:?}");
    for access in ["v4.public.forged", "forged", &bob.access.replace("v4.public.", "v4.public.A")] {
        assert_eq!(nginx.request("GET", "/orders/").bearer(access).send().await.status, 401, "{access}");
    }
    // A user whom Django does not know.
    let new = Tokens::of(&api.sign_up("new@example.org").unchecked().send().await.expect(201));
    assert_eq!(nginx.orders(&new.access).await, json!([]));
    assert_eq!(nginx.orders(&new.access).await, json!([]));
}

#[tokio::test]
async fn users_go_back_to_django_with_their_passwords() {
    let Some(moving) = Move::start(Postern::new()).await else { return };
    moving.switch().await;
    let postern = moving.serve().await;
    let api = postern.api();
    // Renewed, changed, deleted, deactivated, new; Dora never logs in.
    api.logged_in("ada@example.org", &format!(" {OLD_PASSWORD} ")).await;
    let bob = api.logged_in("bob@example.org", OLD_PASSWORD).await;
    api.change_password(&bob, OLD_PASSWORD, NEW_PASSWORD).send().await.expect(200);
    let carol = api.logged_in("carol@example.org", OLD_PASSWORD).await;
    let delete = api.request("DELETE", "/profile/").json(json!({"password": OLD_PASSWORD})).bearer(&carol.access);
    assert_eq!(delete.send().await.status, 204);
    // Somebody must stay an administrator.
    moving.postern.run(&["user", "set-role", "ada@example.org", "administrator"]).await.expect_done();
    moving.postern.run(&["user", "deactivate", "root@example.org"]).await.expect_done();
    api.signed_up("new@example.org").await;
    // The email of a user of Django who was not imported.
    let late = "UPDATE users_user SET email = 'taken@example.org' WHERE email = ''";
    api.signed_up("taken@example.org").await;

    moving.project.psql(&block("sql", "DROP TRIGGER refuse_user_changes")).await.expect_done();
    moving.project.psql(late).await.expect_done();
    let line = block("sh", "restore_from_postern");
    let (export, restore) = line.trim_end().split_once(" | ").expect("a pipe");
    let export = moving.run(export).await;
    assert_eq!(export.code, Some(0), "{export:?}");
    let restore: Vec<_> = restore.split_whitespace().collect();
    let printed = moving.project.manage(&restore[2..], &export.stdout).await;

    let django = moving.project.serve().await;
    let status =
        async |email: &str, password: &str| Api(django.address).log_in(email, password).unchecked().send().await.status;
    for (email, password, expected) in [
        ("ada@example.org", OLD_PASSWORD, 200),
        ("Bob@example.org", NEW_PASSWORD, 401),
        ("Bob@Example.org", NEW_PASSWORD, 200),
        ("Bob@Example.org", OLD_PASSWORD, 401),
        ("dora@example.org", OLD_PASSWORD, 200),
        ("root@example.org", OLD_PASSWORD, 401),
        ("new@example.org", crate::support::PASSWORD, 200),
    ] {
        assert_eq!(status(email, password).await, expected, "{email}");
    }
    let [taken, deleted] = printed.lines().collect::<Vec<_>>()[..] else { panic!("two lines: {printed:?}") };
    assert_eq!(taken, "another user has the email: taken@example.org");
    assert!(deleted.starts_with("deleted at Postern: "), "{deleted}");
    let md5 = "SELECT count(*) FROM users_user WHERE password LIKE 'md5$%'";
    assert_eq!(moving.project.psql(&format!("\\pset tuples_only\n{md5};")).await.expect_done().trim(), "1");
}
