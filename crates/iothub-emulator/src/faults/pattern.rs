//! Which paths a rule is for.

use std::ops::Range;

/// `*` for any path, a path with `*` and `**` in it, or an action over MQTT of any device or module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern(pub(super) String);

impl Pattern {
    pub(super) fn matches(&self, path: &RequestPath<'_>) -> bool {
        match self.0.as_str() {
            "*" => true,
            pattern if pattern.starts_with('/') => glob(pattern.as_bytes(), path),
            // An id has no slash, so the last part of the path is the action and not an id.
            route => path.text.strip_suffix(route).is_some_and(|before| before.ends_with('/')),
        }
    }
}

/// The path of a request, its escapes read. SDKs spell a route in their own ways (`messages/devicebound`, `messages/deviceBound`), so
/// its words count in any case, and the ids between them as they are.
pub(super) struct RequestPath<'a> {
    text: &'a str,
    /// Where ids stand in it.
    ids: Vec<Range<usize>>,
}

impl<'a> RequestPath<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let segments: Vec<&str> = text.trim_matches('/').split('/').collect();
        let ids = (0..segments.len()).filter(|&at| is_id(&segments, at)).map(|at| {
            let start = segments[at].as_ptr() as usize - text.as_ptr() as usize;
            start..start + segments[at].len()
        });
        Self { text, ids: ids.collect() }
    }

    /// Returns `true` if a byte of a pattern stands for that of the path at this place.
    fn has(&self, at: usize, byte: u8) -> bool {
        let found = self.text.as_bytes()[at];
        found == byte || found.eq_ignore_ascii_case(&byte) && !self.ids.iter().any(|id| id.contains(&at))
    }
}

/// Returns `true` if the segment at this place is a name that users give, and not a word of the route.
fn is_id(segments: &[&str], at: usize) -> bool {
    let is = |at: usize, word: &str| segments.get(at).is_some_and(|segment| segment.eq_ignore_ascii_case(word));
    let is_one_of = |at: usize, words: &[&str]| words.iter().any(|word| is(at, word));
    match at {
        1 if is(0, "jobs") => !is(1, "v2"),
        // No configuration can be called so.
        1 if is(0, "configurations") => segments[1] != "testQueries",
        1 => is_one_of(0, &["devices", "twins", "digitaltwins"]),
        2 => is(0, "jobs") && is(1, "v2"),
        3 => is_one_of(2, &["modules", "components", "commands"]),
        4 => is(2, "messages"),
        5 => is(0, "digitaltwins") && is(4, "commands"),
        _ => false,
    }
}

/// Tries a pattern on a path. When it fails after a star, the star takes one character more; only the last star is tried
/// again, and behind it the last `**`, which may take what a `*` may not.
fn glob(pattern: &[u8], path: &RequestPath<'_>) -> bool {
    let text = path.text.as_bytes();
    let (mut p, mut t) = (0, 0);
    // Where to go on in the pattern after a star, and in the text with the star one longer.
    let mut single: Option<(usize, usize)> = None;
    let mut double: Option<(usize, usize)> = None;
    loop {
        if pattern[p..].starts_with(b"**") {
            p += 2;
            (single, double) = (None, Some((p, t + 1)));
        } else if pattern[p..].starts_with(b"*") {
            p += 1;
            single = Some((p, t + 1));
        } else if p < pattern.len() && t < text.len() && path.has(t, pattern[p]) {
            (p, t) = (p + 1, t + 1);
        } else if p == pattern.len() && t == text.len() {
            return true;
        } else if let Some((after, next)) = single.filter(|(_, next)| *next <= text.len() && text[next - 1] != b'/') {
            (p, t, single) = (after, next, Some((after, next + 1)));
        } else if let Some((after, next)) = double.filter(|(_, next)| *next <= text.len()) {
            (p, t, single, double) = (after, next, None, Some((after, next + 1)));
        } else {
            return false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        Pattern(pattern.to_owned()).matches(&RequestPath::new(path))
    }

    #[test]
    fn patterns() {
        for (pattern, path, expected) in [
            ("*", "/", true),
            ("*", "/twins/a/modules/b", true),
            ("/twins/*", "/twins/a", true),
            ("/twins/*", "/twins/", true),
            ("/twins/*", "/twins/a/modules/b", false),
            ("/twins/**", "/twins/a/modules/b", true),
            ("/twins/*/modules/*", "/twins/a/modules/b", true),
            ("/twins/*/modules/*", "/twins/a/methods", false),
            ("/twins/press-*", "/twins/press-001", true),
            ("/twins/press-*", "/twins/oven-001", false),
            ("/twins/*-1*1", "/twins/press-1-121", true),
            ("/twins/*-1*1", "/twins/press-1-122", false),
            ("/**/b", "/twins/a/modules/b", true),
            ("/**/b", "/twins/a/modules/c", false),
            ("/**/*x/b", "/q/ax/ay/ax/b", true),
            ("/**/*x/b", "/q/ax/ay/b", false),
            ("/twins/a", "/twins/a", true),
            ("/twins/a", "/twins/ab", false),
            ("/twins/ab", "/twins/a", false),
            ("/**", "/", true),
            ("twin/get", "/devices/d/twin/get", true),
            ("twin/get", "/devices/d/modules/m/twin/get", true),
            ("connect", "/devices/connect/telemetry", false),
            ("connect", "/devices/reconnect", false),
            ("/devices/*/connect", "/devices/d/modules/m/connect", false),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
        }
        // Many stars do not take forever.
        assert!(!matches(&"/**a*b".repeat(200), &"/aaaab/".repeat(500)));
    }

    #[test]
    fn words_of_a_route_count_in_any_case_and_ids_do_not() {
        for (pattern, path, expected) in [
            ("/devices/d/messages/devicebound", "/devices/d/messages/deviceBound", true),
            ("/devices/*/messages/deviceBound", "/devices/d/messages/devicebound", true),
            ("/devices/d/messages/EVENTS", "/devices/d/messages/events", true),
            ("/devices/D/messages/deviceBound", "/devices/d/messages/deviceBound", false),
            ("/devices/d/messages/devicebound/*/Abandon", "/devices/d/messages/deviceBound/Lock/abandon", true),
            ("/devices/d/messages/devicebound/lock", "/devices/d/messages/deviceBound/Lock", false),
            ("/**/messages/devicebound", "/devices/d/messages/deviceBound", true),
            ("/Twins/d", "/twins/d", true),
            ("/twins/D", "/twins/d", false),
            ("/twins/d/Modules/m", "/twins/d/modules/m", true),
            ("/twins/d/modules/M", "/twins/d/modules/m", false),
            ("/twins/d/modules/m/Methods", "/twins/d/modules/m/methods", true),
            ("/devices/d/applyconfigurationcontent", "/devices/d/applyConfigurationContent", true),
            // A device may be called so.
            ("/devices/Query", "/devices/query", false),
            ("/configurations/testqueries", "/configurations/testQueries", true),
            ("/configurations/A", "/configurations/a", false),
            ("/jobs/V2/j", "/jobs/v2/j", true),
            ("/jobs/v2/J", "/jobs/v2/j", false),
            ("/jobs/v2/j/Cancel", "/jobs/v2/j/cancel", true),
            ("/jobs/J", "/jobs/j", false),
            ("/Statistics/Devices", "/statistics/devices", true),
            ("/digitaltwins/d/components/c/commands/X", "/digitaltwins/d/components/c/commands/x", false),
            ("/digitaltwins/d/Components/c/commands/x", "/digitaltwins/d/components/c/commands/x", true),
            ("/devices/d/Twin/Get", "/devices/d/twin/get", true),
            ("/devices/d/modules/M/connect", "/devices/d/modules/m/connect", false),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
        }
    }
}
