//! Compares the route lookup with the bare tree, and whole requests with bare hyper, both over a connection in memory.

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
    baseline_response,
    comparison::{Group, timed, timed_async},
    service::{Served, served},
    support::{Backend as _, Embedded},
};

/// A `GET` request and the status of its response.
#[derive(Clone, Copy)]
pub struct Get<'token> {
    pub path: &'static str,
    /// The access token.
    pub token: &'token str,
    /// The expected status.
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
        tree.insert(format!("/{path}"), path).expect("distinct paths");
        tree.insert(format!("/{path}/"), path).expect("distinct paths");
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
    let Served { service, tokens, audit_writer: _audit_writer } =
        runtime.block_on(async { served(&Embedded::empty().await).await });
    for (name, path, status) in [
        ("GET /healthz", "/healthz", StatusCode::OK),
        ("GET of no such path: 404", "/nothing", StatusCode::NOT_FOUND),
        ("GET /profile/, embedded store", "/profile/", StatusCode::OK),
    ] {
        let get = Get { path, token: &tokens.access, status };
        let mut postern = runtime.block_on(connect_to_postern(&service));
        let mut hyper = runtime.block_on(connect(service_fn(baseline_response::respond)));
        group.measure(
            [name, "hyper"],
            timed_async(&runtime, async || send(&mut postern, get).await),
            timed_async(&runtime, async || send(&mut hyper, Get { status: StatusCode::OK, ..get }).await),
        );
    }
}

/// Connects to a service of Postern.
pub async fn connect_to_postern(service: &Arc<Service>) -> SendRequest<Empty<Bytes>> {
    let service = Arc::clone(service);
    let peer = SocketAddr::from(([127, 0, 0, 1], 50_000));
    connect(service_fn(move |request| {
        let service = Arc::clone(&service);
        async move {
            let admission = service.admit(&request, peer).expect("no limit");
            Ok::<_, Infallible>(service.respond(request, admission).await)
        }
    }))
    .await
}

/// Sends a request and reads the whole response.
pub async fn send(connection: &mut SendRequest<Empty<Bytes>>, get: Get<'_>) {
    let request = Request::get(get.path)
        .header(header::HOST, "127.0.0.1")
        .header(header::AUTHORIZATION, format!("Bearer {}", get.token))
        .body(Empty::new())
        .expect("a valid request");
    connection.ready().await.expect("an open connection");
    let response: Response<Incoming> = connection.send_request(request).await.expect("a response");
    assert_eq!(response.status(), get.status);
    response.into_body().collect().await.expect("a whole body");
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

/// Returns a runtime on the current thread, which runs both client and server.
pub fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}
