//! The memory of pages.

use serde::Serialize;

use crate::http::{context::Context, error::ApiError, response::JsonText};

/// What a user takes on a page, at most: as a value, whose name has up to 255 characters of 4 bytes, and twice as JSON.
pub const USER_BYTES: u64 = 5 * 1024;

/// What an audit event takes on a page, at most: as a value, whose texts have a few hundred bytes, and twice as JSON.
pub const EVENT_BYTES: u64 = 3 * 1024;

/// What a session takes in a list, at most: as a value, as the texts of its fields, and twice as JSON.
pub const SESSION_BYTES: u64 = 2 * 1024;

/// What an hour of statistics takes, at most: as counts, which grow by doubling, and twice as JSON.
pub const HOUR_BYTES: u64 = 1024;

/// The memory of a page, charged to the request before the page is read.
pub struct PageMemory<'request> {
    context: &'request Context,
    bytes: u64,
}

impl<'request> PageMemory<'request> {
    /// Charges the request for a page of this many items, each of at most `item_bytes`.
    ///
    /// # Errors
    /// Returns [`ApiError::MemoryExhausted`] if the memory of requests is used up.
    pub fn reserve(context: &'request Context, items: usize, item_bytes: u64) -> Result<Self, ApiError> {
        let bytes = u64::try_from(items).unwrap_or(u64::MAX).saturating_mul(item_bytes);
        context.state.memory.grow_for_response(bytes)?;
        Ok(Self { context, bytes })
    }

    /// Returns the page as JSON, and gives back all but the memory of this text.
    pub fn json(self, page: &impl Serialize) -> JsonText {
        let mut text = serde_json::to_vec(page).unwrap_or_else(|_| unreachable!("all views are structs of text"));
        text.shrink_to_fit();
        let held = u64::try_from(text.len()).unwrap_or(u64::MAX);
        self.context.state.memory.shrink(self.bytes.saturating_sub(held));
        JsonText(text)
    }

    /// Gives back the memory, if the response contains no item.
    pub fn release(self) {
        self.context.state.memory.shrink(self.bytes);
    }
}
