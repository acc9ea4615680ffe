//! The byte stream under hyper. It detects the protocol, reports to the connection's [`ConnectionActivity`], and lingers
//! before it closes. It changes no byte.

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
    activity::ConnectionActivity,
    frame_watch::{FrameWatch, PREFACE},
    limits::MAX_CONCURRENT_STREAMS,
    memory::ConnectionMemory,
};

const READ_BYTES: usize = 4 * 1024;

/// The most bytes that are read before other tasks run: those that take the bodies from h2, which holds 250 bytes for each
/// frame; and before h2 hands over the requests that it has decoded, which it holds at up to 200 KB each.
const MAX_READ_AT_ONCE: usize = 16 * 1024;

/// The most bytes that are read and discarded after the last response.
const MAX_LINGER_BYTES: usize = 1024 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Http1,
    Http2,
}

pub struct TrackedStream<IO> {
    io: IO,
    activity: Arc<ConnectionActivity>,
    memory: ConnectionMemory,
    /// `None` over HTTP/1.
    frames: Option<FrameWatch>,
    /// Bytes that were read since the stream last yielded.
    read_at_once: usize,
    /// How many more reads yield. hyper reads once before it takes each request from h2: a read for each decoded request lets
    /// it take all of them before more input, or a failure, arrives.
    yields: u32,
    /// Why the next read that does not yield fails.
    failure: Option<io::Error>,
    /// Input that was read to detect the protocol, and that hyper has not read yet.
    prefix: Vec<u8>,
    is_read_closed: bool,
    is_write_blocked: bool,
    /// How many bytes to read and discard before the stream is closed; `None` before its write side is.
    linger_bytes: Option<usize>,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> TrackedStream<IO> {
    pub fn new(io: IO, activity: Arc<ConnectionActivity>, memory: ConnectionMemory) -> Self {
        Self {
            io,
            activity,
            memory,
            frames: None,
            read_at_once: 0,
            yields: 0,
            failure: None,
            prefix: Vec::new(),
            is_read_closed: false,
            is_write_blocked: false,
            linger_bytes: None,
        }
    }

    /// Reads until the input is, or cannot be, the preface of HTTP/2. Returns `None` if the client closes before that.
    pub async fn detect_protocol(&mut self) -> io::Result<Option<Protocol>> {
        while PREFACE.starts_with(&self.prefix) && self.prefix.len() < PREFACE.len() {
            poll_fn(|context| self.poll_fill_prefix(context)).await?;
            if self.is_read_closed {
                return Ok(None);
            }
            self.activity.bytes_arrived();
        }
        if !self.prefix.starts_with(PREFACE) {
            return Ok(Some(Protocol::Http1));
        }
        self.memory.http2_detected().map_err(io::Error::other)?;
        self.activity.http2_detected();
        self.frames = Some(FrameWatch::new());
        Ok(Some(Protocol::Http2))
    }

    fn poll_fill_prefix(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // On the stack, so that a silent connection holds no buffer.
        let mut bytes = [0; READ_BYTES];
        let mut buffer = ReadBuf::new(&mut bytes);
        ready!(Pin::new(&mut self.io).poll_read(context, &mut buffer))?;
        self.is_read_closed = buffer.filled().is_empty();
        self.prefix.extend_from_slice(buffer.filled());
        Poll::Ready(Ok(()))
    }

    /// Charges for input.
    fn charge(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.memory.bytes_arrived(bytes.len()).map_err(io::Error::other)?;
        self.activity.bytes_arrived();
        self.watch_frames(bytes)
    }

    /// Returns how many header blocks have arrived since the stream last yielded.
    fn take_heads(&mut self) -> u32 {
        self.frames.as_mut().map_or(0, FrameWatch::take_heads)
    }

    /// Yields this read, and one more for each request that h2 may have decoded.
    fn yield_to_requests<T>(&mut self, context: &Context<'_>) -> Poll<T> {
        self.read_at_once = 0;
        self.yields = self.take_heads().min(MAX_CONCURRENT_STREAMS);
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Charges for what HTTP/2 holds from here on.
    fn watch_frames(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(frames) = &mut self.frames else { return Ok(()) };
        frames.bytes_arrived(bytes);
        if frames.is_table_empty() {
            self.memory.header_table_emptied();
        }
        if frames.has_incomplete_block() {
            return self.memory.header_block_begun().map_err(io::Error::other);
        }
        self.memory.header_block_ended();
        Ok(())
    }

    /// Reports whether the client reads, if that has changed.
    fn track_write<T>(&mut self, written: Poll<T>) -> Poll<T> {
        if written.is_pending() != self.is_write_blocked {
            self.is_write_blocked = written.is_pending();
            if self.is_write_blocked {
                self.activity.write_blocked();
            } else {
                self.activity.write_resumed();
            }
        }
        written
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncRead for TrackedStream<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.prefix.is_empty() {
            let length = self.prefix.len().min(buffer.remaining());
            let before = buffer.filled().len();
            buffer.put_slice(&self.prefix[..length]);
            self.prefix.drain(..length);
            self.watch_frames(&buffer.filled()[before..])?;
            if self.prefix.is_empty() {
                drop(mem::take(&mut self.prefix));
            }
            return Poll::Ready(Ok(()));
        }
        if self.yields > 0 {
            self.yields -= 1;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if let Some(failure) = self.failure.take() {
            return Poll::Ready(Err(failure));
        }
        if self.read_at_once >= MAX_READ_AT_ONCE {
            return self.yield_to_requests(context);
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.io).poll_read(context, buffer);
        if read.is_pending() {
            self.read_at_once = 0;
            self.take_heads();
        }
        ready!(read)?;
        let length = buffer.filled().len() - before;
        if length > 0 {
            self.read_at_once += length;
            if let Err(failure) = self.charge(&buffer.filled()[before..]) {
                buffer.set_filled(before);
                self.failure = Some(failure);
                return self.yield_to_requests(context);
            }
        } else if buffer.remaining() > 0 {
            self.is_read_closed = true;
        }
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TrackedStream<IO> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(context, bytes);
        self.track_write(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(context, bytes);
        self.track_write(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(context);
        self.track_write(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.linger_bytes.is_none() {
            ready!(Pin::new(&mut self.io).poll_shutdown(context))?;
            self.linger_bytes = Some(if self.is_read_closed { 0 } else { MAX_LINGER_BYTES });
            self.activity.lingering();
        }
        while let Some(left @ 1..) = self.linger_bytes {
            self.prefix.clear();
            // A client that resets the connection now has closed it as well.
            let is_closed = ready!(self.poll_fill_prefix(context)).is_err() || self.is_read_closed;
            self.linger_bytes = Some(if is_closed { 0 } else { left.saturating_sub(self.prefix.len()) });
        }
        Poll::Ready(Ok(()))
    }
}
