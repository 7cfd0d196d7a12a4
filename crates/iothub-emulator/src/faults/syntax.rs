//! Text to rules, with all mistakes found at once.

use std::sync::Arc;
use std::time::Duration;

use crate::faults::pattern::Pattern;
use crate::faults::{Fault, FaultSpec, MQTT, MQTT_ROUTES, Rule, WHOLE, When};
use iothub_model::diagnostic::Diagnostic;
use iothub_model::diagnostic::Source;
use iothub_model::diagnostic::Span;
use iothub_model::diagnostic::nearest;
use iothub_model::duration;

const METHODS: [&str; 6] = ["GET", "PUT", "PATCH", "POST", "DELETE", MQTT];
/// The word before the seed.
const SEED: &str = "seed";
const FAULTS: [&str; 6] = ["reset-before", "reset-after", "slow", "half", "garbage", "no-answer"];
/// The longest delay.
const SLOWEST: Duration = duration::HOUR;
/// Rules, at most: each is tried on every request.
const MAX_RULES: usize = 1000;

/// A word and where it stands.
#[derive(Clone, Copy)]
struct Word<'a> {
    text: &'a str,
    span: Span,
}

/// The words of one statement, and where it ends.
struct Words<'a> {
    source: &'a Arc<Source>,
    words: std::iter::Peekable<std::vec::IntoIter<Word<'a>>>,
    end: Span,
}

impl FaultSpec {
    /// Reads rules.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with them, in the order of the text.
    pub fn parse(source: &Arc<Source>) -> Result<Self, Vec<Diagnostic>> {
        parse(source)
    }
}

fn parse(source: &Arc<Source>) -> Result<FaultSpec, Vec<Diagnostic>> {
    let mut spec = FaultSpec::default();
    let mut errors = Vec::new();
    for words in statements(source) {
        match statement(words) {
            Ok(Statement::Seed(seed)) => spec.seed = seed,
            Ok(Statement::Rule(rule)) => spec.rules.push(rule),
            Err(error) => errors.push(*error),
        }
    }
    if spec.rules.len() > MAX_RULES {
        let message = format!("there are {} rules, and {MAX_RULES} at most are tried", spec.rules.len());
        errors.push(Diagnostic::error(message));
    }
    match errors.is_empty() {
        true => Ok(spec),
        false => Err(errors),
    }
}

/// Splits a text into statements: by lines and by `;`. In a path, which is a rule's second word, only a `;` at the end counts: an id may
/// have one inside.
fn statements<'a>(source: &'a Arc<Source>) -> Vec<Words<'a>> {
    let mut all = Vec::new();
    let mut start = 0;
    for line in source.text().split_inclusive('\n') {
        let mut words: Vec<Word<'a>> = Vec::new();
        let mut finish = |words: &mut Vec<Word<'a>>| {
            if let Some(last) = words.last() {
                let end = Span::new(last.span.end, last.span.end);
                all.push(Words { source, words: std::mem::take(words).into_iter().peekable(), end });
            }
        };
        // Some editors begin a file with a mark.
        'line: for mut text in line.trim_start_matches('\u{feff}').split_whitespace() {
            while !text.is_empty() {
                if text.starts_with('#') {
                    break 'line;
                }
                let is_path = words.len() == 1 && words[0].text != SEED;
                let bare = match is_path {
                    true => text.trim_end_matches(';'),
                    false => text.split(';').next().unwrap_or_default(),
                };
                let at = start + (text.as_ptr() as usize - line.as_ptr() as usize);
                if !bare.is_empty() {
                    words.push(Word { text: bare, span: Span::new(at, at + bare.len()) });
                }
                let rest = text[bare.len()..].trim_start_matches(';');
                if bare.len() < text.len() {
                    finish(&mut words);
                }
                text = rest;
            }
        }
        finish(&mut words);
        start += line.len();
    }
    all
}

enum Statement {
    Seed(u64),
    Rule(Rule),
}

type Parsed<T> = Result<T, Box<Diagnostic>>;

fn statement(mut words: Words<'_>) -> Parsed<Statement> {
    let first = words.next("a method")?;
    let statement = if first.text == SEED {
        let seed = words.next("the seed, a number")?;
        let number = seed.text.parse().map_err(|_| words.wrong(seed, "the seed is no number", "a whole number"))?;
        Statement::Seed(number)
    } else {
        let methods = methods(&words, first)?;
        let path = words.next("a path")?;
        if path.text != "*" && !path.text.starts_with('/') {
            check_route(&words, path, &methods)?;
        }
        let path = Pattern(path.text.to_owned());
        let fault = fault(&mut words)?;
        let when = when(&mut words)?;
        Statement::Rule(Rule { methods, path, fault, when })
    };
    match words.words.next() {
        None => Ok(statement),
        Some(word) => Err(words.wrong(word, "nothing may follow here", "end the rule with a new line or `;`")),
    }
}

/// A path without a slash before it is what devices do, by rules that are for devices.
fn check_route(words: &Words<'_>, path: Word<'_>, methods: &[&str]) -> Parsed<()> {
    let is_route = MQTT_ROUTES.contains(&path.text);
    match methods.is_empty() || methods.contains(&MQTT) {
        true if is_route => Ok(()),
        true => match nearest(path.text, MQTT_ROUTES) {
            Some(near) => {
                let error = words.error(path, "a path begins with `/`, or is what a device does over MQTT", "");
                Err(Box::new(error.help(format!("did you mean `{near}`?"))))
            }
            None => {
                let routes = listed(MQTT_ROUTES.into_iter());
                let help = format!("a path such as `/twins/*`, `*` for any, or what a device does over MQTT: {routes}");
                Err(words.wrong(path, "a path begins with `/`", &help))
            }
        },
        false if is_route => Err(words.wrong(path, "only devices do this", "write the method `MQTT` before it")),
        false => Err(words.wrong(path, "a path begins with `/`", "a path such as `/twins/*`, or `*` for any")),
    }
}

fn methods(words: &Words<'_>, list: Word<'_>) -> Parsed<Vec<&'static str>> {
    if list.text == "*" {
        return Ok(Vec::new());
    }
    let mut methods = Vec::new();
    let mut at = list.span.start;
    for name in list.text.split(',') {
        let word = Word { text: name, span: Span::new(at, at + name.len()) };
        at += name.len() + 1;
        let Some(method) = METHODS.into_iter().find(|method| *method == name) else {
            let error = words.error(word, format!("there is no method `{}`", name.escape_debug()), "");
            return Err(Box::new(match nearest(name, METHODS) {
                Some(near) => error.help(format!("did you mean `{near}`?")),
                None => error.help(format!("methods are {}, or `*` for all", listed(METHODS.into_iter()))),
            }));
        };
        if !methods.contains(&method) {
            methods.push(method);
        }
    }
    Ok(methods)
}

fn fault(words: &mut Words<'_>) -> Parsed<Fault> {
    let word = words.next("what is to happen")?;
    Ok(match word.text {
        "reset-before" => Fault::ResetBefore,
        "reset-after" => Fault::ResetAfter,
        "half" => Fault::Half,
        "garbage" => Fault::Garbage,
        "no-answer" => Fault::NoAnswer,
        "slow" => {
            let time = words.next("a duration, such as `300ms` or `1s..5s`")?;
            let (least, most) = match time.text.split_once("..") {
                Some((least, most)) => {
                    let start = time.span.end - most.len();
                    let least = Word { text: least, span: Span::new(time.span.start, time.span.start + least.len()) };
                    (
                        duration(words, least)?,
                        duration(words, Word { text: most, span: Span::new(start, time.span.end) })?,
                    )
                }
                None => {
                    let duration = duration(words, time)?;
                    (duration, duration)
                }
            };
            if least > most {
                return Err(words.wrong(time, "the shorter duration comes first", ""));
            }
            Fault::Slow(least, most)
        }
        text if text.bytes().all(|byte| byte.is_ascii_digit()) => match text.parse() {
            Ok(status @ 400..=599) => Fault::Status(status),
            _ => return Err(words.wrong(word, "a status of a failure is from 400 to 599", "")),
        },
        text => {
            let error = words.error(word, format!("there is no fault `{}`", text.escape_debug()), "");
            let known = || FAULTS.into_iter();
            return Err(Box::new(match nearest(text, known()) {
                Some(near) => error.help(format!("did you mean `{near}`?")),
                None => error.help(format!("faults are {}, or a status such as 503", listed(known()))),
            }));
        }
    })
}

fn when(words: &mut Words<'_>) -> Parsed<When> {
    let Some(word) = words.words.next() else { return Ok(When::Always) };
    Ok(match word.text {
        "always" => When::Always,
        "first" => {
            let count = words.next("how many")?;
            let number = count.text.parse().ok().filter(|number| *number > 0);
            When::First(number.ok_or_else(|| words.wrong(count, "this is no number of requests", "write `first 3`"))?)
        }
        "every" => {
            let nth = words.next("which, such as `5th`")?;
            let digits = ["st", "nd", "rd", "th"].iter().find_map(|ending| nth.text.strip_suffix(ending));
            let number = digits.unwrap_or(nth.text).parse().ok().filter(|number| *number > 0);
            When::Every(number.ok_or_else(|| words.wrong(nth, "this is no ordinal number", "write `every 5th`"))?)
        }
        text => match text.strip_suffix('%').map(|number| number.parse::<f64>()) {
            Some(Ok(percent)) if (0.0..=100.0).contains(&percent) => {
                // Within the range just checked it fits.
                When::Share((percent * f64::from(WHOLE / 100)).round() as u32)
            }
            Some(_) => return Err(words.wrong(word, "a share is from 0% to 100%", "")),
            None => {
                let help = "write a share such as `20%`, `first 3` or `every 5th`, or nothing for always";
                return Err(words.wrong(word, "this does not say how often", help));
            }
        },
    })
}

impl<'a> Words<'a> {
    fn next(&mut self, wanted: &str) -> Parsed<Word<'a>> {
        self.words.next().ok_or_else(|| {
            let error =
                Diagnostic::error("the rule is not complete").at(self.source, self.end, format!("{wanted} is missing"));
            Box::new(error.help("a rule is METHOD PATH FAULT, and how often: PATCH /twins/* 429 20%"))
        })
    }

    fn error(&self, word: Word<'_>, message: impl Into<String>, label: &str) -> Diagnostic {
        Diagnostic::error(message).at(self.source, word.span, label)
    }

    fn wrong(&self, word: Word<'_>, message: &str, help: &str) -> Box<Diagnostic> {
        let error = self.error(word, message, "");
        Box::new(if help.is_empty() { error } else { error.help(help) })
    }
}

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn duration(words: &Words<'_>, word: Word<'_>) -> Parsed<Duration> {
    duration::parse(word.text, SLOWEST).map_err(|error| words.wrong(word, &error.to_string(), &error.hint()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<FaultSpec, Vec<Diagnostic>> {
        FaultSpec::parse(&Source::new("f", text))
    }

    /// Rules come out as they are shown, and read again are the same.
    #[test]
    fn rules_and_how_they_are_shown() {
        for (text, shown) in [
            ("", ""),
            ("  # nothing\n\n;;", ""),
            ("* * 503", "* * 503\n"),
            ("GET /twins/* 429 20% # one in five\n", "GET /twins/* 429 20%\n"),
            ("PATCH,PUT,PATCH /twins/a;b 500 first 3;", "PATCH,PUT /twins/a;b 500 first 3\n"),
            ("* /twins/a#b reset-after every 21st", "* /twins/a#b reset-after every 21st\n"),
            ("* * half always ; * * garbage every 2", "* * half\n* * garbage every 2nd\n"),
            ("* * reset-before 0.5%\nseed 18446744073709551615", "* * reset-before 0.5%\nseed 18446744073709551615\n"),
            ("seed 1; * * slow 1.5s; seed 2", "* * slow 1500ms\nseed 2\n"),
            ("POST /devices/query slow 20ms..2m 50%", "POST /devices/query slow 20ms..120s 50%\n"),
            ("\u{a0}* \u{3000}* 503", "* * 503\n"),
            ("PATCH,PUT /x 429;PATCH /y 500", "PATCH,PUT /x 429\nPATCH /y 500\n"),
            (
                "* /a;b 503 first 3;;seed 4;* /c;d;e half;# no more; * * 500",
                "* /a;b 503 first 3\n* /c;d;e half\nseed 4\n",
            ),
            ("\u{feff}* * 503", "* * 503\n"),
            ("MQTT twin/get no-answer; GET,MQTT * 503", "MQTT twin/get no-answer\nGET,MQTT * 503\n"),
            ("* connect 503; MQTT /devices/a/** half", "* connect 503\nMQTT /devices/a/** half\n"),
        ] {
            let spec = read(text).unwrap_or_else(|errors| panic!("{text}: {errors:?}"));
            assert_eq!(spec.to_string(), shown, "{text}");
            assert_eq!(read(shown), Ok(spec), "{text}");
        }
    }

    /// The texts that flags and the manifest accept, too.
    #[test]
    fn durations() {
        let table = include_str!("../../../../tests/data/durations.txt");
        for (text, expected) in
            table.lines().filter(|row| !row.starts_with('#')).filter_map(|row| row.split_once(" -> "))
        {
            let found = read(&format!("* * slow {text}"));
            match duration::parse(text, SLOWEST) {
                Ok(duration) => {
                    assert_eq!(expected, duration.as_millis().to_string(), "{text}");
                    let shown = format!("* * slow {}\n", duration::exact(duration));
                    assert_eq!(found.map(|spec| spec.to_string()), Ok(shown), "{text}");
                }
                Err(error) => {
                    let diagnostics = found.expect_err(text);
                    assert_eq!(diagnostics[0].message, error.to_string(), "{text}");
                    assert_eq!(diagnostics[0].help, [error.hint()], "{text}");
                }
            }
        }
    }

    #[test]
    fn mistakes_point() {
        for (text, expected, help) in [
            ("GTE * 503", "f:1:1: there is no method `GTE`", "did you mean `GET`?"),
            ("get * 503", "f:1:1: there is no method `get`", "did you mean `GET`?"),
            ("GET,PACTH * 503", "f:1:5: there is no method `PACTH`", "did you mean `PATCH`?"),
            ("frobnicate * 503", "f:1:1: there is no method `frobnicate`", "methods are `GET`, `PUT`,"),
            ("* twins/* 503", "f:1:3: a path begins with `/`", "a path such as `/twins/*`"),
            ("GET twins/* 503", "f:1:5: a path begins with `/`", "a path such as `/twins/*`, or `*` for any"),
            (
                "MQTT twin/got 503",
                "f:1:6: a path begins with `/`, or is what a device does over MQTT",
                "did you mean `twin/get`?",
            ),
            ("GET,PUT telemetry 503", "f:1:9: only devices do this", "write the method `MQTT`"),
            ("* * grabage", "f:1:5: there is no fault `grabage`", "did you mean `garbage`?"),
            ("* * explode", "f:1:5: there is no fault `explode`", "faults are `reset-before`"),
            ("* * 200", "f:1:5: a status of a failure is from 400 to 599", ""),
            ("* * 99999999999", "f:1:5: a status of a failure is from 400 to 599", ""),
            ("* * slow", "f:1:9: the rule is not complete", "a rule is METHOD PATH FAULT"),
            ("* * slow 3", "f:1:10: a duration needs a unit", "write `3s`"),
            ("* * slow 1s..3", "f:1:14: a duration needs a unit", "write `3s`"),
            ("* * slow 1..3s", "f:1:10: a duration needs a unit", "write `1s`"),
            ("* * slow ..3s", "f:1:10: not a duration", "write numbers with the units"),
            ("* * slow 1s..2s..3s", "f:1:14: not a duration", "write numbers with the units"),
            ("* * slow -3s", "f:1:10: not a duration", ""),
            ("* * slow 1e999s", "f:1:10: not a duration", ""),
            ("* * slow 2s..1s", "f:1:10: the shorter duration comes first", ""),
            ("* * slow 2h", "f:1:10: the longest duration here is 1h", "write `1h` or less"),
            ("* * 503 120%", "f:1:9: a share is from 0% to 100%", ""),
            ("* * 503 NaN%", "f:1:9: a share is from 0% to 100%", ""),
            ("* * 503 first", "f:1:14: the rule is not complete", ""),
            ("* * 503 first 0", "f:1:15: this is no number of requests", "write `first 3`"),
            ("* * 503 every other", "f:1:15: this is no ordinal number", "write `every 5th`"),
            ("* * 503 sometimes", "f:1:9: this does not say how often", "write a share such as `20%`"),
            ("* * 503 20% 5", "f:1:13: nothing may follow here", "end the rule with"),
            ("* *", "f:1:4: the rule is not complete", "a rule is METHOD PATH FAULT"),
            ("seed x", "f:1:6: the seed is no number", ""),
            ("* * 503\n  é * 503", "f:2:3: there is no method `é`", ""),
        ] {
            let errors = read(text).expect_err(text);
            assert_eq!(errors.len(), 1, "{text}");
            assert_eq!(errors[0].to_string(), expected, "{text}");
            let helps = errors[0].help.join("\n");
            assert!(helps.starts_with(help), "{text}: {helps}");
        }
        let errors = read("GTE * 503; * * 200\n* * x").expect_err("three mistakes");
        assert_eq!(errors.len(), 3, "all at once");
        assert_eq!(read(&"* * 503;\n".repeat(1001)).expect_err("too many").len(), 1);
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "[A-Z*,/a-z0-9 ;#%.\n-]{0,60}|\\PC{0,40}") {
            if let Ok(spec) = read(&text) {
                proptest::prop_assert_eq!(read(&spec.to_string()), Ok(spec));
            }
        }
    }
}
