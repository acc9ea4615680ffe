//! The settings.
//!
//! A setting is an environment variable. Each setting except the secrets is also a flag (`POSTERN_LISTEN`, `--listen`),
//! which takes precedence. All invalid settings are reported at once. `settings.rs` declares them.

mod commands;
mod hash_budget;
mod reader;
mod serve;
mod setting;
mod settings;
mod stores;
mod values;

pub use self::{
    commands::{
        CalibrationConfig, HealthConfig, KeysConfig, UsersConfig, UsersStore, for_backup, for_calibration, for_health,
        for_keys, for_migrate, for_users,
    },
    hash_budget::BASELINE_MEMORY_BYTES,
    serve::Config,
    setting::{ConfigError, Setting},
    settings::SETTINGS,
    stores::{EmbeddedConfig, Stores},
    values::{ValueSource, Values},
};
