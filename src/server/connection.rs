//! Serves one connection: TLS handshake, protocol, requests, close.

use std::{
    convert::Infallible,
    future::ready,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http_body_util::Full;
use hyper::{
    Request, Response, Version,
    body::{Body, Bytes, Frame, Incoming, SizeHint},
    header::{self, HeaderValue},
    server::conn::{http1, http2},
    service::{HttpService, service_fn},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::watch::Receiver,
    time::{sleep, timeout},
};

use super::{
    activity::{CloseReason, ConnectionActivity, InFlight},
    limits::{ConnectionLimits, MAX_CONCURRENT_STREAMS, MAX_HEAD_BYTES, MAX_HEADER_LINES, MAX_HEADER_LIST_BYTES},
    memory::ConnectionMemory,
    request_head::{self, HeadError},
    shutdown::Phase,
    slots::ConnectionSlots,
    stream::{Protocol, TrackedStream},
    tls::Tls,
};
use crate::{
    clock::jittered,
    http::{RequestState, Service},
    request_memory::Payer,
};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A connection that has been accepted.
pub struct Connection {
    pub peer: SocketAddr,
    pub service: Arc<Service>,
    pub limits: ConnectionLimits,
    pub phase: Receiver<Phase>,
    pub activity: Arc<ConnectionActivity>,
    pub slots: Arc<ConnectionSlots>,
}

impl Connection {
    /// Serves the connection until it is closed.
    pub async fn serve(
        &self,
        stream: TcpStream,
        tls: Option<Arc<Tls>>,
        memory: ConnectionMemory,
    ) -> Result<(), BoxError> {
        // Responses are small and written whole; Nagle's algorithm would only delay them.
        stream.set_nodelay(true)?;
        match tls {
            None => self.serve_on(stream, memory).await,
            // In a box of its own, as below: otherwise every connection has the size of the largest one, TLS with HTTP/2.
            Some(tls) => Box::pin(self.serve_encrypted(stream, tls, memory)).await,
        }
    }

    async fn serve_encrypted(
        &self,
        stream: TcpStream,
        tls: Arc<Tls>,
        memory: ConnectionMemory,
    ) -> Result<(), BoxError> {
        let stream = {
            let mut handshake = pin!(tls.acceptor().accept(stream));
            self.activity.run_until_deadline(handshake.as_mut()).await??
        };
        self.activity.handshake_done();
        Box::pin(self.serve_on(stream, memory)).await
    }

    async fn serve_on(
        &self,
        io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        memory: ConnectionMemory,
    ) -> Result<(), BoxError> {
        let mut stream = TrackedStream::new(io, Arc::clone(&self.activity), memory);
        let protocol = {
            let detection = pin!(stream.detect_protocol());
            tokio::select! {
                // Bytes that have arrived before the shutdown signal are served.
                biased;
                protocol = self.activity.run_until_deadline(detection) => protocol??,
                () = self.shutdown_signal() => None,
            }
        };
        let (io, service) = (TokioIo::new(stream), service_fn(self.responder()));
        match protocol {
            None => Ok(()),
            Some(Protocol::Http1) => self.drive(Box::pin(http1().serve_connection(io, service))).await,
            Some(Protocol::Http2) => Box::pin(self.drive(Box::pin(http2().serve_connection(io, service)))).await,
        }
    }

    /// Returns the function that responds to each request.
    fn responder(&self) -> impl Fn(Request<Incoming>) -> ResponseFuture + use<> {
        let (activity, service, peer) = (Arc::clone(&self.activity), Arc::clone(&self.service), self.peer);
        let (slots, payer) = (Arc::clone(&self.slots), self.service.payer(self.peer.ip()));
        move |request| {
            let mut in_flight = activity.request_started();
            let is_http2 = request.version() == Version::HTTP_2;
            slots.relieve_memory(payer);
            // Charged before the task of the request is allocated.
            let outcome = match service.admit(&request, peer) {
                Ok(admission) => match request_head::check(&request) {
                    Ok(()) => Ok((request, admission)),
                    Err(error) => Err((reject_head(&service, &request, error), Some(admission.state()))),
                },
                // A reset frees the memory of the stream at once. The connections of a trusted proxy are few, and carry the
                // requests of other clients.
                Err(_) if matches!(payer, Payer::Client(_)) && in_flight.rejected() => {
                    return Box::pin(ready(Err(h2::Reason::REFUSED_STREAM.into())));
                }
                Err(_) => Err((service.reject_unadmitted(&request), None)),
            };
            let service = Arc::clone(&service);
            Box::pin(async move {
                let (mut response, state) = match outcome {
                    Ok((request, admission)) => {
                        let state = admission.state();
                        (service.respond(request, admission).await, Some(state))
                    }
                    Err(rejection) => rejection,
                };
                in_flight.responded();
                if response.body().is_end_stream() {
                    in_flight.completed();
                }
                if !is_http2 && in_flight.is_last() {
                    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                }
                Ok(response.map(|body| TrackedBody { body, in_flight, _state: state }))
            })
        }
    }

    /// Drives hyper's connection until it is closed: by the client, a deadline, its age or a shutdown.
    async fn drive(&self, mut connection: Pin<Box<impl HyperConnection>>) -> Result<(), BoxError> {
        let supports_goaway = connection.supports_goaway();
        // Connections that were opened together do not close together.
        let max_age = jittered(self.limits.max_age);
        tokio::select! {
            biased;
            () = Phase::Draining.reached(&self.phase) => {}
            outcome = self.activity.run_until_deadline(connection.as_mut()) => match outcome {
                Err(CloseReason::Idle) if supports_goaway => self.activity.close_when_idle(),
                outcome => return Ok(outcome??),
            },
            () = sleep(max_age) => {}
        }
        self.activity.close_after_response();
        tokio::select! {
            // Requests that have arrived before the shutdown signal are served.
            biased;
            outcome = self.activity.run_until_deadline(connection.as_mut()) => return Ok(outcome??),
            // GOAWAY loses no request, but a client that connects during a drain gets its first response.
            () = self.activity.first_request(), if supports_goaway => {}
            () = self.shutdown_signal() => {}
        }
        self.activity.close_when_idle();
        connection.as_mut().graceful_shutdown();
        let last_requests = self.activity.run_until_deadline(connection.as_mut());
        let limit = 2 * self.limits.timeouts.request;
        Ok(timeout(limit, last_requests).await.map_err(|_| CloseReason::Stalled)???)
    }

    /// Waits until the server is closing and this connection is idle. HTTP/1 cannot announce the close of an idle
    /// connection, and a request that crosses it is lost.
    async fn shutdown_signal(&self) {
        Phase::Closing.reached(&self.phase).await;
        self.activity.idle().await;
    }
}

fn reject_head(service: &Service, request: &Request<Incoming>, error: HeadError) -> Response<Full<Bytes>> {
    match error {
        HeadError::Malformed => service.reject_malformed(request),
        HeadError::TooLarge => service.reject_too_large(request),
    }
}

type ResponseFuture = Pin<Box<dyn Future<Output = Result<Response<TrackedBody>, h2::Error>> + Send>>;

/// A response body. Its request is in flight, and holds its memory, until hyper has taken the whole body; over HTTP/2, the
/// client's flow-control window delays that.
struct TrackedBody {
    body: Full<Bytes>,
    in_flight: InFlight,
    _state: Option<Arc<RequestState>>,
}

impl Body for TrackedBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if polled.is_ready() {
            self.in_flight.completed();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A connection of hyper, over either protocol.
trait HyperConnection: Future<Output = hyper::Result<()>> {
    /// Returns whether the protocol can announce that no further request will be served.
    fn supports_goaway(&self) -> bool;

    /// Closes the connection after the responses to the requests in flight.
    fn graceful_shutdown(self: Pin<&mut Self>);
}

impl<IO, S> HyperConnection for http1::Connection<IO, S>
where
    IO: hyper::rt::Read + hyper::rt::Write + Unpin,
    S: HttpService<Incoming, ResBody = TrackedBody>,
    S::Error: Into<BoxError>,
{
    fn supports_goaway(&self) -> bool {
        false
    }

    fn graceful_shutdown(self: Pin<&mut Self>) {
        http1::Connection::graceful_shutdown(self);
    }
}

impl<IO, S> HyperConnection for http2::Connection<IO, S, TokioExecutor>
where
    IO: hyper::rt::Read + hyper::rt::Write + Unpin,
    S: HttpService<Incoming, ResBody = TrackedBody>,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
{
    fn supports_goaway(&self) -> bool {
        true
    }

    fn graceful_shutdown(self: Pin<&mut Self>) {
        http2::Connection::graceful_shutdown(self);
    }
}

fn http1() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADER_LINES)
        // hyper would also count the idle time before a head; `ConnectionActivity` times heads.
        .header_read_timeout(None);
    builder
}

/// Creates the builder. `server::memory` charges for what it lets a client fill.
fn http2() -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        // Ends a connection whose client is silent within a frame or a header block, too.
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(10))
        .max_concurrent_streams(MAX_CONCURRENT_STREAMS)
        // The most bytes of a request body. Bodies are read as they arrive: the connection's window, the least that HTTP/2
        // allows, only limits what h2 holds until the tasks of the streams run.
        .initial_stream_window_size(16 * 1024)
        .initial_connection_window_size(64 * 1024 - 1)
        .max_send_buf_size(16 * 1024)
        // Each path in the table keeps the buffer that it was read into. `FrameWatch` reports when the client complies.
        .header_table_size(0)
        .max_header_list_size(MAX_HEADER_LIST_BYTES)
        // Streams that the client resets before hyper accepts them, and streams that h2 resets for errors of the client.
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(128);
    builder
}
