//! Listeners: connections in, limits around them, and a graceful end.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, OwnedSemaphorePermit, Semaphore, watch},
    time::{sleep, timeout},
};
use tracing::{debug, warn};

use crate::http::Service;

/// How long to wait after an accept that failed for want of something: of files, most likely.
const ACCEPT_BACK_OFF: Duration = Duration::from_millis(100);

/// The largest head of a request, in bytes.
const MAX_HEAD_BYTES: usize = 32 * 1024;

/// The most headers of a request.
const MAX_HEADERS: usize = 64;

/// Limits on connections.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    /// How many connections may be open at once; the next one waits to be accepted.
    pub connections: usize,
    /// How long a head may take to arrive, and so how long a connection may idle.
    pub head: Duration,
}

/// Serves a listener until `stop` turns true, and then until the last connection has been answered. Dropping the future
/// cuts off what is left.
pub async fn serve(
    listener: TcpListener,
    service: Arc<Service>,
    limits: ConnectionLimits,
    mut stop: watch::Receiver<bool>,
) {
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(limits.connections));
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (stream, peer, place) = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            accepted = accept(&listener, &places) => accepted,
        };
        while connections.try_join_next().is_some() {}
        let (service, watcher) = (Arc::clone(&service), graceful.watcher());
        connections.spawn(async move {
            let outcome = connection(stream, peer, service, limits.head, watcher).await;
            if let Err(error) = outcome {
                debug!(%error, "connection ended");
            }
            drop(place);
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

/// The next connection, once there is a place for it.
async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    let place = Arc::clone(places).acquire_owned().await;
    let place = place.unwrap_or_else(|_| unreachable!("the semaphore is never closed"));
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return (stream, peer, place),
            // The client has gone already: the next one may be waiting.
            Err(error) if is_of_the_connection(&error) => {}
            Err(error) => {
                warn!(%error, "connections cannot be accepted");
                sleep(ACCEPT_BACK_OFF).await;
            }
        }
    }
}

fn is_of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    service: Arc<Service>,
    head_timeout: Duration,
    watcher: hyper_util::server::graceful::Watcher,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    // Answers are small and whole: waiting to fill a packet only delays them.
    stream.set_nodelay(true)?;
    let has_begun = Arc::new(Notify::new());
    let begun = Arc::clone(&has_begun);
    let answer = service_fn(move |request: hyper::Request<Incoming>| {
        begun.notify_one();
        let service = Arc::clone(&service);
        async move { Ok::<_, Infallible>(service.answer(request, peer).await) }
    });
    let builder = builder(head_timeout);
    let connection = watcher.watch(builder.serve_connection(TokioIo::new(stream), answer).into_owned());
    tokio::pin!(connection);
    // hyper's timeout for heads begins once it knows the protocol, and nothing limits how long it waits to learn that.
    let first_request = timeout(head_timeout, has_begun.notified());
    tokio::select! {
        outcome = &mut connection => return outcome,
        begun = first_request => begun.map_err(|_| "no request came in time")?,
    }
    connection.await
}

fn builder(head_timeout: Duration) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        // Without a timer, hyper's timeouts do nothing.
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(30))
        // No body is larger than 16 KiB: more room would only be held for those who fill it.
        .initial_stream_window_size(64 * 1024)
        .initial_connection_window_size(1024 * 1024)
        .max_concurrent_streams(100)
        .max_header_list_size(16 * 1024);
    builder
}
