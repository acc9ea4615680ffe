//! A connection, from its first byte to its last.

use std::{
    convert::Infallible,
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
    ConnectionLimits, Phase,
    head::{MAX_HEAD_BYTES, MAX_HEADERS, check_http2},
    patience::Over,
    tls::Tls,
    watch::{UnderWay, Watch},
    wire::{Protocol, Wire},
};
use crate::{
    clock::jittered,
    http::{HeadError, Service},
};

type ExitError = Box<dyn std::error::Error + Send + Sync>;

/// A connection that has been accepted.
pub struct Connection {
    pub peer: SocketAddr,
    pub service: Arc<Service>,
    pub limits: ConnectionLimits,
    pub phase: Receiver<Phase>,
    pub watch: Arc<Watch>,
}

impl Connection {
    /// Serves it to its end.
    pub async fn serve(self, stream: TcpStream, tls: Option<Arc<Tls>>) -> Result<(), ExitError> {
        // Answers are small and whole: waiting to fill a packet only delays them.
        stream.set_nodelay(true)?;
        let Some(tls) = tls else { return self.serve_on(stream).await };
        let handshake = pin!(tls.acceptor().accept(stream));
        let stream = self.watch.attend(handshake).await??;
        self.watch.shook_hands();
        self.serve_on(stream).await
    }

    async fn serve_on(self, io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<(), ExitError> {
        let mut wire = Wire::new(io, Arc::clone(&self.watch));
        let protocol = {
            let reading = pin!(wire.protocol());
            // What has arrived comes first: it is answered even where we stop.
            tokio::select! {
                biased;
                protocol = self.watch.attend(reading) => protocol??,
                () = self.dismissal() => None,
            }
        };
        let service = service_fn(self.answers());
        match protocol {
            None => Ok(()),
            Some(Protocol::Http1) => self.see_through(http1().serve_connection(TokioIo::new(wire), service)).await,
            Some(Protocol::Http2) => self.see_through(http2().serve_connection(TokioIo::new(wire), service)).await,
        }
    }

    /// Answers each request that hyper hands over.
    fn answers(&self) -> impl Fn(Request<Incoming>) -> Answering + use<> {
        let (watch, service, peer) = (Arc::clone(&self.watch), Arc::clone(&self.service), self.peer);
        move |request| {
            let (under_way, bad) = watch.request();
            let service = Arc::clone(&service);
            Box::pin(async move {
                let has_farewell = request.version() == Version::HTTP_2;
                let mut response = match bad.or_else(|| bad_http2(&request)) {
                    Some(bad) => service.reject(&request, bad),
                    None => service.respond(request, peer).await,
                };
                if !has_farewell && under_way.is_last() {
                    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                }
                Ok(response.map(|body| Answer { body, _under_way: under_way }))
            })
        }
    }

    async fn see_through(self, conversation: impl Conversation) -> Result<(), ExitError> {
        let mut conversation = pin!(conversation);
        // Those that were made together do not end together.
        let age = jittered(self.limits.age);
        tokio::select! {
            biased;
            () = self.reached(Phase::Leaving) => {}
            outcome = self.watch.attend(conversation.as_mut()) => match outcome {
                // Over HTTP/2 there is a way to say so.
                Err(Over::Idle) if conversation.can_say_goodbye() => self.watch.leave(),
                outcome => return Ok(outcome??),
            },
            () = sleep(age) => {}
        }
        self.watch.part();
        let can_say_goodbye = conversation.can_say_goodbye();
        tokio::select! {
            biased;
            // What has arrived comes first.
            outcome = self.watch.attend(conversation.as_mut()) => return Ok(outcome??),
            // Whoever has been answered once has got what they came for, and loses nothing by being told.
            () = self.watch.asked(), if can_say_goodbye => {}
            () = self.dismissal() => {}
        }
        self.watch.leave();
        conversation.as_mut().say_goodbye();
        let last = self.watch.attend(conversation);
        Ok(timeout(2 * self.limits.patience.request, last).await.map_err(|_| Over::Stalled)???)
    }

    /// Until the server stops and no request seems to be on its way. Over HTTP/1 nothing tells a client that a connection
    /// which idles is about to be closed, and what it sends meanwhile is lost.
    async fn dismissal(&self) {
        self.reached(Phase::Closing).await;
        self.watch.quiet().await;
    }

    async fn reached(&self, phase: Phase) {
        phase.reached(&self.phase).await;
    }
}

type Answering = Pin<Box<dyn Future<Output = Result<Response<Answer>, Infallible>> + Send>>;

/// What is not to be taken though HTTP/2 has it.
fn bad_http2(request: &Request<Incoming>) -> Option<HeadError> {
    (request.version() == Version::HTTP_2).then(|| check_http2(request).err()).flatten()
}

/// The body of an answer: its request is under way until hyper has taken it all, and over HTTP/2 that is when the client's
/// window lets it.
struct Answer {
    body: Full<Bytes>,
    _under_way: UnderWay,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A connection of either protocol.
trait Conversation: Future<Output = hyper::Result<()>> {
    /// Whether the client can be told that no request will be answered any more.
    fn can_say_goodbye(&self) -> bool;

    /// Answers what is under way, and ends.
    fn say_goodbye(self: Pin<&mut Self>);
}

impl<IO, S> Conversation for http1::Connection<IO, S>
where
    IO: hyper::rt::Read + hyper::rt::Write + Unpin,
    S: HttpService<Incoming, ResBody = Answer>,
    S::Error: Into<ExitError>,
{
    fn can_say_goodbye(&self) -> bool {
        false
    }

    fn say_goodbye(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<IO, S> Conversation for http2::Connection<IO, S, TokioExecutor>
where
    IO: hyper::rt::Read + hyper::rt::Write + Unpin,
    S: HttpService<Incoming, ResBody = Answer>,
    S::Future: Send + 'static,
    S::Error: Into<ExitError>,
{
    fn can_say_goodbye(&self) -> bool {
        true
    }

    fn say_goodbye(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// hyper has no time to watch here: the [`Wire`] lets it see heads that are whole.
fn http1() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(MAX_HEAD_BYTES).max_headers(MAX_HEADERS);
    builder
}

/// Envoy's advice for the edge, where it has one (100 streams, 64 KiB and 1 MiB of window).
fn http2() -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(10))
        .max_concurrent_streams(100)
        // No body is larger than 16 KiB: more room would only be held for those who fill it.
        .initial_stream_window_size(64 * 1024)
        .initial_connection_window_size(1024 * 1024)
        .max_send_buf_size(64 * 1024)
        .max_header_list_size(16 * 1024)
        // Streams that the client resets before they are looked at, and those that we reset for its mistakes.
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(128);
    builder
}
