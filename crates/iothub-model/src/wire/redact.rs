//! Keys, signatures, tokens and passwords taken out of text for people.
//!
//! A message may cut or quote what it was given, so that a key may be there without its name. A [`Redactor`] therefore
//! first learns the secrets of this process, from its arguments and environment, and later finds every part of them. It
//! also finds what looks like a secret by what stands before it. Each character becomes a `*`, so that carets stay
//! under their place.

use std::borrow::Cow;
use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use crate::pem;

/// The shortest part of a secret that is found by itself.
const WINDOW: usize = 8;
/// The shortest secret that is looked for without its name.
const SHORTEST: usize = 4;

/// Knows the secrets of a process.
#[derive(Clone, Default)]
pub struct Redactor {
    /// In lower case, as messages may show them.
    secrets: Vec<Vec<u8>>,
    /// Which hashes of four bytes a part of a secret begins with.
    beginnings: Beginnings,
    /// Whether what only looks like a secret is taken out as well.
    suspicious: bool,
}

#[derive(Clone)]
struct Beginnings(Vec<u64>);

impl Default for Beginnings {
    fn default() -> Self {
        Self(vec![0; 1 << 10])
    }
}

impl Beginnings {
    fn place(bytes: &[u8]) -> (usize, u64) {
        let number = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        let hash = number.wrapping_mul(0x9e37_79b1) >> 16;
        ((hash >> 6) as usize, 1 << (hash & 63))
    }

    fn add(&mut self, bytes: &[u8]) {
        let (word, bit) = Self::place(bytes);
        self.0[word] |= bit;
    }

    fn has(&self, bytes: &[u8]) -> bool {
        let (word, bit) = Self::place(bytes);
        self.0[word] & bit != 0
    }
}

/// Shows no secret.
impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redactor").field("secrets", &self.secrets.len()).finish_non_exhaustive()
    }
}

impl Redactor {
    /// Creates one that also takes out what only looks like a secret: for errors and diagnostics, which need none of
    /// it.
    pub fn suspicious() -> Self {
        Self { suspicious: true, ..Self::default() }
    }

    /// Learns the secrets in a text: the keys of connection strings, signatures, tokens, passwords in URLs, private keys.
    pub fn learn(&mut self, text: &str) {
        for range in suspects(text, self.suspicious) {
            self.learn_secret(&text[range]);
        }
    }

    /// Learns a text that is a secret as a whole, and the ways in which it may be written.
    pub fn learn_secret(&mut self, secret: &str) {
        let percent = |keep: &dyn Fn(u8) -> bool| {
            let encode = |byte: u8| if keep(byte) { char::from(byte).to_string() } else { format!("%{byte:02x}") };
            secret.bytes().map(encode).collect::<String>()
        };
        let mut forms = vec![
            secret.to_owned(),
            percent_encoding::percent_decode_str(secret).decode_utf8_lossy().into_owned(),
            percent(&|byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte)),
            percent(&|byte| byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte)),
            secret.replace('/', "\\/"),
        ];
        for shift in 0..3 {
            // In base64 the same bytes look different at each of three places; the ends depend on what stands beside
            // them.
            let shifted = [&b"   "[..shift], secret.as_bytes()].concat();
            let encoded = STANDARD_NO_PAD.encode(shifted);
            forms.push(encoded.get(4..encoded.len().saturating_sub(3)).unwrap_or_default().to_owned());
        }
        for (index, form) in forms.into_iter().enumerate() {
            let form = form.to_ascii_lowercase().into_bytes();
            let least = if index == 0 { SHORTEST } else { WINDOW };
            if form.len() < least || self.secrets.contains(&form) {
                continue;
            }
            form.windows(WINDOW.min(form.len())).for_each(|window| self.beginnings.add(window));
            self.secrets.push(form);
        }
    }

    /// Takes the secrets out of a text.
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut found = self.known(text);
        if self.suspicious {
            found.extend(suspects(text, true));
        }
        if found.is_empty() {
            return Cow::Borrowed(text);
        }
        found.sort_unstable_by_key(|range| range.start);
        let mut out = String::with_capacity(text.len());
        let mut found = found.into_iter().peekable();
        let mut in_escape = false;
        let mut end = 0;
        for (at, c) in text.char_indices() {
            while let Some(range) = found.next_if(|range| range.start <= at) {
                end = end.max(range.end);
            }
            in_escape |= c == '\u{1b}';
            let hidden = at < end && !in_escape && !c.is_whitespace();
            out.push(if hidden { '*' } else { c });
            in_escape &= !c.is_ascii_alphabetic();
        }
        Cow::Owned(out)
    }

    /// Finds parts of the secrets that are known, also where colours begin or end inside of them.
    fn known(&self, text: &str) -> Vec<Range<usize>> {
        if self.secrets.is_empty() {
            return Vec::new();
        }
        let lower = text.to_ascii_lowercase();
        let places = text.contains('\u{1b}').then(|| without_colours(&lower));
        let (bytes, places) = match &places {
            Some((bytes, places)) => (bytes.as_slice(), Some(places)),
            None => (lower.as_bytes(), None),
        };
        let place = |at: usize| places.map_or(at, |places| places[at]);
        let mut found = Vec::new();
        let mut at = 0;
        while at + SHORTEST <= bytes.len() {
            let rest = &bytes[at..];
            let length = if self.beginnings.has(rest) { self.longest(rest) } else { 0 };
            if length > 0 {
                found.push(place(at)..place(at + length - 1) + 1);
            }
            at += length.max(1);
        }
        found
    }

    /// Returns how many bytes at the start of a text are a part of a secret, or 0 if they are too few.
    fn longest(&self, text: &[u8]) -> usize {
        let mut longest = 0;
        for secret in &self.secrets {
            let least = WINDOW.min(secret.len());
            let Some(start) = text.get(..least) else { continue };
            for at in 0..=secret.len() - least {
                if secret[at..].starts_with(start) {
                    let same = secret[at..].iter().zip(text).take_while(|(a, b)| a == b).count();
                    longest = longest.max(same);
                }
            }
        }
        longest
    }
}

/// Leaves out the escape sequences of a text, and returns where each byte of the rest stands.
fn without_colours(text: &str) -> (Vec<u8>, Vec<usize>) {
    let mut in_escape = false;
    let visible = text.bytes().enumerate().filter(|&(_, byte)| {
        in_escape |= byte == 0x1b;
        let is_visible = !in_escape;
        in_escape &= !byte.is_ascii_alphabetic();
        is_visible
    });
    visible.map(|(at, byte)| (byte, at)).unzip()
}

/// The names whose values are secrets, in lower case.
const NAMES: [&str; 6] =
    ["sharedaccesskey", "sharedaccesssignature", "accountkey", "authorization", "client_secret", "sig"];
/// What is written in a secret's place.
const PLACEHOLDERS: [&str; 5] = ["KEY", "PASSWORD", "...", "…", "(sensitive)"];
/// How many characters a key of 32 or of 64 bytes has in base64.
const BARE_KEYS: [(usize, usize); 2] = [(43, 1), (86, 2)];

/// Digits of base64 in a key of 32 bytes, and digits of its hexadecimal form.
const KEY_DIGITS: usize = 43;
const KEY_HEX_DIGITS: usize = 64;

/// Takes out what may be a key wherever it stands in a path or in the words of a refusal: clients put keys into ids and topics, where
/// slashes and escapes surround them. A text that holds one comes back with its escapes resolved, and ends there for good measure.
pub fn without_keys(text: &str) -> std::borrow::Cow<'_, str> {
    let once = percent_encoding::percent_decode_str(text).decode_utf8_lossy();
    let twice = percent_encoding::percent_decode_str(&once).decode_utf8_lossy();
    match [text, &once, &twice].into_iter().find_map(|form| Some(&form[..key_in(form)?])) {
        Some(before) => format!("{before}***").into(),
        None => text.into(),
    }
}

/// Returns where a run of characters begins that has a key in it.
fn key_in(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    let base64 = bytes.windows(KEY_DIGITS).position(|window| window.iter().all(is_digit) && is_random(window));
    let hex = bytes.windows(KEY_HEX_DIGITS).position(|window| window.iter().all(u8::is_ascii_hexdigit));
    base64.into_iter().chain(hex).min()
}

/// Returns `true` if capitals, small letters and digits change as often as chance has it, and not as in words.
fn is_random(window: &[u8]) -> bool {
    let count = |is: fn(&u8) -> bool| window.iter().filter(|byte| is(byte)).count();
    let changes = window.windows(2).filter(|pair| {
        let [a, b] = [pair[0], pair[1]];
        (a.is_ascii_lowercase() && b.is_ascii_uppercase()) || (a.is_ascii_uppercase() && b.is_ascii_lowercase())
    });
    count(u8::is_ascii_uppercase) >= 8
        && count(u8::is_ascii_lowercase) >= 8
        && count(u8::is_ascii_digit) >= 1
        && changes.count() >= 6
}

/// Finds what looks like a secret: by its name, as a password in a URL, as a bearer token, as a private key in PEM, and, if
/// `bare`, as a key by itself.
fn suspects(text: &str, bare: bool) -> Vec<Range<usize>> {
    let lower = text.to_ascii_lowercase();
    let mut found = Vec::new();
    for name in NAMES {
        for (at, _) in lower.match_indices(name) {
            found.extend(named(text, &lower, name, at));
        }
    }
    for (at, scheme) in lower.match_indices("bearer ") {
        let start = at + scheme.len();
        let end = start + length(&text[start..], |c| c.is_ascii_alphanumeric() || "._~+/=-".contains(c));
        if end - start >= 2 * WINDOW {
            found.push(start..end);
        }
    }
    for (at, separator) in lower.match_indices("://") {
        let start = at + separator.len();
        let end = start + length(&text[start..], |c| !c.is_whitespace() && !"/?#'\"`<>".contains(c));
        if let Some(user) = text[start..end].rfind('@') {
            let password = text[start..start + user].find(':').map_or(0, |colon| colon + 1);
            found.push(start + password..start + user);
        }
    }
    found.extend(pem::private_keys(text));
    if bare {
        let is_digit = |c: char| c.is_ascii_alphanumeric() || c == '+' || c == '/';
        let mut at = 0;
        while let Some(start) = text[at..].find(is_digit).map(|start| at + start) {
            let digits = length(&text[start..], is_digit);
            let padding = length(&text[start + digits..], |c| c == '=');
            if BARE_KEYS.contains(&(digits, padding)) {
                found.push(start..start + digits + padding);
            }
            at = start + digits;
        }
    }
    found.retain(|range| {
        let value = &text[range.clone()];
        !value.is_empty() && !PLACEHOLDERS.contains(&value) && !value.chars().all(|c| c == '*')
    });
    found
}

/// Counts the bytes at the start of a text whose characters are of a kind.
fn length(text: &str, is: impl Fn(char) -> bool) -> usize {
    text.find(|c| !is(c)).unwrap_or(text.len())
}

/// Finds the value after a name: `NAME=VALUE`, `"name": "value"`, `NAME%3DVALUE`.
fn named(text: &str, lower: &str, name: &str, at: usize) -> Option<Range<usize>> {
    let is_short = name == "sig";
    // `config=` is no signature.
    if is_short
        && lower[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && !lower[..at].ends_with("%26")
    {
        return None;
    }
    let mut start = at + name.len();
    let mut skip = |is: &dyn Fn(char) -> bool| start += length(&lower[start..], is);
    skip(&|c| c == '"' || c == '\'' || c == '\\' || c == ' ');
    let rest = &lower[start..];
    let encoded = rest.starts_with("%3d") || rest.starts_with("%3a") || rest.starts_with("%253d");
    let separator = match rest.chars().next()? {
        '=' => 1,
        ':' if !is_short => 1,
        '%' if encoded => length(rest, |c| c != 'd' && c != 'a') + 1,
        _ => return None,
    };
    start += separator;
    let mut skip = |is: &dyn Fn(char) -> bool| start += length(&lower[start..], is);
    skip(&|c| c == ' ' || c == '\t');
    // A key may stand on the next line.
    let next = &text[start..];
    let line = length(next, |c| c == '\r' || c == '\n' || c == ' ' || c == '\\');
    let is_key = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
    if next.starts_with(['\r', '\n']) && length(&next[line..], is_key) >= 2 * WINDOW {
        start += line;
    }
    start += length(&text[start..], |c| c == '"' || c == '\'' || c == '\\');
    let value = &text[start..];
    if name == "authorization" {
        // A scheme, and all that follows on the line.
        let line = length(value, |c| c != '\n' && c != '\r' && c != '"' && c != '\'');
        let scheme = length(&value[..line], |c| c.is_ascii_alphabetic());
        let scheme = if value[scheme..line].starts_with(' ') { scheme + 1 } else { 0 };
        return Some(start + scheme..start + line);
    }
    let ends = |c: char| {
        c.is_whitespace()
            || c.is_control()
            || "'\"`;,<>)\\".contains(c)
            || (c == '&' && name != "sharedaccesssignature")
    };
    let mut end = length(value, |c| !ends(c));
    if encoded {
        let stops = ["%3b", "%26", "%22", "%20", "%0a", "%253b"];
        end = stops.iter().filter_map(|stop| lower[start..start + end].find(stop)).min().unwrap_or(end);
    }
    Some(start..start + end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_private_key_are_found_wherever_they_are_quoted() {
        let lines = ["MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQCbZzVF31w9WbNA", "dBPy4vOfLzrQT4noaQ=="];
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"));
        let mut redactor = Redactor::default();
        redactor.learn(&pem);
        for line in lines {
            assert_eq!(redactor.redact(line), "*".repeat(line.len()));
            assert_eq!(
                redactor.redact(&format!("no method `{}`", &line[3..15])),
                format!("no method `{}`", "*".repeat(12))
            );
        }
        let joined = pem.replace('\n', " ");
        assert!(!Redactor::suspicious().redact(&joined).contains("MII"), "{joined}");
    }

    #[test]
    fn keys_are_found_among_slashes_and_escapes() {
        let key = "EVz23Fd8y+/9QkcGl1Kcx0TtPz/Jq7mWb5Rn4Ls2m+c=";
        let escaped = key.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
        let hex = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
        for text in [
            format!("foo/{key}"),
            format!("x/{key}/y"),
            format!("foo/{escaped}/#"),
            escaped.replace('%', "%25"),
            key.trim_end_matches('=').to_owned(),
            format!("/devices/{key}/connect"),
            format!("/x/{hex}"),
        ] {
            let shown = without_keys(&text);
            assert!(shown.ends_with("***") && !shown.contains("9QkcGl1Kcx0") && !shown.contains("884c7d65"), "{shown}");
        }
        for text in [
            "/devices/PressLine-Alpha-0001/modules/temperatureSensorMain",
            "/devices/9F86D081884C4D659A2FEAA0C55AD015/messages/devicebound",
            "/devices/9F86D081-884C-4D65-9A2F-EAA0C55AD015/messages/events/alertLevel=high",
            "this client may not subscribe to `devices/thermostat001/messages/devicebound/temperature/#`",
        ] {
            assert_eq!(without_keys(text), text);
        }
    }

    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    #[test]
    fn what_looks_like_a_secret_is_starred_out() {
        let redactor = Redactor::suspicious();
        for (text, without) in [
            ("no key here", "no key here"),
            ("SharedAccessKeyName=service", "SharedAccessKeyName=service"),
            ("invalid 'HostName=h;SharedAccessKey=ab+/=' for", "invalid 'HostName=h;SharedAccessKey=*****' for"),
            ("\u{1b}[33mSharedAccessKey=abc\u{1b}[0m", "\u{1b}[33mSharedAccessKey=***\u{1b}[0m"),
            ("SharedAccessSignature=x;SharedAccessKey=y\nz", "SharedAccessSignature=*;SharedAccessKey=*\nz"),
            ("SharedAccessKey=", "SharedAccessKey="),
            ("it reads SharedAccessKey=KEY, in quotes", "it reads SharedAccessKey=KEY, in quotes"),
            ("SHAREDACCESSKEY = abc", "SHAREDACCESSKEY = ***"),
            ("{\"sharedAccessKey\": \"abc\"}", "{\"sharedAccessKey\": \"***\"}"),
            ("SharedAccessKey%3Dabc%2B%3D%3Bx", "SharedAccessKey%3D*********%3Bx"),
            ("AccountKey=abc;EndpointSuffix=core", "AccountKey=***;EndpointSuffix=core"),
            ("https://b.example/x?sv=1&sig=ab%2Bc&se=2", "https://b.example/x?sv=1&sig=******&se=2"),
            ("SharedAccessSignature sr=h&sig=abc&se=1", "SharedAccessSignature sr=h&sig=***&se=1"),
            ("config=x sig=", "config=x sig="),
            ("Authorization: Bearer abc.def", "Authorization: Bearer *******"),
            ("authorization: Basic dTpw\nnext", "authorization: Basic ****\nnext"),
            ("a bearer token is needed", "a bearer token is needed"),
            ("Bearer eyJhbGciOiJIUzI1NiJ9.e30", "Bearer ************************"),
            ("via http://user:p%40ss@proxy:3128/", "via http://user:******@proxy:3128/"),
            ("https://token@host/x", "https://*****@host/x"),
            ("https://host/x@y", "https://host/x@y"),
            (KEY, &"*".repeat(KEY.len())),
        ] {
            assert_eq!(redactor.redact(text), without);
        }
        let multi = format!("SharedAccessKey=\n  {KEY}");
        assert!(!redactor.redact(&multi).contains("AAEC"));
        assert_eq!(
            Redactor::default().redact("SharedAccessKey=abc"),
            "SharedAccessKey=abc",
            "the answer is no message"
        );
    }

    #[test]
    fn parts_of_what_is_known_are_starred_out() {
        let mut redactor = Redactor::default();
        redactor.learn(&format!("HostName=h;SharedAccessKeyName=n;SharedAccessKey={KEY}"));
        redactor.learn("http://user:pa+ss@proxy");
        let base64 = STANDARD_NO_PAD.encode(format!("user:{KEY}"));
        for (text, shown) in [
            (&KEY[..10], "**********".to_owned()),
            (&KEY[..7], KEY[..7].to_owned()),
            ("… QFBgcICQoL…", "… **********…".to_owned()),
            ("qfbgcicqol", "**********".to_owned()),
            ("QFBg\u{1b}[1mcICQ\u{1b}[0moL", "****\u{1b}[1m****\u{1b}[0m**".to_owned()),
            ("say pa+ss and pass", "say ***** and pass".to_owned()),
        ] {
            assert_eq!(redactor.redact(text), shown);
        }
        let shown = redactor.redact(&base64);
        assert!(shown.matches('*').count() > base64.len() / 2, "{shown}");
        let percent = KEY.replace('=', "%3D");
        assert_eq!(redactor.redact(&percent), "*".repeat(percent.len()));
    }

    proptest::proptest! {
        #[test]
        fn no_window_is_left(
            key in "[A-Za-z0-9+/]{8,43}=", before in "[ -~é]{0,20}", after in "[ -~é]{0,20}", from in 0usize..20, to in 0usize..44,
        ) {
            let mut redactor = Redactor::suspicious();
            redactor.learn(&format!("SharedAccessKey={key}"));
            let part = key.get(from..to.min(key.len())).unwrap_or_default();
            let text = format!("{before}{part}{after}");
            let shown = redactor.redact(&text);
            proptest::prop_assert_eq!(shown.chars().count(), text.chars().count());
            for window in key.as_bytes().windows(WINDOW) {
                proptest::prop_assert!(!shown.contains(std::str::from_utf8(window).expect("ASCII")), "{}", shown);
            }
        }

        #[test]
        fn redacting_never_panics(text in "(SharedAccessKey|sig|authorization|://|%3d|@|[ =:;&\"'\\\\\n]|[a-zé]){0,16}") {
            let mut redactor = Redactor::suspicious();
            redactor.learn(&text);
            redactor.redact(&text);
        }
    }
}
