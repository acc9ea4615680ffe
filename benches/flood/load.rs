//! Sends requests at a steady rate, independent of the responses ("open loop"). Each is timed from its planned start, so
//! that a slow server cannot hide its delays by delaying the following requests.

use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    rc::Rc,
    thread,
    time::{Duration, Instant},
};

use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request,
    body::Bytes,
    client::conn::http1::{SendRequest, handshake},
    header,
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, sync::mpsc, task::JoinSet};

/// A request that is sent repeatedly.
pub struct RequestTemplate {
    pub method: &'static str,
    pub path: &'static str,
    pub bearer: String,
    pub body: String,
}

impl RequestTemplate {
    fn request(&self) -> Request<Full<Bytes>> {
        let request = Request::builder().method(self.method).uri(self.path).header(header::HOST, "postern.test");
        let request = match self.bearer.as_str() {
            "" => request,
            token => request.header(header::AUTHORIZATION, format!("Bearer {token}")),
        };
        let request = request.header(header::CONTENT_TYPE, "application/json");
        request.body(Full::from(self.body.clone())).expect("a valid request")
    }
}

/// A response and its time.
pub struct TimedResponse {
    /// The time from the planned start of the request.
    pub duration: Duration,
    pub status: u16,
    pub has_retry_after: bool,
    pub body: Bytes,
}

/// Open connections, each with one request at a time.
pub struct Connections {
    address: SocketAddr,
    idle: RefCell<Vec<SendRequest<Full<Bytes>>>>,
    additional: Cell<usize>,
}

impl Connections {
    /// Opens this number of connections.
    pub async fn open(address: SocketAddr, count: usize) -> Rc<Self> {
        let connections = Self { address, idle: RefCell::default(), additional: Cell::new(0) };
        for _ in 0..count {
            let connection = connections.connect().await;
            connections.idle.borrow_mut().push(connection);
        }
        Rc::new(connections)
    }

    /// Returns the number of connections opened later, because all others waited for a response.
    pub fn additional(&self) -> usize {
        self.additional.get()
    }

    async fn connect(&self) -> SendRequest<Full<Bytes>> {
        let stream = TcpStream::connect(self.address).await.expect("an accepted connection");
        stream.set_nodelay(true).expect("a socket");
        let (sender, connection) = handshake(TokioIo::new(stream)).await.expect("a handshake");
        tokio::task::spawn_local(connection);
        sender
    }

    /// Sends a request and waits for the whole response.
    pub async fn send(&self, template: &RequestTemplate, due: Instant) -> TimedResponse {
        let idle = self.idle.borrow_mut().pop().filter(|connection| !connection.is_closed());
        let mut connection = if let Some(idle) = idle {
            idle
        } else {
            self.additional.set(self.additional.get() + 1);
            self.connect().await
        };
        connection.ready().await.expect("an open connection");
        let (parts, body) = connection.send_request(template.request()).await.expect("a response").into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes();
        let duration = due.elapsed();
        self.idle.borrow_mut().push(connection);
        let has_retry_after = parts.headers.contains_key(header::RETRY_AFTER);
        TimedResponse { duration, status: parts.status.as_u16(), has_retry_after, body }
    }
}

/// Sends these requests in turns, at this rate per second in total and for this long, and waits for every response.
pub async fn drive(
    connections: &Rc<Connections>,
    templates: Vec<RequestTemplate>,
    rate: f64,
    duration: Duration,
) -> Vec<TimedResponse> {
    let templates = Rc::new(templates);
    let (mut starts, mut requests) = (planned_starts(rate, duration), JoinSet::new());
    let mut turn = 0;
    while let Some(due) = starts.recv().await {
        let (connections, templates) = (Rc::clone(connections), Rc::clone(&templates));
        requests.spawn_local(async move { connections.send(&templates[turn % templates.len()], due).await });
        turn += 1;
    }
    requests.join_all().await
}

/// Sends the planned starts of requests, each at its time. Uses a thread, because Tokio's timers have a resolution of one
/// millisecond.
fn planned_starts(rate: f64, duration: Duration) -> mpsc::UnboundedReceiver<Instant> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let interval = Duration::from_secs_f64(1.0 / rate);
    thread::spawn(move || {
        let start = Instant::now();
        let mut due = start;
        while due < start + duration {
            #[expect(clippy::disallowed_methods, reason = "it waits for a time")]
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if sender.send(due).is_err() {
                return;
            }
            due += interval;
        }
    });
    receiver
}
