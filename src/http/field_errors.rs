//! The `fields` of an error body.

use serde::{Serialize, Serializer, ser::SerializeMap as _};

/// The errors of each invalid field, in the order in which they were added.
#[derive(Debug, Clone, Default)]
pub struct FieldErrors(Vec<(&'static str, Vec<String>)>);

impl FieldErrors {
    /// Adds a sentence to a field.
    pub fn add(&mut self, field: &'static str, sentence: impl Into<String>) {
        match self.0.iter_mut().find(|(name, _)| *name == field) {
            Some((_, sentences)) => sentences.push(sentence.into()),
            None => self.0.push((field, vec![sentence.into()])),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for FieldErrors {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (field, sentences) in &self.0 {
            map.serialize_entry(field, sentences)?;
        }
        map.end()
    }
}
