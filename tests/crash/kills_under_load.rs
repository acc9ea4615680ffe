//! `kill -9` during many sign-ups.

use tokio::sync::mpsc;

use super::Here;
use crate::support::{Api, LONG, PASSWORD, Tokens, within};
use crate::targets::CrashTarget;

/// The number of parallel clients.
const CLIENTS: usize = 4;

/// The number of acknowledged sign-ups at each kill.
const ROUNDS: [usize; 3] = [1, 10, 25];

#[tokio::test]
async fn acknowledged_sign_ups_survive_a_kill() {
    let place = Here::new().await;
    let mut serving = place.serve().await;
    for (round, enough) in ROUNDS.into_iter().enumerate() {
        let api = serving.api();
        let (tells, mut acknowledged) = mpsc::unbounded_channel();
        for client in 0..CLIENTS {
            tokio::spawn(storm(api, format!("{round}.{client}"), tells.clone()));
        }
        drop(tells);
        let mut people = Vec::new();
        while people.len() < enough {
            let person = within(LONG, "sign-ups are acknowledged", acknowledged.recv()).await;
            people.push(person.expect("the clients go on"));
        }

        serving.killed().await;
        // Until every client has noticed.
        while let Some(person) = within(LONG, "the clients notice the kill", acknowledged.recv()).await {
            people.push(person);
        }
        serving = place.serve().await;
        let api = serving.api();
        for (email, tokens) in people {
            api.expect_rotates(&tokens).await;
            api.logged_in(&email, PASSWORD).await;
        }
    }
}

/// Signs up one user after the other until the server is gone.
async fn storm(api: Api, name: String, tells: mpsc::UnboundedSender<(String, Tokens)>) {
    for number in 0.. {
        let email = format!("ada{name}.{number}@example.org");
        let Some(response) = api.sign_up(&email).try_send().await else { return };
        let tokens = Tokens::of(&response.expect(201));
        tells.send((email, tokens)).expect("they are read to the end");
    }
}
