//! JSON text as the hub keeps it and answers with it.

use std::sync::Arc;

use serde::Serialize;

/// Identities and small twins have no more bytes, and so their text stays in its place while it is written.
const USUAL_BYTES: usize = 1000;

/// JSON text that is shared rather than copied. Its `Debug` shows its length: it may hold keys.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Document(Arc<str>);

impl Document {
    pub(crate) fn of(value: &impl Serialize) -> Self {
        let mut text = Vec::with_capacity(USUAL_BYTES);
        serde_json::to_writer(&mut text, value).expect("own types with text as keys are always JSON");
        Self(str::from_utf8(&text).expect("JSON is UTF-8").into())
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
