//! Commands that change or delete users, and what they keep.

use serde_json::json;

use super::users::emails;
use crate::support::{PASSWORD, Postern};

#[tokio::test]
async fn change_to_the_present_value_is_reported_as_none() {
    for postern in Postern::on_each_backend().await {
        let _serving = postern.serve().await;
        let create = ["user", "create", "grace@example.org", "--name", "Grace", "--no-password"];
        postern.run(&create).await.expect_done();

        for change in [&["rename", "grace@example.org", "Grace"][..], &["set-role", "grace@example.org", "member"]] {
            let output = postern.run(&[&["user"], change].concat()).await.expect_done();
            assert!(output.trim_end().ends_with(" is unchanged"), "{output}");
        }
        let output = postern.run(&["user", "rename", "grace@example.org", "Grace Hopper"]).await.expect_done();
        assert!(output.trim_end().ends_with(" has a new name"), "{output}");
    }
}

#[tokio::test]
async fn email_role_and_password_are_changed() {
    for postern in Postern::on_each_backend().await {
        let serving = postern.serve().await;
        let tokens = serving.signed_up("ada@example.org").await;
        let run =
            async |arguments: &[&str]| postern.run(&[&["user", "--json"], arguments].concat()).await.expect_json();

        let verified = run(&["verify-email", "ada@example.org"]).await;
        assert_eq!(verified["email_verified"], json!(true));
        let moved = run(&["set-email", "ada@example.org", "Ada@Example.com"]).await;
        assert_eq!((&moved["email"], &moved["email_verified"]), (&json!("ada@example.com"), &json!(false)));
        let moved = run(&["set-email", "ada@example.com", "ada@example.net", "--verified"]).await;
        assert_eq!(moved["email_verified"], json!(true));
        let unverified = run(&["unverify-email", "ada@example.net"]).await;
        assert_eq!(unverified["email_verified"], json!(false));
        assert_eq!(run(&["set-role", "ada@example.net", "administrator"]).await["role"], json!("administrator"));
        // Another one, so that the first is not the last.
        let create = ["user", "create", "root@example.org", "--name", "Root", "--admin"];
        postern.run_with_input(&create, PASSWORD).await.expect_done();
        assert_eq!(run(&["set-role", "ada@example.net", "member"]).await["role"], json!("member"));
        serving.api().expect_valid(&tokens).await;

        serving.signed_up("grace@example.org").await;
        let taken = postern.run(&["user", "set-email", "ada@example.net", "grace@example.org"]).await;
        taken.expect_failed(1, "another user already has this email");

        let disabled = postern.run(&["user", "disable-password", "ada@example.net"]).await.expect_done();
        assert!(disabled.ends_with(") has no password; every session has ended\n"), "{disabled}");
        serving.api().expect_ended(&tokens).await;
        serving.api().log_in("ada@example.net", PASSWORD).send().await.expect_problem(401, "invalid_credentials");
    }
}

#[tokio::test]
async fn last_administrator_is_kept_by_every_command() {
    for postern in Postern::on_each_backend().await {
        let create = ["user", "create", "ada@example.org", "--name", "Ada", "--admin"];
        postern.run_with_input(&create, PASSWORD).await.expect_done();
        // Without a password, she cannot log in.
        let create = ["user", "create", "grace@example.org", "--name", "Grace", "--admin", "--no-password"];
        postern.run(&create).await.expect_done();
        let commands = [
            &["user", "delete", "ada@example.org", "grace@example.org"][..],
            &["user", "delete", "ada@example.org", "--dry-run"],
            &["user", "deactivate", "ada@example.org"],
            &["user", "set-role", "ada@example.org", "member"],
            &["user", "disable-password", "ada@example.org"],
        ];

        for command in commands {
            let reason = "the last administrator who can log in: expected another active administrator with a password";
            postern.run(command).await.expect_failed(1, reason);
        }

        postern.run_with_input(&["user", "set-password", "grace@example.org"], PASSWORD).await.expect_done();
        postern.run(commands[1]).await.expect_done();
        postern.run(commands[2]).await.expect_done();
    }
}

#[tokio::test]
async fn several_users_are_deleted_or_none() {
    for postern in Postern::on_each_backend().await {
        let serving = postern.serve().await;
        for email in ["ada@example.org", "grace@example.org"] {
            serving.signed_up(email).await;
        }
        let delete = ["user", "delete", "ada@example.org", "grace@example.org"];

        postern.run(&[&delete[..], &["nobody@example.org"]].concat()).await.expect_failed(1, "no such user");
        let would = postern.run(&[&delete[..], &["--dry-run", "--json"]].concat()).await.expect_json();
        assert_eq!((emails(&would).len(), &would["dry_run"]), (2, &json!(true)));
        for email in ["ada@example.org", "grace@example.org"] {
            postern.run(&["user", "show", email]).await.expect_done();
        }

        let deleted = postern.run(&delete).await.expect_done();
        let lines: Vec<_> = deleted.lines().collect();
        assert_eq!(lines.len(), 2, "{deleted}");
        assert!(lines.iter().all(|line| line.ends_with(") has been deleted; every session has ended")), "{deleted}");
        postern.run(&["user", "show", "ada@example.org"]).await.expect_failed(1, "no such user");
    }
}
