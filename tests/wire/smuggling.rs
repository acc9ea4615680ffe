//! The smuggling corpus, sent directly to the server.

use crate::{
    client::{Responses, get},
    corpus::{CORPUS, Probe, Verdict},
    server::Server,
};

/// A route that reads its body, and one that does not.
const LINES: [&str; 2] = ["POST /token/", "GET /healthz"];

/// Sends a probe with a victim's request right behind it.
async fn sent(server: &Server, probe: &Probe, line: &str) -> Responses {
    let mut connection = server.connect().await;
    connection.send(probe.bytes(line, "mallory@example.org") + &get("/healthz", "victim")).await;
    connection.until_closed().await
}

fn matches_verdict(responses: &Responses, verdict: Verdict, line: &str) -> bool {
    let (statuses, ids) = (responses.statuses(), responses.ids());
    match verdict {
        Verdict::Refused => matches!(statuses[..], [400 | 501]) && ids != ["victim"],
        Verdict::Closed => matches!(ids[..], [] | ["" | "probe"]),
        // A body that the route does not read may end the connection.
        Verdict::Framed => ids == ["probe", "victim"] || line.starts_with("GET") && ids == ["probe"],
        Verdict::RefusedOrFramed => {
            matches_verdict(responses, Verdict::Refused, line) || matches_verdict(responses, Verdict::Framed, line)
        }
    }
}

#[tokio::test]
async fn smuggled_request_is_never_carried_out() {
    let server = Server::start_with(&[("POSTERN_REQUEST_TIMEOUT", "1s")]).await;
    let mut faults = Vec::new();

    for (probe, line) in CORPUS.iter().flat_map(|probe| LINES.map(|line| (probe, line))) {
        let before = server.sign_ups().await;
        let responses = sent(&server, probe, line).await;
        if server.sign_ups().await != before || responses.ids().contains(&"smuggled") {
            faults.push(format!("{}, {line}: the sign-up was carried out: {:?}", probe.name, responses.ids()));
        } else if !matches_verdict(&responses, probe.verdict, line) {
            let (statuses, ids) = (responses.statuses(), responses.ids());
            faults.push(format!("{}, {line}: {statuses:?} for {ids:?}, not {:?}", probe.name, probe.verdict));
        }
    }

    assert_eq!(faults, Vec::<String>::new(), "{faults:#?}");
    server.expect_clean_stop().await;
}
