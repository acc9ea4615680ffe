//! The route look-up beside the tree alone; whole requests beside hyper alone, both over a connection in memory.

use std::{convert::Infallible, net::SocketAddr, sync::Arc};

use criterion::Criterion;
use http_body_util::{BodyExt as _, Empty};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1::{SendRequest, handshake},
    header,
    server::conn::http1,
    service::{HttpService, service_fn},
};
use hyper_util::rt::TokioIo;
use postern::http::{Service, routes};
use tokio::runtime::Runtime;

use crate::{
    bare,
    beside::{Group, timed, timed_async},
    service::{Served, served},
    support::{Backend as _, Embedded},
};

/// What is asked with `GET`.
#[derive(Clone, Copy)]
pub struct Question<'token> {
    /// What is asked for.
    pub path: &'static str,
    /// The access token that goes with it.
    pub token: &'token str,
    /// What is answered.
    pub status: StatusCode,
}

pub fn measure(criterion: &mut Criterion) {
    let mut group = Group::new(criterion, "http");
    routes(&mut group);
    requests(&mut group);
    group.print();
}

fn routes(group: &mut Group<'_>) {
    let router = routes::public();
    let mut tree = matchit::Router::new();
    for path in ["create-user", "token", "refresh", "logout", "profile", "change-password", "healthz"] {
        tree.insert(format!("/{path}"), path).expect("paths that can be told apart");
        tree.insert(format!("/{path}/"), path).expect("paths that can be told apart");
    }
    group.measure(
        ["route found", "matchit"],
        timed(|| router.find(&Method::GET, "/profile/")),
        timed(|| tree.at("/profile/").expect("a path").value),
    );
    group.measure(
        ["route not found", "matchit"],
        timed(|| router.find(&Method::GET, "/profiles/")),
        timed(|| tree.at("/profiles/").is_err()),
    );
}

fn requests(group: &mut Group<'_>) {
    let runtime = runtime();
    let Served { service, tokens, writing: _writing } =
        runtime.block_on(async { served(&Embedded::empty().await).await });
    for (name, path, status) in [
        ("GET /healthz", "/healthz", StatusCode::OK),
        ("GET of no such path: 404", "/nothing", StatusCode::NOT_FOUND),
        ("GET /profile/, embedded store", "/profile/", StatusCode::OK),
    ] {
        let question = Question { path, token: &tokens.access, status };
        let mut ours = runtime.block_on(ours(&service));
        let mut hyper = runtime.block_on(connect(service_fn(bare::answer)));
        group.measure(
            [name, "hyper"],
            timed_async(&runtime, async || ask(&mut ours, question).await),
            timed_async(&runtime, async || ask(&mut hyper, Question { status: StatusCode::OK, ..question }).await),
        );
    }
}

/// A connection to a service.
pub async fn ours(service: &Arc<Service>) -> SendRequest<Empty<Bytes>> {
    let service = Arc::clone(service);
    let peer = SocketAddr::from(([127, 0, 0, 1], 50_000));
    connect(service_fn(move |request| {
        let service = Arc::clone(&service);
        async move { Ok::<_, Infallible>(service.respond(request, peer).await) }
    }))
    .await
}

/// Asks, and reads the answer to its end.
pub async fn ask(connection: &mut SendRequest<Empty<Bytes>>, question: Question<'_>) {
    let request = Request::get(question.path)
        .header(header::HOST, "127.0.0.1")
        .header(header::AUTHORIZATION, format!("Bearer {}", question.token))
        .body(Empty::new())
        .expect("a good request");
    connection.ready().await.expect("a live connection");
    let response: Response<Incoming> = connection.send_request(request).await.expect("an answer");
    assert_eq!(response.status(), question.status);
    response.into_body().collect().await.expect("a whole answer");
}

/// Serves one connection in memory, and returns the client's end.
async fn connect<S>(service: S) -> SendRequest<Empty<Bytes>>
where
    S: HttpService<Incoming, ResBody = http_body_util::Full<Bytes>, Error = Infallible> + Send + 'static,
    S::Future: Send,
{
    let (client, server) = tokio::io::duplex(64 * 1024);
    tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(server), service));
    let (sender, connection) = handshake(TokioIo::new(client)).await.expect("a connection");
    tokio::spawn(connection);
    sender
}

/// One thread for everything that is asked and answered.
pub fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}
