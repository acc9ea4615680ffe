//! Imports users of Django.
//!
//! ```text
//! source ─▶ rows as text ─▶ users or refusals ─▶ staging table ─▶ decisions ─▶ merges ─▶ map and report
//! ```
//!
//! - A **source** (`source.rs`) is a database, a dump or a CSV file. It is read row by row, so that the memory does not depend on
//!   the number of users; only the addresses of allauth in a dump are kept, in 16 bytes each.
//! - A **row** becomes a user, or is refused (`mapping.rs`). A row that is refused never stops the others.
//! - The **store** ([`crate::store::UserImport`]) decides which users are new, and inserts them in batches.
//! - The **report** (`report.rs`) has a line for each refused user, and for each user that was changed on the way.

mod columns;
mod csv_quotes;
mod csv_source;
mod dump;
mod error;
mod id_map;
mod json_items;
mod mapping;
mod postgres_source;
mod progress;
mod report;
mod rows;
mod run;
mod source;
mod text_values;
mod user_id;

pub use self::{
    columns::ColumnOptions,
    error::ImportError,
    id_map::IdMap,
    mapping::Mapping,
    report::Report,
    run::{ImportRun, ImportSummary, Insertion},
    source::{Source, SourceRows},
};
