//! Where the program serves the admin API, and what its log says about its callers.

use serde_json::Value;

use crate::support::{
    LONG, PASSWORD, Postern, RequestBuilder, Serving, Tokens, eventually, postgres_client, refuses_connections, within,
    write_private,
};

const KEY: &str = "an-admin-key-that-has-32-characters";

/// Creates an administrator.
async fn with_administrator(postern: &Postern) {
    let create = ["user", "create", "grace@example.org", "--name", "Grace", "--admin"];
    postern.run_with_input(&create, PASSWORD).await.expect_done();
}

/// Asks both listeners who the caller is, the public one first.
fn me(serving: &Serving) -> [RequestBuilder; 2] {
    [serving.public, serving.operations]
        .map(|address| RequestBuilder::new(address, "GET", "/admin/api/me/").unchecked())
}

/// Returns the status of the response to an anonymous request of each listener.
async fn statuses(postern: Postern) -> [u16; 2] {
    let serving = postern.serve().await;
    let [public, operations] = me(&serving);
    [public.send().await.status, operations.send().await.status]
}

#[tokio::test]
async fn admin_api_is_served_where_it_is_set() {
    let set = |listener: &str| Postern::new().with("POSTERN_ADMIN_API", listener);
    let direct = || set("public").with("POSTERN_TRUSTED_PROXIES", "none");
    let public = |networks: &str| direct().with("POSTERN_ADMIN_NETWORKS", networks);

    assert_eq!(statuses(Postern::new()).await, [404, 401]);
    assert_eq!(statuses(set("off")).await, [404, 404]);
    assert_eq!(statuses(public("127.0.0.0/8")).await, [401, 404]);
    assert_eq!(statuses(public("192.0.2.0/24")).await, [404, 404]);
    assert_eq!(statuses(Postern::new().with("POSTERN_ADMIN_NETWORKS", "192.0.2.0/24")).await, [404, 404]);
}

#[tokio::test]
async fn public_admin_api_without_networks_does_not_start() {
    let ended = Postern::new().with("POSTERN_ADMIN_API", "public").run(&["serve"]).await;

    assert_eq!(ended.code, Some(64));
    assert!(ended.stderr.contains("POSTERN_ADMIN_NETWORKS: not set"), "{}", ended.stderr);
}

#[tokio::test]
async fn log_names_the_administrator_or_the_api_client() {
    let postern = Postern::new().with("POSTERN_API_KEYS_FILE", "api-keys").with("POSTERN_LOG_FORMAT", "json");
    write_private(&postern.path("api-keys"), &format!("shop {KEY} admin\n"));
    with_administrator(&postern).await;
    let serving = postern.serve().await;
    let tokens = serving.api().logged_in("grace@example.org", PASSWORD).await;

    let [_, operations] = me(&serving);
    let id = operations.bearer(&tokens.access).send().await.expect(200)["user"]["id"].clone();
    let [_, operations] = me(&serving);
    operations.bearer(KEY).send().await.expect(200);
    move_authentications(&postern, -70);
    let [_, operations] = me(&serving);
    operations.bearer(&tokens.access).send().await.expect_problem(401, "reauthentication_required");

    let log = serving.stopped().await.stderr;
    let lines = log.lines().filter(|line| line.contains(r#""route":"/admin/api/me/""#));
    let lines: Vec<Value> = lines.map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let [of_user, of_key, of_old] = &lines[..] else { panic!("{log}") };
    assert_eq!((&of_user["administrator"], &of_user["api_client"]), (&id, &Value::Null));
    assert_eq!((&of_key["administrator"], &of_key["api_client"]), (&Value::Null, &Value::from("shop")));
    assert_eq!((&of_old["administrator"], &of_old["status"]), (&id, &Value::from(401)));
    assert!(!log.contains(KEY) && !log.contains(&tokens.access), "{log}");
}

/// Moves the last authentication of every session by this many minutes.
fn move_authentications(postern: &Postern, minutes: i64) {
    let file = rusqlite::Connection::open(postern.path("postern-data/postern.db")).expect("the store");
    let moved = "UPDATE sessions SET authenticated = coalesce(authenticated, created) + ?1";
    assert_eq!(file.execute(moved, [minutes * 60_000]).expect("done"), 1);
}

#[tokio::test]
async fn authentication_by_a_clock_that_was_ahead_is_not_recent() {
    let postern = Postern::new();
    with_administrator(&postern).await;
    let serving = postern.serve().await;
    let tokens = serving.api().logged_in("grace@example.org", PASSWORD).await;
    let status = async || {
        let [_, operations] = me(&serving);
        operations.bearer(&tokens.access).send().await.status
    };

    move_authentications(&postern, 50);
    assert_eq!(status().await, 200);
    move_authentications(&postern, 20);
    assert_eq!(status().await, 401);
}

/// Sends the request of an administrator that waits for PostgreSQL, and returns its status.
fn blocked_request(serving: &Serving, tokens: &Tokens) -> tokio::task::JoinHandle<u16> {
    let [_, operations] = me(serving);
    let request = operations.bearer(&tokens.access);
    tokio::spawn(async move { request.try_send().await.map_or(0, |response| response.status) })
}

#[tokio::test]
async fn request_on_the_operations_listener_is_completed_at_the_stop() {
    let postern = Postern::on_migrated_servers().await.with("POSTERN_REQUEST_TIMEOUT", "1m");
    let postern = postern.with("POSTERN_STORE_TIMEOUT", "55s").with("POSTERN_SHUTDOWN_GRACE", "1m");
    with_administrator(&postern).await;
    let database = postern.environment.iter().find(|(name, _)| *name == "DATABASE_URL").expect("a URL").1.clone();
    let serving = postern.serve().await;
    let tokens = serving.api().logged_in("grace@example.org", PASSWORD).await;
    let (lock, observer) = (postgres_client(&database).await, postgres_client(&database).await);
    lock.batch_execute("BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE").await.expect("a lock");

    let request = blocked_request(&serving, &tokens);
    let is_blocked = async || {
        let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'users'::regclass";
        observer.query_one(waiting, &[]).await.expect("a row").get::<_, i64>(0) > 0
    };
    eventually(LONG, "the request waits for the lock", is_blocked).await;
    serving.signal(rustix::process::Signal::TERM);
    refuses_connections(serving.operations).await;
    lock.batch_execute("COMMIT").await.expect("done");

    assert_eq!(within(LONG, "a response", request).await.expect("no panic"), 200);
    assert_eq!(serving.ended().await.code, Some(0));
}
