//! Listeners: connections in, limits around them, and a graceful end.

use std::{convert::Infallible, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
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
    /// How long a head may take to arrive, and so how long an HTTP/1.1 connection may idle; and how long the last answers
    /// of a connection that shall close may take.
    pub request: Duration,
    /// How old a connection may grow, give or take a tenth, before its client is asked to make a new one.
    pub age: Duration,
}

/// Serves a listener until `stop` turns true, and then until the last connection has been answered. Dropping the future
/// cuts off what is left.
pub async fn serve(
    listener: TcpListener,
    service: Arc<Service>,
    limits: ConnectionLimits,
    mut stop: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(limits.connections));
    let mut connections = JoinSet::new();
    loop {
        let (stream, peer, place) = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            accepted = accept(&listener, &places) => accepted,
        };
        while connections.try_join_next().is_some() {}
        let open = service.connection();
        let connection = Connection { peer, service: Arc::clone(&service), limits, stop: stop.clone() };
        connections.spawn(async move {
            if let Err(error) = connection.serve(stream).await {
                debug!(%error, "connection ended");
            }
            drop((place, open));
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
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

/// A connection, from its first byte to its last.
struct Connection {
    peer: SocketAddr,
    service: Arc<Service>,
    limits: ConnectionLimits,
    stop: watch::Receiver<bool>,
}

impl Connection {
    async fn serve(mut self, stream: TcpStream) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        // Answers are small and whole: waiting to fill a packet only delays them.
        stream.set_nodelay(true)?;
        let has_begun = Arc::new(Notify::new());
        let (begun, service, peer) = (Arc::clone(&has_begun), self.service, self.peer);
        let answer = service_fn(move |request: hyper::Request<Incoming>| {
            begun.notify_one();
            let service = Arc::clone(&service);
            async move { Ok::<_, Infallible>(service.answer(request, peer).await) }
        });
        let builder = builder(self.limits.request);
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), answer));
        // hyper's timeout for heads begins once it knows the protocol, and nothing limits how long it waits for that.
        let begins_in_time = timeout(self.limits.request, has_begun.notified());
        // The connection comes first: what has arrived before we stop is answered.
        tokio::select! {
            biased;
            outcome = connection.as_mut() => return outcome,
            begun = begins_in_time => begun.map_err(|_| "no request came in time")?,
            _ = self.stop.wait_for(|stop| *stop) => {}
        }
        tokio::select! {
            biased;
            outcome = connection.as_mut() => return outcome,
            _ = self.stop.wait_for(|stop| *stop) => {}
            () = sleep(jittered(self.limits.age)) => {}
        }
        connection.as_mut().graceful_shutdown();
        // A client that does not read what it asked for would stay for ever. One request may just have begun to arrive: it
        // has its time for the head, and then for the answer.
        timeout(2 * self.limits.request, connection).await.map_err(|_| "the client does not take its answers")?
    }
}

/// The duration, give or take a tenth, so that connections made together do not end together.
fn jittered(duration: Duration) -> Duration {
    let random = getrandom::u32().unwrap_or(u32::MAX / 2);
    duration.mul_f64(0.9 + 0.2 * f64::from(random) / f64::from(u32::MAX))
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
