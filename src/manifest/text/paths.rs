//! The paths of a file, each held once.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use iothub_model::twin::TwinPath;

/// The paths of a file: ten thousand devices that are written out mostly have the same.
#[derive(Debug, Default)]
pub(crate) struct Paths(Mutex<HashMap<Box<str>, TwinPath>>);

impl Paths {
    /// Returns the path of a text, which starts with a section.
    pub(crate) fn shared(&self, text: &str) -> TwinPath {
        let mut paths = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(path) = paths.get(text) {
            return path.clone();
        }
        let path: TwinPath = text.parse().expect("it starts with a section's name");
        paths.insert(text.into(), path.clone());
        path
    }
}
