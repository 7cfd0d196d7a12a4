//! `twinctl comment` against a host of code.

use crate::support::code_host::{CodeHost, Kind, TOKEN};
use crate::support::{Run, Sandbox, snapshot};

const OURS: &str = "<!-- twinctl:redmond@hub.azure-devices.net -->";

fn comment(sandbox: &Sandbox, environment: &[(&'static str, String)], args: &[&str]) -> Run {
    let mut command = sandbox.command(["comment", "plan.md"].iter().chain(args));
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    Run::of(&mut command, &sandbox.path(""))
}

#[test]
fn one_comment_is_kept_up_to_date() {
    for (kind, name) in [(Kind::GitHub, "GitHub"), (Kind::Azure, "Azure DevOps"), (Kind::GitLab, "GitLab")] {
        let sandbox = Sandbox::new();
        let quoted = format!("> {OURS}\nwhat is this?");
        let others = ["Looks good", "<!-- twinctl:oslo@hub.azure-devices.net -->\nanother fleet's", &quoted];
        let host = CodeHost::start(kind, &others);
        for (text, said) in
            [("one", "commented on"), ("two", "updated the comment on"), ("three", "updated the comment on")]
        {
            let body = format!("{OURS}\n\n{text}\n");
            sandbox.write("plan.md", &body);
            let run = comment(&sandbox, &host.environment(), &[]);
            assert_eq!(run.success(), format!("{said} pull request 12 on {name}\n"));
            let now = host.comments();
            assert_eq!(now[..3], others, "nobody else's comment is touched");
            assert_eq!(now[3..], [body]);
        }
    }
}

#[test]
fn a_comment_is_found_on_any_page() {
    let sandbox = Sandbox::new();
    sandbox.write("plan.md", &format!("{OURS}\nnew\n"));
    let mut all = vec!["chatter"; 250];
    all.push("<!-- twinctl:redmond@hub.azure-devices.net -->\nold");
    for kind in [Kind::GitHub, Kind::GitLab] {
        let host = CodeHost::start(kind, &all);
        _ = comment(&sandbox, &host.environment(), &[]).success();
        assert_eq!(host.comments().len(), 251);
        assert!(host.comments()[250].ends_with("new\n"));
    }
}

#[test]
fn what_goes_wrong() {
    let sandbox = Sandbox::new();
    sandbox.write("plan.md", &format!("{OURS}\nnew\n"));
    let host = CodeHost::start(Kind::GitHub, &[]);
    let with = |name: &str, value: &str| {
        let mut environment = host.environment();
        environment.iter_mut().filter(|(known, _)| *known == name).for_each(|(_, given)| *given = value.to_owned());
        environment
    };
    let mut told = String::new();
    for (what, environment, args) in [
        ("another token", with("GITHUB_TOKEN", "ghp_other"), &[][..]),
        ("no token", with("GITHUB_TOKEN", ""), &[]),
        ("a push", with("GITHUB_REF", "refs/heads/main"), &[]),
        ("no pipeline", with("GITHUB_ACTIONS", ""), &[]),
        ("an address for everybody to read", with("GITHUB_API_URL", "http://api.example.com"), &[]),
        ("another host's pipeline", host.environment(), &["--host", "gitlab"]),
    ] {
        let run = comment(&sandbox, &environment, args);
        let text = run.to_string();
        assert!(!text.contains(TOKEN) && !text.contains("ghp_other"), "{text}");
        told.push_str(&format!("# {what}\n{text}\n\n"));
    }
    sandbox.write("plan.md", "# A plan\n");
    told.push_str(&format!("# no marker\n{}\n", comment(&sandbox, &host.environment(), &[])));
    assert!(host.comments().is_empty());
    snapshot("comment-errors", told);
}
