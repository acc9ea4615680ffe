//! A server on a store with imported users.

use crate::support::{LONG, Postern, eventually};

#[tokio::test]
async fn server_reads_the_share_of_imported_hashes_at_its_start() {
    let postern = Postern::new();
    let serving = postern.serve().await;
    for email in ["ada@example.org", "bob@example.org"] {
        serving.signed_up(email).await;
    }
    serving.stopped().await;
    let import = "
        UPDATE users SET password = 'pbkdf2_sha256$10$salt$hash' WHERE email = 'ada@example.org';
        INSERT INTO imported_hashes (recipe, users) VALUES ('pbkdf2_sha256$10', 1);
        INSERT INTO imported_hashes_key (only_row, key) VALUES (1, zeroblob(32));
    ";
    let file = rusqlite::Connection::open(postern.path("postern-data/postern.db")).expect("the store");
    file.execute_batch(import).expect("valid SQL");
    drop(file);

    let serving = postern.serve().await;

    eventually(LONG, "the share is read", async || {
        serving.metric::<f64>("postern_imported_hash_share").await > 0.49
            && serving.metric::<u64>("postern_imported_hash_users").await == 1
    })
    .await;
}
