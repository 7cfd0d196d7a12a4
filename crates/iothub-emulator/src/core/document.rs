//! JSON text as the hub keeps it and answers with it.

use std::sync::Arc;

use serde::Serialize;

/// JSON text that is shared rather than copied. Its `Debug` shows its length: it may hold keys.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Document(Arc<str>);

impl Document {
    pub(crate) fn of(value: &impl Serialize) -> Self {
        let text = serde_json::to_string(value).expect("own types with text as keys are always JSON");
        Self(text.into())
    }

    /// Returns the text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<[u8]> for Document {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl std::fmt::Debug for Document {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Document({} bytes)", self.0.len())
    }
}

impl From<&str> for Document {
    /// Takes text that is JSON already.
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}
