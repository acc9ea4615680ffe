//! A full disk.

use serde_json::json;

use crate::{
    api::{Api, PASSWORD},
    small_disk::SmallDisk,
};

#[tokio::test]
async fn a_full_disk_is_read_and_not_written_until_it_has_space_again() {
    for disk in SmallDisk::each().await {
        let serving = disk.serve().await;
        let api = Api(serving.public);
        let ada = api.signed_up("ada@example.org").await;

        disk.fill();
        for _ in 0..2 {
            api.sign_up("grace@example.org").send().await.expect_problem(503, "unavailable");
            api.log_in("ada@example.org", PASSWORD).send().await.expect_problem(503, "unavailable");
            api.refresh(&ada).send().await.expect_problem(503, "unavailable");
            api.change_password(&ada).send().await.expect_problem(503, "unavailable");
            api.log_out(&ada).send().await.expect_problem(503, "unavailable");
            api.log_in("ada@example.org", "wrong_password").send().await.expect_problem(401, "invalid_credentials");
            api.get("/profile/", &ada).send().await.expect(200);
            let list = api.get("/sessions/", &ada).send().await.expect(200);
            assert_eq!(list["sessions"].as_array().map(Vec::len), Some(1), "{list}");
        }

        disk.clear();
        let grace = api.signed_up("grace@example.org").await;
        api.expect_in_force(&ada).await;
        let leaving = api.logged_in("ada@example.org", PASSWORD).await;
        assert_eq!(api.log_out(&leaving).send().await.expect(200), json!({"message": "Logged out successfully"}));
        serving.killed().await;
        let restarted = disk.serve().await;
        let api = Api(restarted.public);
        api.expect_in_force(&grace).await;
        api.expect_ended(&leaving).await;
        api.logged_in("ada@example.org", PASSWORD).await;
    }
}
