//! What the hub refuses in tags and desired properties, as a table of numbers and the one function pair that checks them.
//!
//! The facts are those of the public pages *Understand and use device twins in IoT Hub* and *IoT Hub quotas and throttling*.
//! Both sides ask here: the manifest before the hub is asked, and the embedded hub when it is.

use std::fmt;

use super::Section;
use super::tree::{Members, Node};

/// Characters of a device or module id, at most.
pub const ID_MAX_CHARS: usize = 128;
/// What an id may hold beside ASCII letters and digits.
pub const ID_PUNCTUATION: &str = "-:.+%_#*?!(),=@;$'";
/// Bytes of a key in UTF-8, at most.
pub const KEY_MAX_BYTES: usize = 1024;
/// Bytes of a string value in UTF-8, at most.
pub const STRING_MAX_BYTES: usize = 4096;
/// The smallest integer, -2^52.
pub const INTEGER_MIN: i64 = -4_503_599_627_370_496;
/// The largest integer, 2^52 - 1.
pub const INTEGER_MAX: i64 = 4_503_599_627_370_495;
/// Nested levels below a section's root, at most; a scalar may sit inside the last.
///
/// The documentation's example nests objects only. An array is counted as a level too, as the edge hub's own validator does:
/// what passes here passes under either reading.
pub const DEPTH_MAX: usize = 10;
/// Bytes of all tags together, at most, as [`section_size`] counts.
pub const TAGS_MAX_BYTES: usize = 8 * 1024;
/// Bytes of all desired properties together, at most; reported ones have the same limit.
pub const DESIRED_MAX_BYTES: usize = 32 * 1024;
/// Characters of a query, at most.
pub const QUERY_MAX_CHARS: usize = 8192;
/// Modules of one device, at most.
pub const MODULES_PER_DEVICE: usize = 50;

/// Returns how many bytes a section may hold.
pub fn section_max_bytes(section: Section) -> usize {
    match section {
        Section::Tags => TAGS_MAX_BYTES,
        Section::Desired => DESIRED_MAX_BYTES,
    }
}

/// What a rule is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// A key of more than 1,024 bytes.
    KeyLength {
        /// Its bytes.
        found: usize,
    },
    /// A character that keys cannot have.
    KeyCharacter {
        /// The first one.
        found: char,
    },
    /// A string of more than 4,096 bytes.
    StringLength {
        /// Its bytes.
        found: usize,
    },
    /// An integer outside ±2^52.
    IntegerRange {
        /// As written.
        found: String,
    },
    /// More than ten levels.
    Depth,
    /// A null where it cannot mean "delete".
    NullValue,
    /// A section that is too large as a whole.
    SectionSize {
        /// Which.
        section: Section,
        /// Its bytes.
        found: usize,
    },
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeyLength { found } => {
                write!(f, "the key has {found} bytes, and the hub takes {KEY_MAX_BYTES} at most")
            }
            Self::KeyCharacter { found } => write!(
                f,
                "the key holds {found:?}, and the hub takes no `.`, `$`, `#`, space or control character in a key"
            ),
            Self::StringLength { found } => {
                write!(f, "the text has {found} bytes, and the hub takes {STRING_MAX_BYTES} at most")
            }
            Self::IntegerRange { found } => {
                write!(f, "{found} is outside the hub's range for integers, {INTEGER_MIN} to {INTEGER_MAX} (52 bits)")
            }
            Self::Depth => write!(f, "nested deeper than the {DEPTH_MAX} levels that the hub takes"),
            Self::NullValue => f.write_str("null inside an array, which the hub does not store"),
            Self::SectionSize { section, found } => write!(
                f,
                "{section} {} {found} bytes as the hub counts, and it takes {} at most",
                if *section == Section::Tags { "have" } else { "has" },
                section_max_bytes(*section)
            ),
        }
    }
}

/// One thing that the hub would refuse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The keys from the section's root to the place, array positions as numbers. Not a [`super::TwinPath`], since the keys may be
    /// just what is wrong.
    pub keys: Vec<String>,
    /// What is wrong there.
    pub rule: Rule,
}

/// Finds all that the hub would refuse in an object that is to be merged into a section, its size aside.
///
/// A null means "delete" in an object at any depth, and is refused in an array and in whatever an array holds.
pub fn check_values(root: &impl Members) -> Vec<Violation> {
    let mut check = Check { keys: Vec::new(), found: Vec::new() };
    check.object(root, 0, false);
    check.found
}

struct Check {
    keys: Vec<String>,
    found: Vec<Violation>,
}

impl Check {
    fn report(&mut self, rule: Rule) {
        self.found.push(Violation { keys: self.keys.clone(), rule });
    }

    /// `depth` is that of the object itself: 0 for the root.
    fn object<M: Members>(&mut self, object: &M, depth: usize, in_array: bool) {
        if depth > DEPTH_MAX {
            // What lies deeper is wrong for the same reason; to descend would risk the stack for nothing.
            self.report(Rule::Depth);
            return;
        }
        for (key, value) in object.members() {
            self.keys.push(key.to_owned());
            if key.len() > KEY_MAX_BYTES {
                self.report(Rule::KeyLength { found: key.len() });
            }
            if let Some(found) = key.chars().find(|&c| is_forbidden_in_keys(c)) {
                self.report(Rule::KeyCharacter { found });
            }
            self.value::<M>(value, depth, in_array);
            self.keys.pop();
        }
    }

    fn value<M: Members>(&mut self, value: &M::Value, depth: usize, in_array: bool) {
        match M::node(value) {
            Node::Null if in_array => self.report(Rule::NullValue),
            Node::Null | Node::Bool => {}
            Node::Number(number) => {
                let in_range = match (number.as_i64(), number.as_u64()) {
                    (Some(integer), _) => (INTEGER_MIN..=INTEGER_MAX).contains(&integer),
                    (None, Some(_)) => false,
                    (None, None) => true,
                };
                if !in_range {
                    self.report(Rule::IntegerRange { found: number.to_string() });
                }
            }
            Node::Text(text) if text.len() > STRING_MAX_BYTES => self.report(Rule::StringLength { found: text.len() }),
            Node::Text(_) => {}
            Node::Array(items) => {
                if depth + 1 > DEPTH_MAX {
                    self.report(Rule::Depth);
                    return;
                }
                for (index, item) in items.iter().enumerate() {
                    self.keys.push(index.to_string());
                    self.value::<M>(item, depth + 1, true);
                    self.keys.pop();
                }
            }
            Node::Object(object) => self.object(object, depth + 1, in_array),
        }
    }
}

fn is_forbidden_in_keys(c: char) -> bool {
    matches!(c, '.' | '$' | '#' | ' ') || c.is_control()
}

/// Counts a section's bytes as the hub does: keys and strings as UTF-8 without control characters, a number as 8, a boolean as
/// 4, an object or array as the sum of what it holds. (How arrays count is not documented; the sum is what follows.)
pub fn section_size<M: Members>(root: &M) -> usize {
    fn text(text: &str) -> usize {
        text.chars().filter(|c| !c.is_control()).map(char::len_utf8).sum()
    }
    fn value<M: Members>(of: &M::Value) -> usize {
        match M::node(of) {
            Node::Null => 0,
            Node::Bool => 4,
            Node::Number(_) => 8,
            Node::Text(string) => text(string),
            Node::Array(items) => items.iter().map(value::<M>).sum(),
            Node::Object(object) => section_size(object),
        }
    }
    root.members().map(|(key, of)| text(key) + value::<M>(of)).sum()
}

/// Says whether a section is larger than the hub takes.
pub fn check_size(section: Section, root: &impl Members) -> Option<Violation> {
    let found = section_size(root);
    (found > section_max_bytes(section))
        .then(|| Violation { keys: Vec::new(), rule: Rule::SectionSize { section, found } })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn violations(value: Value) -> Vec<String> {
        let found = check_values(value.as_object().expect("an object"));
        found.into_iter().map(|violation| format!("{}: {}", violation.keys.join("/"), violation.rule)).collect()
    }

    /// `levels` objects below the root, the innermost with a scalar in it.
    fn nested(levels: usize) -> Value {
        (0..levels).fold(json!({"x": 1}), |inner, _| json!({"n": inner}))
    }

    #[test]
    fn what_the_hub_takes() {
        for good in [
            json!({"a": "x".repeat(4096)}),
            json!({"k".repeat(1024): 1}),
            json!({"a": 4503599627370495_i64, "b": -4503599627370496_i64, "c": 1e300, "d": 0.5}),
            json!({"": 1, "ключ": 1, "a-b_c:d/e": 1}),
            json!({"a": {"b": null}}),
            json!({"a": [[1], {"b": "c"}]}),
            nested(10),
        ] {
            assert_eq!(violations(good), [""; 0]);
        }
    }

    #[test]
    fn what_the_hub_refuses() {
        let keys_forbid = "the hub takes no `.`, `$`, `#`, space or control character in a key";
        let range = "is outside the hub's range for integers, -4503599627370496 to 4503599627370495 (52 bits)";
        for (bad, message) in [
            (json!({"a": "x".repeat(4097)}), "a: the text has 4097 bytes, and the hub takes 4096 at most".to_owned()),
            (json!({"a": "é".repeat(2049)}), "a: the text has 4098 bytes, and the hub takes 4096 at most".to_owned()),
            (json!({"a.b": 1}), format!("a.b: the key holds '.', and {keys_forbid}")),
            (json!({"o": {"$x": 1}}), format!("o/$x: the key holds '$', and {keys_forbid}")),
            (json!({"a#": 1}), format!("a#: the key holds '#', and {keys_forbid}")),
            (json!({"a b": 1}), format!("a b: the key holds ' ', and {keys_forbid}")),
            (json!({"\u{85}": 1}), format!("\u{85}: the key holds '\\u{{85}}', and {keys_forbid}")),
            (json!({"a": 4503599627370496_i64}), format!("a: 4503599627370496 {range}")),
            (json!({"a": -4503599627370497_i64}), format!("a: -4503599627370497 {range}")),
            (json!({"a": u64::MAX}), format!("a: 18446744073709551615 {range}")),
            (json!({"a": [1, null]}), "a/1: null inside an array, which the hub does not store".to_owned()),
            (json!({"a": [{"b": null}]}), "a/0/b: null inside an array, which the hub does not store".to_owned()),
            (nested(11), format!("{}: nested deeper than the 10 levels that the hub takes", ["n"; 11].join("/"))),
        ] {
            assert_eq!(violations(bad), [message]);
        }
        let long = "k".repeat(1025);
        assert_eq!(
            violations(json!({long.clone(): 1})),
            [format!("{long}: the key has 1025 bytes, and the hub takes 1024 at most")]
        );
    }

    #[test]
    fn sizes_count_keys_and_values() {
        for (value, size) in [
            (json!({}), 0),
            (json!({"ab": 1}), 10),
            (json!({"ab": true}), 6),
            (json!({"é": "ü\n"}), 4),
            (json!({"a": {"b": [1, "xy"]}}), 12),
        ] {
            assert_eq!(section_size(value.as_object().expect("an object")), size, "{value}");
        }
    }

    #[test]
    fn a_section_may_be_full_and_not_a_byte_more() {
        let tags = |last: usize| {
            let value = json!({"a": "x".repeat(4095), "b": "x".repeat(4000), "c": "x".repeat(last)});
            check_size(Section::Tags, value.as_object().expect("an object")).map(|violation| violation.rule.to_string())
        };
        assert_eq!(tags(94), None);
        assert_eq!(tags(95).as_deref(), Some("tags have 8193 bytes as the hub counts, and it takes 8192 at most"));
    }
}
