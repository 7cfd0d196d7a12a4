//! The world as a command sees it: streams, colour, environment, clock and working folder, found once.
//!
//! Nothing else asks the process for any of these, so that a whole run fits into buffers.

use std::borrow::Cow;
use std::ffi::OsString;
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use indicatif::ProgressBar;

use crate::client::Clock;
use crate::render::annotations::Annotation;
use crate::render::progress::Progress;
use crate::render::style::Palette;
use iothub_model::diagnostic::{Diagnostic, Source};
use iothub_model::wire::redact::Redactor;

/// Looks a variable up.
pub(super) type EnvironmentLookup = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// How wide a line may be where nobody says: wide enough for a path, a value and a place, and what CI logs show.
const WIDTH: usize = 120;

/// The variables that hold connection strings, and proxies with their passwords.
const CONNECTIONS: [&str; 8] = [
    "IOTHUB_CONNECTION_STRING",
    "IOTHUB_DEVICE_CONNECTION_STRING",
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "ALL_PROXY",
    "all_proxy",
];
/// The variables that are secrets as a whole.
const TOKENS: [&str; 8] = [
    "GITHUB_TOKEN",
    "GITLAB_TOKEN",
    "SYSTEM_ACCESSTOKEN",
    "CI_JOB_TOKEN",
    "AZURE_CLIENT_SECRET",
    "ARM_CLIENT_SECRET",
    "ACTIONS_RUNTIME_TOKEN",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
];
/// The shortest token there is: anything shorter is a word that may stand anywhere.
const TOKEN_MIN: usize = 16;

/// When to paint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ColourChoice {
    /// On a terminal, unless NO_COLOR or CLICOLOR_FORCE say otherwise.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Where a command reads, writes and looks things up.
pub struct Context {
    /// The answer.
    pub out: Output,
    /// The conversation.
    pub err: Output,
    /// What the user says.
    pub input: Box<dyn BufRead + Send>,
    /// Whether there is a user to ask.
    pub input_is_terminal: bool,
    /// The environment.
    pub environment: EnvironmentLookup,
    /// The time of day.
    pub clock: Clock,
    /// The working folder.
    pub folder: PathBuf,
    /// What a CI system may show beside the files, should it be asked for when the command ends.
    pub annotations: Vec<Annotation>,
}

/// One stream to the user. Clones write to the same place.
#[derive(Clone)]
pub struct Output {
    stream: Arc<Mutex<Stream>>,
    /// How it is painted.
    pub palette: Palette,
    /// Whether a person sees it at once.
    pub is_terminal: bool,
    /// How many characters a line has.
    pub width: usize,
}

struct Stream {
    /// Takes secrets out of all that is written.
    redactor: Redactor,
    writer: Box<dyn Write + Send>,
    /// Whoever read this has closed it.
    gone: bool,
    /// What is drawn below everything that is written.
    bar: Option<ProgressBar>,
}

impl Output {
    /// Writes into anything; as no terminal does, and without colour.
    pub fn new(writer: Box<dyn Write + Send>) -> Self {
        let stream = Stream { redactor: Redactor::default(), writer, gone: false, bar: None };
        Self { stream: Arc::new(Mutex::new(stream)), palette: Palette::PLAIN, is_terminal: false, width: WIDTH }
    }

    /// Says whether whoever read this has closed it: what is written since goes nowhere.
    pub fn is_gone(&self) -> bool {
        self.lock().gone
    }

    /// Takes secrets out of a text that goes elsewhere, as everything written here has them taken out.
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.lock().redactor.redact(text)
    }

    /// Learns the secrets in a text that messages may quote a part of.
    pub fn learn(&self, text: &str) {
        self.lock().redactor.learn(text);
    }

    fn lock(&self) -> MutexGuard<'_, Stream> {
        // What a writer that panicked left behind is still a stream.
        self.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stream {
    /// Lets a broken pipe be, and a terminal that was closed: `twinctl query … | head` is no error, and an apply must not stop
    /// in the middle for it.
    fn forgiving<T>(
        &mut self,
        is_terminal: bool,
        instead: T,
        write: impl FnOnce(&mut dyn Write) -> io::Result<T>,
    ) -> io::Result<T> {
        if self.gone {
            return Ok(instead);
        }
        let writer = &mut self.writer;
        let result = match self.bar.as_ref().filter(|bar| !bar.is_finished()) {
            Some(bar) => bar.suspend(|| write(writer)),
            None => write(writer),
        };
        match result {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe || is_terminal && is_hung_up(&error) => {
                self.gone = true;
                Ok(instead)
            }
            result => result,
        }
    }
}

/// Returns `true` if a terminal is gone, which is what EIO means of one.
fn is_hung_up(error: &io::Error) -> bool {
    const EIO: i32 = 5;
    cfg!(unix) && error.raw_os_error() == Some(EIO)
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let is_terminal = self.is_terminal;
        let mut stream = self.lock();
        let redacted = match std::str::from_utf8(bytes).map(|text| stream.redactor.redact(text)) {
            Ok(Cow::Owned(text)) => Cow::Owned(text.into_bytes()),
            Ok(Cow::Borrowed(_)) | Err(_) => Cow::Borrowed(bytes),
        };
        stream.forgiving(is_terminal, bytes.len(), |writer| writer.write_all(&redacted).map(|()| bytes.len()))
    }

    fn write_fmt(&mut self, text: std::fmt::Arguments<'_>) -> io::Result<()> {
        // In one piece, so that a bar is taken away once for each line.
        self.write_all(text.to_string().as_bytes())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.lock().forgiving(self.is_terminal, (), |writer| writer.flush())
    }
}

impl Context {
    /// Takes everything from the process.
    pub fn of_process() -> Self {
        let environment: EnvironmentLookup = Arc::new(variable);
        let mut out = Output::new(Box::new(anstream::AutoStream::always(io::stdout())));
        let mut err = Output::new(Box::new(anstream::AutoStream::always(io::stderr())));
        out.is_terminal = io::stdout().is_terminal();
        err.is_terminal = io::stderr().is_terminal();
        let columns = environment("COLUMNS").and_then(|columns| columns.parse().ok()).filter(|&columns| columns > 0);
        let stdout = terminal_size::terminal_size_of(io::stdout());
        let stderr = terminal_size::terminal_size_of(io::stderr());
        for (output, size) in [(&mut out, stdout), (&mut err, stderr)] {
            let terminal = size.map(|(terminal_size::Width(width), _)| usize::from(width)).filter(|&width| width > 0);
            output.width = columns.or(terminal).unwrap_or(WIDTH);
        }
        let mut context = Self {
            out,
            err,
            input: Box::new(io::BufReader::new(io::stdin())),
            input_is_terminal: io::stdin().is_terminal(),
            environment,
            clock: Arc::new(now),
            folder: std::env::current_dir().unwrap_or_else(|_| PathBuf::from(".")),
            annotations: Vec::new(),
        };
        context.set_colour(ColourChoice::Auto);
        context
    }

    /// Keeps the secrets of the arguments and of the environment out of everything that is written, and what only looks
    /// like a secret out of messages.
    pub fn learn_secrets(&self, arguments: &[OsString]) {
        let mut answer = Redactor::default();
        let mut messages = Redactor::suspicious();
        let connections = CONNECTIONS.iter().filter_map(|name| self.variable(name));
        let texts = arguments.iter().map(|argument| argument.to_string_lossy().into_owned()).chain(connections);
        for text in texts {
            answer.learn(&text);
            messages.learn(&text);
        }
        for token in TOKENS.iter().filter_map(|name| self.variable(name)).filter(|token| token.len() >= TOKEN_MIN) {
            answer.learn_secret(&token);
            messages.learn_secret(&token);
        }
        self.out.lock().redactor = answer;
        self.err.lock().redactor = messages;
    }

    /// Learns the secrets in the texts that diagnostics point into, which they may quote a part of.
    pub fn learn_sources<'d>(&self, found: impl IntoIterator<Item = &'d Diagnostic>) {
        let mut known: Vec<&Arc<Source>> = Vec::new();
        for label in found.into_iter().flat_map(|diagnostic| &diagnostic.labels) {
            if !known.iter().any(|source| Arc::ptr_eq(source, &label.source)) {
                self.err.learn(label.source.text());
                known.push(&label.source);
            }
        }
    }

    /// Lets the answer have the connection strings that it is asked for.
    pub fn answer_with_secrets(&self) {
        self.out.lock().redactor = Redactor::default();
    }

    /// Decides whether the streams are painted.
    pub fn set_colour(&mut self, choice: ColourChoice) {
        let says = |name: &str| self.variable(name).is_some();
        let (forbidden, forced, dumb) = (
            says("NO_COLOR") || (self.environment)("CLICOLOR").as_deref() == Some("0"),
            self.variable("CLICOLOR_FORCE").is_some_and(|value| value != "0"),
            (self.environment)("TERM").as_deref() == Some("dumb"),
        );
        for output in [&mut self.out, &mut self.err] {
            output.palette = Palette::new(match choice {
                ColourChoice::Always => true,
                ColourChoice::Never => false,
                ColourChoice::Auto if forbidden => false,
                ColourChoice::Auto => forced || (output.is_terminal && !dumb),
            });
        }
    }

    /// Looks up a variable that has something in it.
    pub fn variable(&self, name: &str) -> Option<String> {
        (self.environment)(name).filter(|value| !value.is_empty())
    }

    /// Returns a path as one from the working folder.
    pub fn resolve(&self, path: &Path) -> PathBuf {
        self.folder.join(path)
    }

    /// Shows how far something is, until the progress is dropped: a bar on a terminal, a plain line now and then elsewhere.
    pub fn progress(&self, counted: &'static str, total: Option<usize>) -> Progress {
        let progress =
            Progress::start(counted, total, self.err.is_terminal, self.err.palette, Box::new(self.err.clone()));
        self.err.lock().bar = progress.bar().cloned();
        progress
    }

    /// Says something to the user beside the answer. That it cannot be said is no reason to stop.
    pub fn say(&mut self, text: impl std::fmt::Display) {
        _ = writeln!(self.err, "{text}");
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place where the environment comes in")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[expect(clippy::disallowed_methods, reason = "the one place where the clock comes in")]
fn now() -> SystemTime {
    SystemTime::now()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A buffer that can be looked into while a context writes to it.
    #[derive(Clone, Default)]
    pub(crate) struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Buffer {
        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.lock().expect("no writer panicked").clone()).expect("UTF-8")
        }
    }

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no writer panicked").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A context without a world: buffers, these variables alone, a fixed time.
    pub(crate) fn context(variables: &'static [(&'static str, &'static str)]) -> (Context, Buffer, Buffer) {
        let (out, err) = (Buffer::default(), Buffer::default());
        let find =
            move |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        let context = Context {
            out: Output::new(Box::new(out.clone())),
            err: Output::new(Box::new(err.clone())),
            input: Box::new(io::empty()),
            input_is_terminal: false,
            environment: Arc::new(find),
            clock: Arc::new(|| SystemTime::UNIX_EPOCH),
            folder: PathBuf::from("."),
            annotations: Vec::new(),
        };
        (context, out, err)
    }

    #[test]
    fn colour() {
        for (variables, terminal, choice, painted) in [
            (&[][..], true, ColourChoice::Auto, true),
            (&[], false, ColourChoice::Auto, false),
            (&[("NO_COLOR", "1")], true, ColourChoice::Auto, false),
            (&[("NO_COLOR", "")], true, ColourChoice::Auto, true),
            (&[("NO_COLOR", "1")], false, ColourChoice::Always, true),
            (&[("CLICOLOR_FORCE", "1")], false, ColourChoice::Auto, true),
            (&[("CLICOLOR_FORCE", "0")], false, ColourChoice::Auto, false),
            (&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], false, ColourChoice::Auto, false),
            (&[("TERM", "dumb")], true, ColourChoice::Auto, false),
            (&[], true, ColourChoice::Never, false),
        ] {
            let (mut context, _, _) = context(variables);
            context.out.is_terminal = terminal;
            context.set_colour(choice);
            assert_eq!(context.out.palette.is_coloured(), painted, "{variables:?} {terminal} {choice:?}");
        }
    }

    #[test]
    fn a_broken_pipe_is_no_error_and_any_other_is() {
        struct Fails(io::ErrorKind);
        impl Write for Fails {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(self.0.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Err(self.0.into())
            }
        }
        let mut output = Output::new(Box::new(Fails(io::ErrorKind::BrokenPipe)));
        output.write_all(b"much").expect("forgiven");
        assert!(output.is_gone());
        output.flush().expect("forgiven");
        assert!(Output::new(Box::new(Fails(io::ErrorKind::StorageFull))).write_all(b"much").is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_terminal_that_is_closed_is_no_error() {
        struct HungUp;
        impl Write for HungUp {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::Error::from_raw_os_error(5))
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut output = Output::new(Box::new(HungUp));
        assert!(output.write_all(b"much").is_err(), "of a file it is an error");
        output.is_terminal = true;
        output.write_all(b"much").expect("forgiven");
        assert!(output.is_gone());
    }
}
