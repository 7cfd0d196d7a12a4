//! The commit that a ref stands for in a comparison, and the commands that bring one which is not here.

use super::repository::{Failure, Repository};
use crate::cli::outcome::{CliError, CliResult};
use crate::render::number::counted;
use iothub_model::diagnostic::nearest;

/// What the work tree is compared with.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Base {
    /// The commit's full name.
    pub(super) commit: String,
    /// The commit, shortened.
    pub(in crate::cli) short: String,
    /// The ref's own commit, shortened, if it has moved on since the merge base.
    pub(in crate::cli) tip: Option<String>,
}

/// Finds the commit to compare with: for `REF` and `REF...HEAD` the merge base with what is checked out, as code hosts show pull
/// requests, and for `REF..HEAD` the ref's own commit.
///
/// # Errors
///
/// A ref that is not known here, a later side that is not checked out, or no merge base, each with the command that helps.
pub(in crate::cli) fn base(repository: &Repository, reference: &str) -> CliResult<Base> {
    let (earlier, dots, later) = match (reference.split_once("..."), reference.split_once("..")) {
        (Some((earlier, later)), _) => (earlier, "...", later),
        (None, Some((earlier, later))) => (earlier, "..", later),
        (None, None) => (reference, "", ""),
    };
    let or_head = |name: &'_ str| if name.is_empty() { "HEAD".to_owned() } else { name.to_owned() };
    // In `REF` alone an empty text is a mistake, and not HEAD.
    let earlier = if dots.is_empty() { earlier.to_owned() } else { or_head(earlier) };
    let tip = commit_of(repository, &earlier)?;
    let head = commit_of(repository, "HEAD")?;
    let later = or_head(later);
    if later != "HEAD" && commit_of(repository, &later)? != head {
        return Err(CliError::new(format!("`{later}` is not what is checked out here"))
            .hint("--against compares with the files in the work tree: check the later side out, or leave it out"));
    }
    let commit = if dots == ".." { tip.clone() } else { merge_base(repository, &earlier, &tip, &head)? };
    let shortened = |commit: &str| {
        let short = repository.ask(["rev-parse", "--short=12", commit]);
        short.unwrap_or_else(|_| commit.to_owned())
    };
    let short = shortened(&commit);
    Ok(Base { short, tip: (tip != commit).then(|| shortened(&tip)), commit })
}

fn commit_of(repository: &Repository, reference: &str) -> CliResult<String> {
    find(repository, reference).ok_or_else(|| unknown(repository, reference))
}

fn find(repository: &Repository, reference: &str) -> Option<String> {
    // Without the option that ends options, a ref that begins with a hyphen would be one.
    let asked = format!("{reference}^{{commit}}");
    let answer = repository.ask(["rev-parse", "--verify", "--quiet", "--end-of-options", &asked]).ok()?;
    // Some versions print that option, too.
    answer.lines().last().map(str::to_owned)
}

fn merge_base(repository: &Repository, reference: &str, tip: &str, head: &str) -> CliResult<String> {
    match repository.ask(["merge-base", tip, head]) {
        Ok(commit) => return Ok(commit),
        Err(Failure::Said(words)) if words.is_empty() => {}
        Err(failure) => {
            return Err(failure.explain(CliError::new(format!("git finds no merge base of {reference} and HEAD"))));
        }
    }
    // A shallow clone has commits without their parents, but a commit names them still.
    if parents(repository, head).iter().any(|parent| parent == tip) {
        return Ok(tip.to_owned());
    }
    if parents(repository, tip).iter().any(|parent| parent == head) {
        return Ok(head.to_owned());
    }
    let of_tips = format!("--against {reference}..HEAD compares with {reference} itself");
    if !is_shallow(repository) {
        let error = CliError::new(format!("`{reference}` and HEAD have no merge base: their histories are unrelated"));
        return Err(error.hint(of_tips));
    }
    let error = CliError::new(format!("no merge base of `{reference}` and HEAD is known: this clone is shallow"));
    let Some(remote) = default_remote(repository) else {
        return Err(error.hint("it has no remote that the history could come from").hint(of_tips));
    };
    // The next fetch writes over FETCH_HEAD.
    let again = match reference.starts_with("FETCH_HEAD") {
        true => format!(
            "`git fetch --unshallow {remote}` brings the history; then use --against {}",
            &tip[..12.min(tip.len())]
        ),
        false => format!("`git fetch --unshallow {remote}` brings the history; then run the same command again"),
    };
    Err(error.hint(again).hint(of_tips))
}

/// Returns the parents that a commit names, whether or not they are here.
fn parents(repository: &Repository, commit: &str) -> Vec<String> {
    let text = repository.ask(["cat-file", "commit", commit]).unwrap_or_default();
    let head = text.lines().take_while(|line| !line.is_empty());
    head.filter_map(|line| line.strip_prefix("parent ")).map(str::to_owned).collect()
}

fn is_shallow(repository: &Repository) -> bool {
    repository.ask(["rev-parse", "--is-shallow-repository"]).is_ok_and(|answer| answer == "true")
}

fn remotes(repository: &Repository) -> Vec<String> {
    repository.ask(["remote"]).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// Returns the remote that `git fetch` takes without one: the branch's own, or `origin`, or the only one.
pub(super) fn default_remote(repository: &Repository) -> Option<String> {
    let all = remotes(repository);
    let branch = repository.ask(["symbolic-ref", "--quiet", "--short", "HEAD"]).unwrap_or_default();
    let own = repository.ask(["config", "--get", &format!("branch.{branch}.remote")]).ok();
    let is_known = |remote: &String| all.contains(remote);
    let only = if all.len() == 1 { all.first().cloned() } else { None };
    own.filter(is_known).or_else(|| Some("origin".to_owned()).filter(is_known)).or(only)
}

/// Splits a ref at the first sign that leads from it to another commit: `HEAD~1` to `HEAD` and `~1`.
fn split(reference: &str) -> (&str, &str) {
    // `@` alone is HEAD, and `@{1}` is not a name with something behind it.
    let from = usize::from(reference.starts_with('@') && !reference.starts_with("@{"));
    reference.split_at(reference[from..].find(['~', '^', '@', ':']).map_or(reference.len(), |at| from + at))
}

/// Counts the generations that `~2^` goes back; `None` for another sign.
fn generations(suffix: &str) -> Option<usize> {
    let (mut rest, mut count) = (suffix, 0);
    while !rest.is_empty() {
        let tilde = rest.strip_prefix('~');
        let after = tilde.or_else(|| rest.strip_prefix('^'))?;
        let (digits, more) = after.split_at(after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len()));
        let number: usize = digits.parse().unwrap_or(1);
        count += if tilde.is_some() { number } else { number.min(1) };
        rest = more;
    }
    Some(count)
}

/// What of a ref a shell takes as it is, and no command as an option.
fn is_plain(name: &str) -> bool {
    !name.starts_with('-')
        && !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._/-".contains(&byte))
}

/// Explains that a ref is not known here, with the command that brings it.
fn unknown(repository: &Repository, reference: &str) -> CliError {
    let error = CliError::new(format!("Git knows no commit `{reference}`"));
    let (name, suffix) = split(reference);
    let name = if name == "@" || (name.is_empty() && suffix.starts_with('@')) { "HEAD" } else { name };
    if find(repository, "HEAD").is_none() {
        return error.hint("this repository has no commit yet");
    }
    if find(repository, name).is_some() && !suffix.is_empty() {
        return too_few(repository, name, suffix, error);
    }
    let all = remotes(repository);
    // `origin/main` is the branch `main` of `origin`; a remote's name may hold a slash itself.
    let tracked = name.strip_prefix("refs/remotes/").or_else(|| name.strip_prefix("remotes/")).unwrap_or(name);
    let of = |remote: &&String| tracked.strip_prefix(remote.as_str()).is_some_and(|rest| rest.starts_with('/'));
    let (remote, branch) = match all.iter().filter(of).max_by_key(|remote| remote.len()) {
        Some(remote) => (Some(remote.clone()), &tracked[remote.len() + 1..]),
        // The usual name of a remote, which is called otherwise here.
        None => match tracked.strip_prefix("origin/").zip(default_remote(repository)) {
            Some((branch, remote)) => (Some(remote), branch),
            None => (None, name),
        },
    };
    let is_tracked = remote.is_some();
    let remote = remote.or_else(|| default_remote(repository)).filter(|_| is_plain(branch));
    let is_hex = name.len() >= 7 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    match remote {
        Some(remote) if is_shallow(repository) && is_hex && name.len() < 40 => error.hint(format!(
            "this clone is shallow: `git fetch --unshallow {remote}` brings the history; then run the same command again"
        )),
        Some(remote) if is_shallow(repository) => {
            let after = if is_hex { reference.to_owned() } else { format!("FETCH_HEAD{suffix}") };
            error
                .hint(format!(
                    "this clone is shallow: `git fetch --unshallow {remote} {branch}` brings `{branch}` and the history; \
                     then use --against {after}"
                ))
                .hint(format!(
                    "without the history, `git fetch --depth=1 {remote} {branch}` and then --against {} compares with `{branch}` itself",
                    if is_hex { format!("{name}..HEAD") } else { "FETCH_HEAD..HEAD".to_owned() }
                ))
        }
        Some(remote) if is_tracked => {
            error.hint(format!("`git fetch {remote} {branch}` brings it; then use --against FETCH_HEAD{suffix}"))
        }
        remote => error.hint(similar(repository, name, remote.as_deref())),
    }
}

/// Explains that a commit that is known has too few ancestors here.
fn too_few(repository: &Repository, name: &str, suffix: &str, error: CliError) -> CliError {
    let count = generations(suffix);
    if !is_shallow(repository) {
        let all = repository.ask(["rev-list", "--count", "--first-parent", name]);
        return match (count, all.ok().and_then(|all| all.parse().ok())) {
            (Some(_), Some(all)) => {
                error.hint(format!("with its ancestors, `{name}` has {} in a line", counted(all, "commit")))
            }
            _ => error.hint(format!("`{name}` is known, and `{suffix}` leads to no commit from there")),
        };
    }
    let Some(remote) = default_remote(repository) else {
        return error.hint("this clone is shallow, and has no remote that the history could come from");
    };
    let how = count.map_or_else(|| "--unshallow".to_owned(), |count| format!("--deepen={count}"));
    // A fetch deepens the history of what it asks for. Without a branch of the remote's, that must be the last commit which came from there.
    let follows = repository.ask(["rev-parse", "--abbrev-ref", "--symbolic-full-name", "@{upstream}"]).is_ok();
    let command = match name {
        "HEAD" if follows => format!("git fetch {how}"),
        name => {
            let oldest = repository.ask(["rev-list", "--max-parents=0", name]).unwrap_or_default();
            format!("git fetch {how} {remote} {}", oldest.lines().next().unwrap_or_default())
        }
    };
    error
        .hint(format!("this clone is shallow: `{command}` brings more of the history; then run the same command again"))
}

fn similar(repository: &Repository, name: &str, remote: Option<&str>) -> String {
    let refs = ["for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads", "refs/remotes", "refs/tags"];
    let known = repository.ask(refs).unwrap_or_default();
    let ending = format!("/{name}");
    let near = known.lines().find(|known| known.ends_with(&ending)).or_else(|| nearest(name, known.lines()));
    match (near, remote) {
        (Some(near), _) => format!("did you mean --against {near}?"),
        (None, Some(remote)) => format!(
            "if `{name}` is on the server alone, `git fetch {remote} {name}` brings it; then use --against FETCH_HEAD"
        ),
        (None, None) => "`git branch --all` and `git tag` list what there is".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generations_are_counted() {
        for (reference, name, count) in [
            ("HEAD~1", "HEAD", Some(1)),
            ("HEAD^", "HEAD", Some(1)),
            ("main~3^2~", "main", Some(5)),
            ("v1^0", "v1", Some(0)),
            ("HEAD~é", "HEAD", None),
            ("main@{1}", "main", None),
            ("main", "main", Some(0)),
            ("@~2", "@", Some(2)),
            ("@", "@", Some(0)),
            ("@{1}", "", None),
        ] {
            let (found, suffix) = split(reference);
            assert_eq!((found, generations(suffix)), (name, count), "{reference}");
        }
    }
}
