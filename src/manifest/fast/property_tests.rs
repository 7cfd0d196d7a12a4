//! A manifest in pieces says what it says as a whole: the same declarations, places, digest and diagnostics.

use proptest::prelude::*;

use crate::manifest::entry::{Entry, TakenEntry};
use crate::manifest::explain::explain_files;
use crate::manifest::fast::chunks;
use crate::manifest::fast::streaming::Early;
use crate::manifest::fields::policy::Selection;
use crate::manifest::load::{Outside, resolve_files};
use crate::manifest::property_tests::config;
use crate::manifest::text::source::{File, Tables};

/// Bodies of entries, as written below the name or after it; `@` is a value.
const BODIES: &[&str] = &[
    "\n    tags: \n      a: @\n      b:\n        c: @\n    desired:\n      x: @\n",
    "\n    tags:\n      a: @\n      b:\n        c: @\n    desired:\n      x: @\n",
    "\n    groups: [g, h]\n    tags:\n      a: @\n",
    "\n    groups:\n      - h\n      - nobody\n    tags:\n      a: @\n",
    "\n    groups:\n    - h\n    desired:\n        x: @\n",
    "\n    tags: { a: @, b: [@, { c: @ }] }\n",
    " { groups: [h], tags: { a: @ } }\n",
    " { tags: { a: @ } } # a comment\n",
    " {}\n",
    "\n",
    "\n    desired:\n      x: {}\n      y: @\n      z: [1, 2]\n",
    "\n    desired:\n      # a comment\n      x: @\n\n  # about the next one\n",
    "\n    desired:\n      x: @ # a comment\n",
    "\n    desired:\n      x: @\n      x: @\n",
    "\n    desired:\n      x: @\n        more: @\n",
    "\n    desired:\n      x: @\n       goes on\n",
    "\n    desired:\n      x: |\n        text @\n        b: @\n      y: @\n",
    "\n    desired:\n      x: |+\n        text @\n\n\n",
    "\n    desired:\n      x: >-\n        text @\n      # no text\n",
    "\n    desired:\n      x: \"two\n  lines: @\"\n      y: @\n",
    "\n    desired:\n      x: [1,\n  2]\n",
    "\n    desired: { x:\n  @ }\n",
    "\n    desired: {\n      x: @\n      }\n",
    "\n    desired: { a: '}',\n      x: @\n      , b: '{' }\n",
    "\n    desired: { a: '}',\n      x: \"1\"\n      , b: '{' }\n",
    "\n    modules:\n      m:\n        desired:\n          n: @\n",
    "\n    tags:\n      twinctl: @\n",
    "\n    tagz:\n      a: @\n",
    "\n    tags:\n      - a: @\n",
    "\n  - a\n",
    "\n   tags:\n      a: @\n",
    "\n    tags:\n      a.b: @\n      null: @\n",
    "\n    tags:\n\t  a: @\n",
    "\n    ? tags\n    : a: @\n",
    "\n    tags:\n      a: @\n   \n \t\n",
    "\n    tags:\n      deep: { a: @ }\n      s: é\n",
    " &one\n    tags:\n      a: &two @\n",
    " *one\n",
    " !tag\n    tags: { a: *two }\n",
    " ~\n",
    " null\n",
    "\n    groups: ~\n    tags: null\n    desired:\n      x: @\n",
    "\n    tags:\n      a\u{a0}b: @\n      c: @\n",
    "\n    tags:\n      \"\\ud83d\\ude00\": @\n      c: @\n",
];

const VALUES: &[&str] = &[
    "1",
    "0",
    "-1",
    "007",
    "1.5",
    "1.10",
    "4.2.1-stable",
    "1e3",
    ".5",
    "0x1F",
    "9007199254740993",
    "99999999999999999999",
    "true",
    "False",
    "null",
    "~",
    "",
    "a",
    "EU",
    "NO",
    "yes",
    "on",
    "y",
    "no way",
    "two  spaces",
    "end ",
    "plain text, with (things)",
    "a:b",
    "a: b",
    "a:",
    "http://x/y?z",
    "a #b",
    "a#b",
    "# b",
    "\"quoted\"",
    "\"\"",
    "'single'",
    "'it''s'",
    "\"esc\\n\"",
    "\"${env.PLANT}\"",
    "${env.PLANT}",
    "$5",
    "2026-11-24",
    "12:30",
    "é",
    "\"é\"",
    "[",
    "{",
    "]",
    "- a",
    "-a",
    "--- a",
    "? a",
    "| a",
    "&a b",
    "*a",
    "!a b",
    "%a",
    "@a",
    "`a`",
    "<<",
    "\u{a0}",
    "a\tb",
    "'unclosed",
    "\"unclosed",
    "\"a\" b",
    ".inf",
    "-.5",
    "+1",
    "0b1",
    "0o7",
    "1_000",
    "\\",
    "a\\b",
    "...",
    "---",
    "a | b",
    "a, b",
    "a,b",
    "a > b",
    "\"\\ud83d\\ude00\"",
    "\"\\ud83d\"",
    "'\\ud83d\\ude00'",
    "\\ud83d\\ude00",
    "a\u{a0}",
    "1\u{a0}000",
    "“a”",
];

const NAMES: &[&str] = &[
    "a",
    "dev",
    "'q'",
    "\"dq\"",
    "'r-{1..3}'",
    "'${env.PLANT}'",
    "007",
    "null",
    "true",
    "1.5",
    "bad id",
    "d\u{e9}",
    "a:b",
    "x#y",
    "<<",
    "\"a\\tb\"",
    "{ a: b }",
    "? k",
];

const HEADS: &[&str] = &[
    "fleet: f\n",
    "fleet: f\ngroups: { g: { tags: { a: 1, g: 2 } }, h: { desired: { x: { y: 1 } } } }\n",
    "# a comment\nfleet: f\ngroups:\n  g: {}\n  h:\n    tags:\n      h: é\n",
    "fleet: f\nsensitive: [desired.x]\nmoved: [{ from: tags.a, to: tags.d }]\n",
    "---\nfleet: f\nreleased: [tags.a]\n",
    "fleet: f\nselectors: [{ name: s, where: tags.q = 1, desired: { x: 1 } }]\ndefaults: { tags: { a: 0, b: 1 } }\n",
    "fleet: \"f\ndevices:\n  x\"\n",
    "defaults: &one { tags: { a: 1 } }\n",
    "%YAML 1.2\n---\nfleet: f\n",
    "fleet: f\nvars: { one: 1 }\n",
    "---\n---\nfleet: f\n",
    "vars: { one: \"\\ud83d\\ude00\" }\nfleet: f\n",
];

const TAILS: &[&str] = &[
    "",
    "",
    "\n",
    "# the end\n",
    "checks: []\n",
    "ownership: none\nexact: [desired.x, tags.q]\n",
    "devices:\n  z: {}\n",
    "- a\n",
    "...\n",
    "...\n---\nfleet: g\n",
    " odd: 1\n",
    "groups: *one\n",
    "inventory:\n  - { from: no.csv, id: '${row.a}' }\n",
    "\tx\n",
    "missing: skip",
    "\"unclosed\n",
    "---\n",
    "---\n# nothing\n---\n...\n",
    "---\nfleet: g\n",
    "...\n---\n\u{a0}\n",
];

fn entry() -> impl Strategy<Value = (Option<&'static str>, usize, Vec<&'static str>)> {
    let common = prop::sample::select(&VALUES[..3]);
    let value = prop_oneof![3 => common, 1 => prop::sample::select(VALUES), 2 => prop::sample::select(&["EU", "NO", "x-1", "'q'", "22.5"][..])];
    let name = prop_oneof![8 => Just(None), 1 => prop::sample::select(NAMES).prop_map(Some)];
    (name, 0..8_usize, prop::collection::vec(value, 3))
}

fn fleet() -> impl Strategy<Value = String> {
    // Few ways of writing in one fleet, so that entries are alike.
    let bodies = prop::collection::vec(prop_oneof![1 => 0..3_usize, 2 => 0..BODIES.len()], 1..4);
    let entries = (bodies, prop::collection::vec(entry(), 1..9));
    let head = prop_oneof![3 => Just(HEADS[1]), 1 => prop::sample::select(HEADS)];
    let after = prop_oneof![8 => Just(""), 1 => Just("  # a comment"), 1 => Just("#none"), 1 => Just(" "), 1 => Just(" {}"), 1 => Just(" &one")];
    let tail = prop_oneof![2 => Just(""), 1 => prop::sample::select(TAILS)];
    (
        (head, after),
        entries,
        tail,
        prop::option::weighted(0.2, Just(())),
        prop::option::weighted(
            0.2,
            (any::<prop::sample::Index>(), prop::sample::select(b" \n:#\"'-{}[]&*|x\t".as_slice())),
        ),
    )
        .prop_map(|((head, after), (bodies, entries), tail, windows, change)| {
            let mut text = format!("{head}devices:{after}\n");
            for (at, (name, body, values)) in entries.iter().enumerate() {
                let mut values = values.iter().cycle();
                let name = name.map_or(format!("d-{at:03}"), str::to_owned);
                text.push_str(&format!("  {name}:"));
                for part in BODIES[bodies[body % bodies.len()]].split_inclusive('@') {
                    text.push_str(part.trim_end_matches('@'));
                    if part.ends_with('@') {
                        text.push_str(values.next().expect("it goes round"));
                    }
                }
            }
            text.push_str(tail);
            if let Some((at, with)) = change {
                let places: Vec<_> = text.char_indices().map(|(offset, _)| offset).collect();
                let at = *at.get(&places);
                let end = at + text[at..].chars().next().map_or(0, char::len_utf8);
                text.replace_range(at..end, &char::from(with).to_string());
            }
            if windows.is_some() { text.replace('\n', "\r\n") } else { text }
        })
}

/// Everything that can be told about a fleet.
fn told(text: &str, in_pieces: bool) -> String {
    let files = [File::new("fleet.yaml", text)];
    let environment = |name: &str| (name == "PLANT").then(|| "Oslo".to_owned());
    let outside = || Outside { in_pieces, ..Outside::new(Tables::Texts(&[]), &environment) };
    let mut told = String::new();
    match resolve_files(&files, &outside(), Vec::new()) {
        Err(found) => told.push_str(&format!("{found:#?}")),
        Ok(loaded) => {
            let declarations = loaded.declarations;
            for (id, declaration) in &declarations.twins {
                told.push_str(&format!("{id} {declaration:?}\n"));
                told.push_str(&format!("{:?}\n", explain_files(&files, &outside(), Vec::new(), id, true)));
            }
            let all: Vec<_> = declarations.twins.keys().filter(|id| id.module.is_none()).cloned().collect();
            let selections = declarations.selectors.iter().map(|selector| Selection {
                name: selector.name.clone(),
                condition: selector.condition.text().to_owned(),
                ids: all.clone(),
                origin: selector.origin.clone(),
            });
            let selected = declarations.select(selections.collect()).map(|selected| selected.twins);
            told.push_str(&format!("{selected:?}\n"));
            told.push_str(&format!("{:?} {:?} {:#?}", declarations.digest, declarations.groups, loaded.warnings));
        }
    }
    told
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn pieces_say_what_the_whole_says(text in fleet()) {
        let (pieces, whole) = (told(&text, true), told(&text, false));
        prop_assert_eq!(pieces, whole, "{}", text);
    }
}

/// Says how each entry was read: `w` for written as others are, `r` for read, `t` for a tree; nothing where the file is read whole.
fn ways(text: &str) -> Option<String> {
    let file = File::new("fleet.yaml", text);
    let mut early = Early::new(&file);
    chunks::parse(&file, &mut early)?;
    let way = |taken| match taken {
        TakenEntry::Read(Entry::Parsed(_)) => 'r',
        TakenEntry::Read(Entry::Text(_)) => 'w',
        TakenEntry::Waiting(_) => 't',
    };
    Some(early.taken.into_iter().map(way).collect())
}

#[test]
fn entries_that_are_written_alike_are_seen() {
    let check = |entries: &str, expected: Option<&str>| {
        let text = format!("fleet: f\ndevices:\n{entries}missing: skip\n");
        assert_eq!(ways(&text).as_deref(), expected, "{text}");
        assert_eq!(told(&text, true), told(&text, false), "{text}");
    };
    let entry = |name: &str, a: &str, b: &str| {
        format!("  {name}:\n    groups: [g]\n    tags:\n      a: {a}\n      b: {{ c: {b} }}\n")
    };
    check(
        &[entry("a", "1", "x"), entry("b", "two", "x"), entry("c", "'3'", "x"), entry("e", "-4.5", "x")].concat(),
        Some("rwww"),
    );
    // What is not at the end of its line is the same in all entries of a shape.
    check(
        &[entry("a", "1", "x"), entry("b", "2", "z"), entry("c", "3", "x"), entry("e", "4", "z")].concat(),
        Some("rrww"),
    );
    check(
        &[entry("a", "1", "x"), entry("b", "NO", "x"), entry("c", "[1]", "x"), entry("'e'", "1", "x")].concat(),
        Some("rwrr"),
    );
    check(
        &[entry("a", "1", "x"), entry("b", "2", "x"), "\n  # the last one\n\n".to_owned(), entry("c", "3", "x")]
            .concat(),
        Some("rww"),
    );
    check(
        &[entry("a", "1", "x"), entry("b", "2", "x"), "      d: 1\n".to_owned(), entry("c", "3", "x")].concat(),
        Some("rrw"),
    );
    check(&[entry("a", "1", "x"), entry("b", "${env.PLANT}", "x"), entry("c", "3", "x")].concat(), Some("rtw"));
    check(&[entry("a", "1", "x"), entry("b", "&b 2", "x"), entry("c", "*b", "x")].concat(), None);
    check(&[entry("a", "1", "x"), entry("b", "\"2", "x"), entry("c", "3\"", "x")].concat(), None);
    check(&[entry("a", "1", "x"), entry("a", "2", "x")].concat(), None);
    check(&[entry("b", "1", "x"), entry("a", "2", "x")].concat(), Some("rw"));
    // Inside of brackets a value ends where it would go on elsewhere.
    let flow = |name: &str, x: &str| format!("  {name}:\n    desired: {{ a: '}}',\n      x: {x}\n      , b: '{{' }}\n");
    check(&[flow("a", "1"), flow("b", "2"), flow("c", "3, y")].concat(), Some("rwr"));
}
