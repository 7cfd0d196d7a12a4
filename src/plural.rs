//! Nouns and verbs in the form that a number needs.

/// Returns a noun, or a noun with its verb, in the form for a number: `device`, `devices`, `queries`, `twin is`, `twins
/// have`.
pub(crate) fn plural(number: usize, phrase: &str) -> String {
    if number == 1 {
        return phrase.to_owned();
    }
    for (one, many) in [(" is", " are"), (" has", " have")] {
        if let Some(noun) = phrase.strip_suffix(one) {
            return plural(number, noun) + many;
        }
    }
    match phrase.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{stem}ies"),
        _ if phrase.ends_with("ch") => format!("{phrase}es"),
        _ => format!("{phrase}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        for (phrase, many) in [
            ("device", "devices"),
            ("query", "queries"),
            ("key is", "keys are"),
            ("patch", "patches"),
            ("twin is", "twins are"),
            ("twin has", "twins have"),
            ("query is", "queries are"),
        ] {
            assert_eq!(
                (plural(1, phrase), plural(0, phrase), plural(2, phrase)),
                (phrase.into(), many.into(), many.into())
            );
        }
    }
}
