//! Words of commands that messages print.

#[cfg(feature = "embedded")]
use std::path::Path;

/// Quotes a word for a POSIX shell, if it needs that.
pub(crate) fn quoted(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_@%+=:,./-".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Returns a path as a word of a command line.
#[cfg(feature = "embedded")]
pub(crate) fn shell_word(path: &Path) -> String {
    quoted(&path.display().to_string())
}
