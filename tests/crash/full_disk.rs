//! A full disk.

use serde_json::json;

use crate::small_disk::SmallDisk;
use crate::support::{Api, NEW_PASSWORD, PASSWORD};

#[tokio::test]
async fn server_on_a_full_disk_serves_reads_until_there_is_space() {
    for disk in SmallDisk::each().await {
        let serving = disk.serve().await;
        let api = serving.api();
        let ada = api.signed_up("ada@example.org").await;

        disk.fill();
        for _ in 0..2 {
            api.sign_up("grace@example.org").send().await.expect_problem(503, "unavailable");
            api.log_in("ada@example.org", PASSWORD).send().await.expect_problem(503, "unavailable");
            api.refresh(&ada).send().await.expect_problem(503, "unavailable");
            api.change_password(&ada, PASSWORD, NEW_PASSWORD).send().await.expect_problem(503, "unavailable");
            api.log_out(&ada).send().await.expect_problem(503, "unavailable");
            api.log_in("ada@example.org", "wrong_password").send().await.expect_problem(401, "invalid_credentials");
            api.profile(&ada).send().await.expect(200);
            let list = api.sessions(&ada).send().await.expect(200);
            assert_eq!(list["sessions"].as_array().map(Vec::len), Some(1), "{list}");
        }

        disk.clear();
        let grace = api.signed_up("grace@example.org").await;
        api.expect_rotates(&ada).await;
        let leaving = api.logged_in("ada@example.org", PASSWORD).await;
        assert_eq!(api.log_out(&leaving).send().await.expect(200), json!({"message": "Logged out successfully"}));
        serving.killed().await;
        let restarted = disk.serve().await;
        let api = restarted.api();
        api.expect_rotates(&grace).await;
        api.expect_ended(&leaving).await;
        api.logged_in("ada@example.org", PASSWORD).await;
    }
}

#[tokio::test]
async fn start_on_a_full_disk_reads_the_data_or_names_the_reason() {
    for disk in SmallDisk::each().await {
        disk.fill();
        disk.expect_no_start("No space left on device").await;

        disk.clear();
        let serving = disk.serve().await;
        let ada = serving.api().signed_up("ada@example.org").await;
        serving.killed().await;
        disk.fill();
        let serving = disk.serve().await;
        let api = serving.api();
        api.profile(&ada).send().await.expect(200);
        api.sign_up("grace@example.org").send().await.expect_problem(503, "unavailable");
        serving.killed().await;

        // The command has the store for itself and makes a checkpoint, so that a server needs space for a new log.
        disk.clear();
        let elsewhere = tempfile::tempdir().expect("a temporary directory");
        let backup = elsewhere.path().join("backup.db");
        let backup = disk.run(&["backup", backup.to_str().expect("a text")]).await;
        assert_eq!(backup.code, Some(0), "{backup:?}");
        disk.fill();
        disk.expect_no_start("postern.db: No space left on device").await;

        disk.clear();
        Api(disk.serve().await.public).expect_rotates(&ada).await;
    }
}

impl SmallDisk {
    /// The server does not start, and prints the reason.
    async fn expect_no_start(&self, reason: &str) {
        let ended = self.run(&["serve"]).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{ended:?}");
        assert!(ended.stderr.contains(reason), "{ended:?}");
    }
}
