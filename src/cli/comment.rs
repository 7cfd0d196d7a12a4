//! `twinctl comment`

use std::io::{Read, Write};
use std::path::Path;

use super::args::{CommentArgs, HostName};
use super::connect::proxy;
use super::context::Context;
use super::outcome::{CliError, CliResult, Outcome};
use crate::comment::{CommentError, CommentTarget, Host, Marker, Posted, TargetError, post};

/// Writes the comment of a pull request, or writes over it.
pub(super) async fn comment(context: &mut Context, args: &CommentArgs) -> CliResult {
    let body = read(context, &args.file)?;
    let marker = Marker::of(&body).ok_or_else(|| {
        CliError::new(format!(
            "{} does not begin with the line by which a comment is found again: <!-- twinctl:FLEET@HUB -->",
            args.file.display()
        ))
        .hint("`twinctl plan --format markdown` writes it")
    })?;
    let find = |name: &str| context.variable(name);
    let host = match args.host {
        Some(HostName::Github) => Host::GitHub,
        Some(HostName::Azure) => Host::AzureDevOps,
        Some(HostName::Gitlab) => Host::GitLab,
        None => Host::detect(&find).ok_or_else(|| {
            CliError::new("this is no pipeline of GitHub, Azure DevOps or GitLab")
                .hint("--host says where the pull request is; its variables and token must be set")
        })?,
    };
    let target = CommentTarget::of(host, args.number, &find).map_err(advised)?;
    let proxy = proxy(context);
    let posted = post(&target, &marker, &body, proxy.as_ref()).await.map_err(|error| {
        let hint = denied(&error, host);
        CliError::from_error(error).hint_if(hint)
    })?;
    let done = match posted {
        Posted::Created => "commented on",
        Posted::Updated => "updated the comment on",
    };
    writeln!(context.out, "{done} pull request {} on {host}", target.number)?;
    Ok(Outcome::Done)
}

fn read(context: &mut Context, file: &Path) -> CliResult<String> {
    let mut body = String::new();
    if file == Path::new("-") {
        context
            .input
            .read_to_string(&mut body)
            .map_err(|error| CliError::doing("reading the comment from stdin", error))?;
    } else {
        body = std::fs::read_to_string(context.resolve(file))
            .map_err(|error| CliError::doing(format!("reading the comment {}", file.display()), error))?;
    }
    Ok(body)
}

fn advised(error: TargetError) -> CliError {
    let hint = match &error {
        TargetError::NoToken { host } => Some(host.token_advice()),
        TargetError::NoPullRequest { .. } => {
            Some("run it in a pipeline that is started by a pull request, or give --number")
        }
        TargetError::Missing { .. } | TargetError::Token { .. } | TargetError::Address { .. } => None,
    };
    CliError::from_error(error).hint_if(hint)
}

fn denied(error: &CommentError, host: Host) -> Option<&'static str> {
    error.is_denied().then(|| host.token_advice()).or_else(|| error.proxy_advice())
}
