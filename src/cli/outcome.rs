//! How a command ends: an answer with its exit code, or an error with what to do about it.

use std::error::Error;
use std::fmt::Write as _;
use std::io::{self, Write as _};

use super::context::Context;
use crate::client;
use crate::render::annotations::{self, Annotation};
use crate::render::{diagnostic, escape};
use iothub_model::diagnostic::Diagnostic;
use iothub_model::wire::connection_string::ConnectionStringError;

/// How a command ended. The numbers are fixed for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Outcome {
    /// Done, or nothing to do.
    Done = 0,
    /// Wrong use, bad input, or no hub.
    Failed = 1,
    /// The plan has changes; only with `--detailed-exitcode`.
    Changes = 2,
    /// A guard refuses the plan.
    Refused = 3,
    /// Values moved since the plan; their twins were left alone.
    Conflicts = 4,
    /// Some twins could not be written.
    TwinsFailed = 5,
    /// A check does not hold.
    ChecksFailed = 6,
    /// Stopped by the user, to be resumed.
    Interrupted = 130,
}

impl Outcome {
    /// Returns the exit code.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// Returns the one that counts of several that hold: interrupted, then 5 before 4 before 6.
    pub fn most_telling(outcomes: impl IntoIterator<Item = Self>) -> Self {
        let weight = |outcome: &Self| match outcome {
            Self::Interrupted => 7,
            Self::Failed => 6,
            Self::TwinsFailed => 5,
            Self::Conflicts => 4,
            Self::ChecksFailed => 3,
            Self::Refused => 2,
            Self::Changes => 1,
            Self::Done => 0,
        };
        outcomes.into_iter().max_by_key(weight).unwrap_or(Self::Done)
    }
}

/// What a command returns.
pub(super) type CliResult<T = Outcome> = Result<T, CliError>;

/// Why a command could not answer, and what a person can do about it.
#[derive(Debug)]
pub struct CliError {
    outcome: Outcome,
    kind: CliErrorKind,
    hints: Vec<String>,
}

#[derive(Debug)]
enum CliErrorKind {
    Message(String),
    Error(Box<dyn Error + Send + Sync>),
    Diagnostics(Vec<Diagnostic>),
}

impl CliError {
    /// Says in its own words what is wrong.
    pub fn new(message: impl Into<String>) -> Self {
        Self { outcome: Outcome::Failed, kind: CliErrorKind::Message(message.into()), hints: Vec::new() }
    }

    /// Takes an error, whose causes are shown under it.
    pub fn from_error(error: impl Error + Send + Sync + 'static) -> Self {
        Self { outcome: Outcome::Failed, kind: CliErrorKind::Error(Box::new(error)), hints: Vec::new() }
    }

    /// Says what was being done when `error` came.
    pub fn doing(what: impl Into<String>, error: impl Error + Send + Sync + 'static) -> Self {
        Self::from_error(Doing { what: what.into(), source: Box::new(error) })
    }

    /// Ends the command as refused by a guard, not as failed.
    #[must_use]
    pub fn refused(mut self) -> Self {
        self.outcome = Outcome::Refused;
        self
    }

    /// Ends the command as values that changed since the plan end one.
    #[must_use]
    pub fn conflicts(mut self) -> Self {
        self.outcome = Outcome::Conflicts;
        self
    }

    /// Ends the command as a check that does not hold ends one.
    #[must_use]
    pub fn checks_failed(mut self) -> Self {
        self.outcome = Outcome::ChecksFailed;
        self
    }

    /// Adds something to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Adds something to do, where there is something.
    #[must_use]
    pub fn hint_if(self, hint: Option<impl Into<String>>) -> Self {
        match hint {
            Some(hint) => self.hint(hint),
            None => self,
        }
    }

    /// Returns what is wrong in a line, and what to do about it: for a report in which it is one of several things.
    pub fn in_a_line(&self) -> (String, Option<String>) {
        let mut text = match &self.kind {
            CliErrorKind::Message(message) => message.clone(),
            CliErrorKind::Error(error) => error.to_string(),
            CliErrorKind::Diagnostics(diagnostics) => {
                diagnostics.first().map(|first| first.message.clone()).unwrap_or_default()
            }
        };
        let mut cause = if let CliErrorKind::Error(error) = &self.kind { error.source() } else { None };
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        (text, (!self.hints.is_empty()).then(|| self.hints.join("; or ")))
    }

    /// Tells the user, and returns how the command ends.
    pub fn report(&self, context: &mut Context) -> Outcome {
        if let CliErrorKind::Diagnostics(diagnostics) = &self.kind {
            context.learn_sources(diagnostics);
        }
        let text = self.text(context);
        match &self.kind {
            CliErrorKind::Diagnostics(diagnostics) => {
                context.annotations.extend(annotations::of_diagnostics(diagnostics))
            }
            // Why a plan is refused stands in the plan.
            _ if self.outcome == Outcome::Refused => {}
            CliErrorKind::Message(message) => context.annotations.push(Annotation::error(message)),
            CliErrorKind::Error(error) => context.annotations.push(Annotation::error(error.to_string())),
        }
        // Where stderr cannot be written there is nobody left to tell.
        _ = context.err.write_all(text.as_bytes());
        self.outcome
    }

    fn text(&self, context: &Context) -> String {
        let (palette, width) = (context.err.palette, context.err.width);
        let mut text = String::new();
        let title = palette.error("error:");
        match &self.kind {
            CliErrorKind::Diagnostics(diagnostics) => text = diagnostic::diagnostics(diagnostics, palette, width),
            CliErrorKind::Message(message) => _ = writeln!(text, "{title} {}", escape::lines(message)),
            CliErrorKind::Error(error) => {
                _ = writeln!(text, "{title} {}", escape::lines(&error.to_string()));
                let mut cause = error.source();
                while let Some(error) = cause {
                    _ = writeln!(text, "  caused by: {}", escape::line(&error.to_string()));
                    cause = error.source();
                }
            }
        }
        for hint in &self.hints {
            _ = writeln!(text, "{} {}", palette.hint("hint:"), escape::lines(hint));
        }
        text
    }
}

/// What was being done when an error came.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
struct Doing {
    what: String,
    source: Box<dyn Error + Send + Sync>,
}

impl From<Vec<Diagnostic>> for CliError {
    fn from(diagnostics: Vec<Diagnostic>) -> Self {
        Self { outcome: Outcome::Failed, kind: CliErrorKind::Diagnostics(diagnostics), hints: Vec::new() }
    }
}

/// The answer could not be written: the disk is full, or such.
impl From<io::Error> for CliError {
    fn from(error: io::Error) -> Self {
        Self::doing("writing the answer", error)
    }
}

impl From<client::Error> for CliError {
    fn from(error: client::Error) -> Self {
        let advice = error.advice();
        Self::from_error(error).hint_if(advice)
    }
}

impl From<client::SetupError> for CliError {
    fn from(error: client::SetupError) -> Self {
        let hint = match &error {
            client::SetupError::NotAService => Some(
                "the policies `service` and `iothubowner` may read and write twins: the portal has them under \"Shared access policies\"",
            ),
            client::SetupError::CaFile { problem } => Some(problem.hint()),
            client::SetupError::Proxy => Some("look at HTTPS_PROXY"),
            client::SetupError::NoRoots { .. } | client::SetupError::Http { .. } => None,
        };
        Self::from_error(error).hint_if(hint)
    }
}

impl From<ConnectionStringError> for CliError {
    fn from(error: ConnectionStringError) -> Self {
        if let ConnectionStringError::Placeholder { advice, .. } = &error {
            let advice = advice.clone();
            return Self::from_error(error).hint(advice);
        }
        Self::from_error(error).hint("it reads HostName=HUB.azure-devices.net;SharedAccessKeyName=POLICY;SharedAccessKey=KEY, in quotes where a shell sees it")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::context::tests::context;

    #[test]
    fn five_before_four_before_six() {
        use Outcome::*;
        for (outcomes, most_telling) in [
            (&[][..], Done),
            (&[Done, ChecksFailed], ChecksFailed),
            (&[ChecksFailed, Conflicts], Conflicts),
            (&[ChecksFailed, Conflicts, TwinsFailed], TwinsFailed),
            (&[Conflicts, Interrupted, TwinsFailed], Interrupted),
        ] {
            assert_eq!(Outcome::most_telling(outcomes.iter().copied()), most_telling);
        }
        assert_eq!(
            [Done, Failed, Changes, Refused, Conflicts, TwinsFailed, ChecksFailed, Interrupted].map(Outcome::code),
            [0, 1, 2, 3, 4, 5, 6, 130]
        );
    }

    #[test]
    fn errors_have_causes_and_hints() {
        let (mut context, _, err) = context(&[]);
        let error =
            CliError::doing("reading plan.json", io::Error::other("it is\u{1b}[31m a folder")).hint("give a file");
        assert_eq!(error.report(&mut context), Outcome::Failed);
        assert_eq!(err.text(), "error: reading plan.json\n  caused by: it is\\u001b[31m a folder\nhint: give a file\n");
    }
}
