//! Completions and the manual.

use std::fs;

use crate::support::Postern;

#[tokio::test]
async fn completions_of_each_shell_know_every_command() {
    let postern = Postern::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = postern.run(&["completions", shell]).await;
        assert_eq!(script.code, Some(0), "{script:?}");
        for command in ["set-password", "set-role", "backup", "generate", "health"] {
            assert!(script.stdout.contains(command), "{shell}: {command}");
        }
    }
}

#[tokio::test]
async fn manual_has_a_page_for_each_command() {
    let postern = Postern::new();

    let written = postern.run(&["manual", "man"]).await;

    assert_eq!(written.code, Some(0), "{written:?}");
    for page in [
        "postern",
        "postern-serve",
        "postern-health",
        "postern-user-create",
        "postern-sessions-end",
        "postern-keys-generate",
    ] {
        let text = fs::read_to_string(postern.path(&format!("man/man1/{page}.1"))).expect("a page");
        assert!(text.contains(&format!(".TH {page} 1")), "{text}");
        let settings = text.contains("Maximum time for all store calls of a request");
        assert_eq!(settings, page == "postern", "{text}");
    }
    assert!(!postern.path("man/man1/postern-help.1").exists());
}
