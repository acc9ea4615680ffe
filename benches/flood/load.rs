//! Requests at a steady rate, whatever becomes of them ("open loop"): each is timed from when it was due, not from when it
//! could be sent, so that a server which keeps its callers waiting does not slow down what would have found it out.

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

/// What is asked, again and again.
pub struct Question {
    pub method: &'static str,
    pub path: &'static str,
    pub bearer: String,
    pub body: String,
}

impl Question {
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

/// What came back.
pub struct Answer {
    /// From when the request was due.
    pub took: Duration,
    pub status: u16,
    pub has_retry_after: bool,
    pub body: Bytes,
}

/// Connections that stay open, each for one request at a time.
pub struct Connections {
    address: SocketAddr,
    free: RefCell<Vec<SendRequest<Full<Bytes>>>>,
    /// How many have been made beyond those of the start.
    made_later: Cell<usize>,
}

impl Connections {
    /// So many connections, made beforehand.
    pub async fn open(address: SocketAddr, count: usize) -> Rc<Self> {
        let connections = Self { address, free: RefCell::default(), made_later: Cell::new(0) };
        for _ in 0..count {
            let connection = connections.connect().await;
            connections.free.borrow_mut().push(connection);
        }
        Rc::new(connections)
    }

    /// How many have been made beyond those of the start, because all of them were waiting for an answer.
    pub fn made_later(&self) -> usize {
        self.made_later.get()
    }

    async fn connect(&self) -> SendRequest<Full<Bytes>> {
        let stream = TcpStream::connect(self.address).await.expect("it accepts");
        stream.set_nodelay(true).expect("a socket");
        let (sender, connection) = handshake(TokioIo::new(stream)).await.expect("it speaks HTTP");
        tokio::task::spawn_local(connection);
        sender
    }

    /// Asks, and waits for the whole answer.
    pub async fn ask(&self, question: &Question, due: Instant) -> Answer {
        let free = self.free.borrow_mut().pop().filter(|connection| !connection.is_closed());
        let mut connection = if let Some(free) = free {
            free
        } else {
            self.made_later.set(self.made_later.get() + 1);
            self.connect().await
        };
        connection.ready().await.expect("an open connection");
        let (parts, body) = connection.send_request(question.request()).await.expect("an answer").into_parts();
        let body = body.collect().await.expect("a whole answer").to_bytes();
        let took = due.elapsed();
        self.free.borrow_mut().push(connection);
        let has_retry_after = parts.headers.contains_key(header::RETRY_AFTER);
        Answer { took, status: parts.status.as_u16(), has_retry_after, body }
    }
}

/// Asks these questions in turns, so many a second in all and for so long, and waits for every answer.
pub async fn drive(
    connections: &Rc<Connections>,
    questions: Vec<Question>,
    rate: f64,
    duration: Duration,
) -> Vec<Answer> {
    let questions = Rc::new(questions);
    let (mut due, mut asking) = (beats(rate, duration), JoinSet::new());
    let mut turn = 0;
    while let Some(due) = due.recv().await {
        let (connections, questions) = (Rc::clone(connections), Rc::clone(&questions));
        asking.spawn_local(async move { connections.ask(&questions[turn % questions.len()], due).await });
        turn += 1;
    }
    asking.join_all().await
}

/// The times at which requests are due, each told when it has come: by a thread, because the timers of tokio are a
/// millisecond wide.
fn beats(rate: f64, duration: Duration) -> mpsc::UnboundedReceiver<Instant> {
    let (beat, beats) = mpsc::unbounded_channel();
    let interval = Duration::from_secs_f64(1.0 / rate);
    thread::spawn(move || {
        let start = Instant::now();
        let mut due = start;
        while due < start + duration {
            #[expect(clippy::disallowed_methods, reason = "time is what is waited for")]
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if beat.send(due).is_err() {
                return;
            }
            due += interval;
        }
    });
    beats
}
