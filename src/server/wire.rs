//! What lies between a socket and hyper: it tells the protocol, sees to it that hyper reads nothing of HTTP/1 that is not a
//! head to be taken or a body with one end, and tells the connection's [`Watch`] what happens.
//!
//! hyper cannot do this itself: it takes heads with both a length and chunks without a word, its timeout for heads counts
//! the time before them and answers nothing, and what it refuses gets no answer of ours. A head that is not taken is
//! replaced by [`STAND_IN`]; when hyper hands that over, in its turn, the [`Watch`] says what it stands for.

use std::{
    future::poll_fn,
    io::{self, IoSlice},
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    chunks::Chunks,
    frames::{Frames, PREFACE},
    head::{self, Framing, Head},
    watch::Watch,
};
use crate::http::HeadError;

/// How much is read at once.
const READ_BYTES: usize = 4 * 1024;

/// How much is read after the last answer for the client's sake.
const MAX_LINGER_BYTES: usize = 1024 * 1024;

/// What hyper gets in place of a head that is not taken. After it, nothing is passed on.
const STAND_IN: &[u8] = b"REFUSED / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

/// A protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Http1,
    Http2,
}

/// A socket as hyper may see it.
pub struct Wire<IO> {
    io: IO,
    watch: Arc<Watch>,
    /// What has come and was not passed on.
    arrived: Vec<u8>,
    /// How much of it may be passed on.
    passable: usize,
    /// How much of it has been looked at in vain.
    seen: usize,
    reading: Reading,
    has_ended: bool,
    is_blocked: bool,
    /// How much is still read after the end; `None` before that.
    lingering: Option<usize>,
}

/// What comes next.
enum Reading {
    Head,
    Length(u64),
    Chunks(Chunks),
    Frames(Frames),
    /// Nothing that anybody looks at.
    Nothing,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Wire<IO> {
    pub fn new(io: IO, watch: Arc<Watch>) -> Self {
        let (arrived, reading) = (Vec::new(), Reading::Head);
        let (passable, seen) = (0, 0);
        Self { io, watch, arrived, passable, seen, reading, has_ended: false, is_blocked: false, lingering: None }
    }

    /// Which protocol the client speaks, as soon as it cannot be the other one; `None` where it goes before.
    pub async fn protocol(&mut self) -> io::Result<Option<Protocol>> {
        while PREFACE.starts_with(&self.arrived) && self.arrived.len() < PREFACE.len() {
            poll_fn(|context| self.poll_arrive(context)).await?;
            if self.has_ended {
                return Ok(None);
            }
            self.watch.arriving(true);
        }
        if !self.arrived.starts_with(PREFACE) {
            return Ok(Some(Protocol::Http1));
        }
        self.watch.speaks_http2();
        self.reading = Reading::Frames(Frames::new());
        Ok(Some(Protocol::Http2))
    }

    /// Reads what has come.
    fn poll_arrive(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // On the stack: whoever sends nothing holds no memory.
        let mut bytes = [0; READ_BYTES];
        let mut buffer = ReadBuf::new(&mut bytes);
        ready!(Pin::new(&mut self.io).poll_read(context, &mut buffer))?;
        self.has_ended = buffer.filled().is_empty();
        self.arrived.extend_from_slice(buffer.filled());
        Poll::Ready(Ok(()))
    }

    /// Finds out how much of what has come may be passed on.
    fn judge(&mut self) -> io::Result<()> {
        match &mut self.reading {
            Reading::Head => self.judge_head(),
            Reading::Length(left) => {
                self.passable = usize::try_from(*left).unwrap_or(usize::MAX).min(self.arrived.len());
                *left -= u64::try_from(self.passable).unwrap_or(*left);
                if *left == 0 {
                    self.reading = Reading::Head;
                }
            }
            Reading::Chunks(chunks) => {
                self.passable = chunks.take(&self.arrived).map_err(invalid)?;
                if chunks.has_ended() {
                    self.reading = Reading::Head;
                }
            }
            Reading::Frames(frames) => {
                frames.look_at(&self.arrived).map_err(invalid)?;
                self.watch.arriving(frames.is_within());
                self.passable = self.arrived.len();
            }
            Reading::Nothing => {}
        }
        Ok(())
    }

    fn judge_head(&mut self) {
        if self.watch.is_late() {
            return self.refuse(HeadError::TooSlow);
        }
        if self.arrived.is_empty() {
            return;
        }
        let new = &self.arrived[self.seen..];
        // Looked at from its beginning only where that may tell more: a client may send a byte at a time.
        if self.seen > 0 && !new.contains(&b'\n') && self.arrived.len() < head::MAX_HEAD_BYTES {
            self.seen = self.arrived.len();
            return;
        }
        match head::read(&self.arrived) {
            Ok(None) => {
                self.seen = self.arrived.len();
                self.watch.arriving(true);
            }
            Ok(Some(Head { length, framing })) => {
                (self.passable, self.seen) = (length, 0);
                self.reading = match framing {
                    Framing::Length(0) => Reading::Head,
                    Framing::Length(length) => Reading::Length(length),
                    Framing::Chunked => Reading::Chunks(Chunks::new()),
                };
                self.watch.head(None);
            }
            Err(bad) => self.refuse(bad),
        }
    }

    fn refuse(&mut self, bad: HeadError) {
        self.arrived = STAND_IN.to_vec();
        self.passable = STAND_IN.len();
        self.reading = Reading::Nothing;
        self.watch.head(Some(bad));
    }

    /// Whether the client may be sending what nobody reads. Over HTTP/2 it always may: that it has taken an answer, for one,
    /// and what it is told on its way out.
    fn has_more_to_come(&self) -> bool {
        !self.has_ended && (!matches!(self.reading, Reading::Head) || !self.arrived.is_empty())
    }

    /// Notes whether the client takes what is written.
    fn noted<T>(&mut self, written: Poll<T>) -> Poll<T> {
        if written.is_pending() != self.is_blocked {
            self.is_blocked = written.is_pending();
            self.watch.blocked(self.is_blocked);
        }
        written
    }
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncRead for Wire<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let wire = &mut *self;
        loop {
            if wire.passable == 0 {
                wire.judge()?;
            }
            if wire.passable > 0 {
                let passed = wire.passable.min(buffer.remaining());
                buffer.put_slice(&wire.arrived[..passed]);
                wire.passable -= passed;
                wire.arrived.drain(..passed);
                if wire.arrived.is_empty() {
                    drop(mem::take(&mut wire.arrived));
                }
                return Poll::Ready(Ok(()));
            }
            // The end would have hyper give up what is under way: it ends the connection itself, once that is answered.
            if matches!(wire.reading, Reading::Nothing) {
                return Poll::Pending;
            }
            ready!(wire.poll_arrive(context))?;
            if wire.has_ended {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wire<IO> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(context, bytes);
        self.noted(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(context, bytes);
        self.noted(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(context);
        self.noted(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingering.is_none() {
            ready!(Pin::new(&mut self.io).poll_shutdown(context))?;
            self.lingering = Some(if self.has_more_to_come() { MAX_LINGER_BYTES } else { 0 });
            self.watch.linger();
        }
        while let Some(left @ 1..) = self.lingering {
            self.arrived.clear();
            // A client that resets the connection now has gone as well.
            let has_gone = ready!(self.poll_arrive(context)).is_err() || self.has_ended;
            self.lingering = Some(if has_gone { 0 } else { left.saturating_sub(self.arrived.len()) });
        }
        Poll::Ready(Ok(()))
    }
}
