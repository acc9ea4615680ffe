//! The smuggling corpus, straight to us.

use crate::{
    client::{Answers, get},
    corpus::{CORPUS, Probe, Verdict},
    server::Server,
};

/// What reads its body, and what does not.
const LINES: [&str; 2] = ["POST /token/", "GET /healthz"];

/// Sends a probe and a victim's request right behind it.
async fn sent(server: &Server, probe: &Probe, line: &str) -> Answers {
    let mut connection = server.connect().await;
    connection.send(probe.bytes(line, "mallory@example.org") + &get("/healthz", "victim")).await;
    connection.until_closed().await
}

fn is_as_it_must_be(answers: &Answers, verdict: Verdict, line: &str) -> bool {
    let (statuses, ids) = (answers.statuses(), answers.ids());
    match verdict {
        Verdict::Refused => matches!(statuses[..], [400 | 501]) && ids != ["victim"],
        Verdict::Cut => matches!(ids[..], [] | ["" | "probe"]),
        // A body that nobody reads may cost the connection.
        Verdict::Framed => ids == ["probe", "victim"] || line.starts_with("GET") && ids == ["probe"],
        Verdict::RefusedOrFramed => {
            is_as_it_must_be(answers, Verdict::Refused, line) || is_as_it_must_be(answers, Verdict::Framed, line)
        }
    }
}

#[tokio::test]
async fn a_request_within_a_request_is_never_carried_out() {
    let server = Server::start_with(&[("POSTERN_REQUEST_TIMEOUT", "1s")]).await;
    let mut faults = Vec::new();

    for (probe, line) in CORPUS.iter().flat_map(|probe| LINES.map(|line| (probe, line))) {
        let before = server.sign_ups().await;
        let answers = sent(&server, probe, line).await;
        if server.sign_ups().await != before || answers.ids().contains(&"smuggled") {
            faults.push(format!("{}, {line}: the sign-up was carried out: {:?}", probe.name, answers.ids()));
        } else if !is_as_it_must_be(&answers, probe.verdict, line) {
            let (statuses, ids) = (answers.statuses(), answers.ids());
            faults.push(format!("{}, {line}: {statuses:?} for {ids:?}, not {:?}", probe.name, probe.verdict));
        }
    }

    assert_eq!(faults, Vec::<String>::new(), "{faults:#?}");
    server.survives().await;
}
