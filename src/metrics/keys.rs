//! Metrics of the keys.

use parking_lot::Mutex;
use prometheus::IntGauge;

use super::families;
use super::instruments::Registrar;

/// Whether the keys could be read; one that nobody watches is not told to have failed.
pub struct KeyReload {
    successful: IntGauge,
    pub(super) watched: Mutex<Option<Box<dyn Fn() -> bool + Send + Sync>>>,
}

impl KeyReload {
    pub(super) fn new(make: &Registrar<'_>) -> Self {
        let successful = make.gauge(&families::KEYS_LAST_RELOAD).with_label_values::<&str>(&[]);
        successful.set(1);
        Self { successful, watched: Mutex::default() }
    }

    pub(super) fn read(&self) {
        if let Some(read) = self.watched.lock().as_ref() {
            self.successful.set(i64::from(read()));
        }
    }
}
