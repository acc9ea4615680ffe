//! What a connection is charged.

use std::sync::Arc;

use super::limits::{MAX_HEAD_BYTES, MAX_HEADER_LIST_BYTES};
use crate::{
    metrics::MemoryUse,
    request_memory::{BudgetExceeded, MemoryShare, Payer, RequestBudget},
};

/// What each connection is charged. After a request over HTTP/1, 12 KiB are resident: a page of each of hyper's two buffers,
/// which have 8 KiB, hyper's state, and the task.
const CONNECTION_BYTES: u64 = 24 * 1024;

/// What a connection with TLS is charged besides: rustls' state, and its buffers for one record of 16 KiB.
const TLS_BYTES: u64 = 28 * 1024;

/// What a connection with HTTP/2 is charged besides: h2's write buffer of 16 KiB, its buffers and tables for HPACK of 4 KiB
/// each, and a few responses to requests that were not admitted. 26 KB are resident when it is idle.
const HTTP2_BYTES: u64 = 32 * 1024;

/// The most that the input of an HTTP/2 connection is charged, until its header table stays empty. h2 keeps paths in its table
/// for HPACK, 107 at most (RFC 7541, section 4.1: each counts 38 bytes of 4096), and each keeps the buffer that it was read
/// into, of up to 16 KiB.
const MAX_HTTP2_INPUT: u64 = 107 * 16 * 1024;

/// What an incomplete header block of HTTP/2 is charged, from its first frame to its last: its decoded text, and the table of its
/// fields. In [`MAX_HEADER_LIST_BYTES`], 1,144 fields of two bytes fit (RFC 9113, section 6.5.2: each counts 32 bytes besides its
/// text); their `HeaderMap` has 1,536 places of 104 bytes and 2,048 indices of 4.
const HEADER_BLOCK_BYTES: u64 = MAX_HEADER_LIST_BYTES as u64 + 1536 * 104 + 2048 * 4;

/// The most that other input is charged.
const MAX_HEAD: u64 = MAX_HEAD_BYTES as u64;

/// The input that is charged at once.
const INPUT_STEP: u64 = 8 * 1024;

/// The memory of a connection.
pub struct ConnectionMemory {
    share: MemoryShare,
    /// The bytes that have arrived, and those that are charged.
    arrived: u64,
    charged: u64,
    /// The most that is charged for input.
    limit: u64,
    /// Whether an incomplete header block is charged.
    has_header_block: bool,
}

impl ConnectionMemory {
    /// Charges a new connection.
    pub fn charge(budget: &Arc<RequestBudget>, payer: Payer, has_tls: bool) -> Result<Self, BudgetExceeded> {
        let bytes = CONNECTION_BYTES + if has_tls { TLS_BYTES } else { 0 };
        let share = budget.charge(payer, MemoryUse::Connection, bytes)?;
        Ok(Self { share, arrived: 0, charged: 0, limit: MAX_HEAD, has_header_block: false })
    }

    /// Charges for HTTP/2.
    pub fn http2_detected(&mut self) -> Result<(), BudgetExceeded> {
        // The other clients of a trusted proxy choose neither its frames nor its table.
        if matches!(self.share.payer(), Payer::Client(_)) {
            self.limit = MAX_HTTP2_INPUT;
        }
        self.share.grow(HTTP2_BYTES)
    }

    /// Gives back what is charged for the header table.
    pub fn header_table_emptied(&mut self) {
        if self.limit == MAX_HEAD {
            return;
        }
        self.limit = MAX_HEAD;
        let freed = self.charged.saturating_sub(MAX_HEAD);
        self.share.shrink(freed);
        self.charged -= freed;
    }

    /// Charges for an incomplete header block, if none is charged.
    pub fn header_block_begun(&mut self) -> Result<(), BudgetExceeded> {
        if !self.has_header_block {
            self.share.grow(HEADER_BLOCK_BYTES)?;
            self.has_header_block = true;
        }
        Ok(())
    }

    /// Gives back what is charged for an incomplete header block.
    pub fn header_block_ended(&mut self) {
        if self.has_header_block {
            self.has_header_block = false;
            self.share.shrink(HEADER_BLOCK_BYTES);
        }
    }

    /// Charges for input: hyper and h2 keep no more than what has arrived.
    pub fn bytes_arrived(&mut self, bytes: usize) -> Result<(), BudgetExceeded> {
        self.arrived = self.arrived.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        let due = self.arrived.min(self.limit);
        if due <= self.charged {
            return Ok(());
        }
        let step = (due - self.charged).next_multiple_of(INPUT_STEP);
        self.share.grow(step)?;
        self.charged += step;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::{
        metrics::{Metrics, RequestMemoryMetrics},
        model::ClientNetwork,
    };

    fn metrics() -> RequestMemoryMetrics {
        Metrics::new("").request_memory
    }

    fn connection(
        payer: fn(ClientNetwork) -> Payer,
        limit: u64,
        metrics: &RequestMemoryMetrics,
    ) -> Result<ConnectionMemory, BudgetExceeded> {
        let budget = Arc::new(RequestBudget::new(limit, metrics.clone()));
        ConnectionMemory::charge(&budget, payer(IpAddr::from(Ipv4Addr::LOCALHOST).into()), false)
    }

    #[test]
    fn input_of_http1_is_charged_up_to_the_largest_head() {
        let metrics = metrics();
        let mut memory = connection(Payer::Client, 1 << 30, &metrics).expect("it fits");

        for _ in 0..1000 {
            memory.bytes_arrived(1000).expect("it fits");
        }

        assert_eq!(metrics.held.get(), (24 + 32) * 1024);
    }

    #[test]
    fn input_of_http2_is_charged_up_to_the_table_of_a_client() {
        for (payer, kibibytes) in [(Payer::Client as fn(_) -> _, 107 * 16), (Payer::TrustedProxy, 32)] {
            let metrics = metrics();
            let mut memory = connection(payer, 1 << 30, &metrics).expect("it fits");
            memory.http2_detected().expect("it fits");

            for _ in 0..1000 {
                memory.bytes_arrived(16 * 1024).expect("it fits");
            }

            assert_eq!(metrics.held.get(), (24 + 32 + kibibytes) * 1024);
        }
    }

    #[test]
    fn empty_header_table_gives_its_charge_back() {
        let metrics = metrics();
        let mut memory = connection(Payer::Client, 1 << 30, &metrics).expect("it fits");
        memory.http2_detected().expect("it fits");
        memory.bytes_arrived(1 << 20).expect("it fits");

        memory.header_table_emptied();
        memory.bytes_arrived(1 << 20).expect("it fits");

        assert_eq!(metrics.held.get(), (24 + 32 + 32) * 1024);
    }

    #[test]
    fn incomplete_header_block_is_charged_once_until_it_ends() {
        let metrics = metrics();
        let mut memory = connection(Payer::TrustedProxy, 1 << 30, &metrics).expect("it fits");

        for _ in 0..2 {
            memory.header_block_begun().expect("it fits");
            assert_eq!(metrics.held.get(), (24 + 38 + 156 + 8) * 1024);
        }
        for _ in 0..2 {
            memory.header_block_ended();
            assert_eq!(metrics.held.get(), 24 * 1024);
        }
    }

    #[test]
    fn input_beyond_the_budget_is_an_error() {
        let metrics = metrics();
        let mut memory = connection(Payer::TrustedProxy, 25 * 1024, &metrics).expect("it fits");

        assert_eq!(memory.bytes_arrived(1), Err(BudgetExceeded));
        assert!(connection(Payer::TrustedProxy, 23 * 1024, &metrics).is_err());
    }
}
