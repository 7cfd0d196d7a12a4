//! What stands in the place of `embedded.rs` in a build without the feature `embedded`: no hub starts, and the user is told why.

use std::net::SocketAddr;
use std::path::Path;

use iothub_model::wire::connection_string::ConnectionString;

use super::context::Context;
use super::outcome::{CliError, CliResult};

/// What is said of the embedded hub where no hub is named.
pub(super) const OFFER: Option<&str> = None;

/// What is said to somebody who wants one.
pub(super) const ABSENT: &str = "this build has no embedded hub; \
    `cargo install --locked --path .` in a copy of twinctl's source makes a build that has one";

/// A hub for one command, which there cannot be.
pub(super) enum EmbeddedHub {}

impl EmbeddedHub {
    /// Says that there is none.
    pub(super) async fn start(_: &Context, _: Option<&Path>) -> CliResult<Self> {
        Err(absent())
    }

    pub(super) fn connection(&self) -> CliResult<ConnectionString> {
        match *self {}
    }

    pub(super) fn address(&self) -> SocketAddr {
        match *self {}
    }

    pub(super) fn ca_pem(&self) -> &str {
        match *self {}
    }

    pub(super) async fn stop(self) {
        match self {}
    }
}

/// Says that there can be no such hub.
pub(super) fn check_available() -> CliResult<()> {
    Err(absent())
}

fn absent() -> CliError {
    CliError::new("this build has no embedded hub")
        .hint("a build that has one: run `cargo install --locked --path .` in a copy of twinctl's source")
        .hint("a hub elsewhere: --connection-string STRING, or IOTHUB_CONNECTION_STRING in the environment")
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use crate::cli::context::tests::context;
    use crate::cli::run;

    #[test]
    fn a_hub_that_cannot_be_is_an_error_that_says_how_to_get_one() {
        for (line, said) in [
            ("import --hub embedded", "error: this build has no embedded hub\nhint: a build that has one: "),
            ("import --hub embedded:hub", "error: this build has no embedded hub\nhint: a build that has one: "),
            ("device run --hub embedded", "error: this build has no embedded hub\nhint: a build that has one: "),
            ("hub serve --data hub", "error: unrecognized subcommand 'hub'\nhint: this build has no embedded hub; "),
            ("serve", "error: unrecognized subcommand 'serve'\nhint: this build has no embedded hub; "),
        ] {
            let (mut context, out, err) = context(&[]);
            let code = run(["twinctl"].into_iter().chain(line.split(' ')).map(OsString::from), &mut context);
            assert_eq!((code, out.text().as_str()), (1, ""), "{line}");
            assert!(err.text().starts_with(said), "{line}: {}", err.text());
            assert!(err.text().contains("cargo install --locked --path ."), "{line}: {}", err.text());
        }
    }
}
