//! What is wrong with JSON, without the value that a reader's own words repeat: it may be a key.

/// Returns what is wrong, with a text that was found left out.
pub fn json_fault(error: &serde_json::Error) -> String {
    const BEFORE: &str = "string \"";
    const AFTER: &str = "\", expected ";
    let words = error.to_string();
    match (words.find(BEFORE), words.rfind(AFTER)) {
        (Some(begin), Some(end)) if begin < end => format!("{}a text{}", &words[..begin], &words[end + 1..]),
        _ => words,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn values_are_left_out() {
        let fault = |text: &str| {
            json_fault(&serde_json::from_str::<BTreeMap<String, Vec<u64>>>(text).expect_err("it is something else"))
        };
        assert_eq!(fault(r#"{"a":"se\"cret"}"#), "invalid type: a text, expected a sequence at line 1 column 15");
        assert_eq!(fault(r#"{"a":["\", expected x"]}"#), "invalid type: a text, expected u64 at line 1 column 22");
        assert_eq!(fault(r#"{"a":1}"#), "invalid type: integer `1`, expected a sequence at line 1 column 6");
        assert_eq!(fault("{"), "EOF while parsing an object at line 1 column 1");
    }
}
