//! The program as a process: its command line, its output, its signals, and what survives a kill.

mod api_keys;
mod audit;
mod backup;
mod both_families;
mod cli_documents;
mod clocks;
mod documented_starts;
mod durability;
mod forwarding;
mod health;
mod import;
mod import_broken_rows;
mod import_csv;
mod import_files;
mod import_interrupted;
mod import_layouts;
mod import_role;
mod import_sources;
mod imported_hashes;
mod keys;
mod log_injection;
mod login_flood;
mod nginx;
mod pgbouncer;
mod redis_user;
mod reloaded_files;
mod request_lines;
mod rolling_restart;
mod secret_leaks;
mod secrets;
mod settings;
mod shutdown;
mod startup;
mod store_tls;
mod store_urls;
mod stores;
#[path = "../support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "each binary uses a part")]
mod support;
mod terminal;
mod text_input;
mod tls;
mod unread_log;
mod unusable_stores;
mod user_export;
mod users;
