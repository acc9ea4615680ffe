//! Metrics of the keys.

use parking_lot::Mutex;
use prometheus::IntGauge;

use super::families;
use super::instruments::Registrar;

/// Whether the last reload of the keys succeeded; 1 as long as no keys are watched.
pub(super) struct KeyReload {
    successful: IntGauge,
    watched: Mutex<Option<Box<dyn Fn() -> bool + Send + Sync>>>,
}

impl KeyReload {
    pub(super) fn new(make: &Registrar<'_>) -> Self {
        let successful = make.gauge(&families::KEYS_LAST_RELOAD).with_label_values::<&str>(&[]);
        successful.set(1);
        Self { successful, watched: Mutex::default() }
    }

    pub(super) fn watch(&self, read: impl Fn() -> bool + Send + Sync + 'static) {
        *self.watched.lock() = Some(Box::new(read));
    }

    /// Updates the gauge.
    pub(super) fn update(&self) {
        if let Some(read) = self.watched.lock().as_ref() {
            self.successful.set(i64::from(read()));
        }
    }
}
