//! The hosts of code: where a pull request's comments are, what they look like, and what a pipeline knows about itself.

use std::fmt;

use reqwest::Url;
use serde_json::{Value, json};

use super::Marker;
use iothub_model::wire::Secret;

/// Comments of one page, where a host has pages.
const PAGE: usize = 100;

/// A host of code with pull requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    /// GitHub, in the cloud or an Enterprise Server: an issue comment (docs: REST API endpoints for issue comments).
    GitHub,
    /// Azure DevOps: a thread of one comment (docs: Pull Request Threads, REST API 7.1).
    AzureDevOps,
    /// GitLab: a note on a merge request (docs: Notes API).
    GitLab,
}

impl Host {
    /// Returns the host whose pipeline this is, by the variable that each sets for itself.
    pub(crate) fn detect(environment: &dyn Fn(&str) -> Option<String>) -> Option<Self> {
        let is = |name: &str| environment(name).is_some_and(|value| value.eq_ignore_ascii_case("true"));
        match () {
            () if is("GITHUB_ACTIONS") => Some(Self::GitHub),
            () if is("TF_BUILD") => Some(Self::AzureDevOps),
            () if is("GITLAB_CI") => Some(Self::GitLab),
            () => None,
        }
    }

    fn token_variables(self) -> &'static [&'static str] {
        match self {
            Self::GitHub => &["GITHUB_TOKEN", "GH_TOKEN"],
            Self::AzureDevOps => &["SYSTEM_ACCESSTOKEN"],
            Self::GitLab => &["GITLAB_TOKEN"],
        }
    }

    /// Says how a pipeline gets the token that may comment.
    pub(crate) fn token_advice(self) -> &'static str {
        match self {
            Self::GitHub => {
                "give the step `GITHUB_TOKEN: ${{ github.token }}`, and the job `permissions: pull-requests: write`"
            }
            Self::AzureDevOps => {
                "give the step `SYSTEM_ACCESSTOKEN: $(System.AccessToken)`, and the build service the right to contribute to pull requests"
            }
            Self::GitLab => {
                "make a project access token with the scope `api`, and keep it as the masked variable GITLAB_TOKEN: CI_JOB_TOKEN may not comment"
            }
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::GitHub => "GitHub",
            Self::AzureDevOps => "Azure DevOps",
            Self::GitLab => "GitLab",
        })
    }
}

/// The comments of one pull request.
#[derive(Clone, Debug)]
pub(crate) struct CommentTarget {
    /// Whose.
    pub host: Host,
    /// The pull request's number.
    pub number: u64,
    /// Where they are listed and made, without a query.
    comments: Url,
    pub(super) token: Secret,
}

/// Why the environment does not lead to a pull request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TargetError {
    /// A variable is missing.
    #[error("commenting on {host}: {variable} is not set")]
    Missing {
        /// Where.
        host: Host,
        /// Which.
        variable: &'static str,
    },
    /// No token.
    #[error("commenting on {host}: there is no token: {} is not set", .host.token_variables()[0])]
    NoToken {
        /// Where.
        host: Host,
    },
    /// A token that cannot be one.
    #[error("commenting on {host}: {variable} holds a space or a line break, and no token does")]
    Token {
        /// Where.
        host: Host,
        /// Which variable.
        variable: &'static str,
    },
    /// The pipeline does not run for a pull request.
    #[error("commenting on {host}: this run is for no pull request")]
    NoPullRequest {
        /// Where.
        host: Host,
    },
    /// An address that a token must not go to.
    #[error("commenting on {host}: {variable} is no https address")]
    Address {
        /// Where.
        host: Host,
        /// Which variable.
        variable: &'static str,
    },
}

/// One request to a host.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct HostCall {
    pub(super) method: http::Method,
    pub(super) url: Url,
    pub(super) body: Option<Value>,
}

impl CommentTarget {
    /// Finds the pull request that a pipeline runs for, in the variables that its host sets. `number` is another one's.
    ///
    /// # Errors
    ///
    /// Names the variable that is missing or wrong; never what is in it.
    pub(crate) fn of(
        host: Host,
        number: Option<u64>,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, TargetError> {
        let find = |variable: &'static str| {
            environment(variable).filter(|value| !value.is_empty()).ok_or(TargetError::Missing { host, variable })
        };
        let numbered = |variable: &'static str| {
            let given = number.or_else(|| environment(variable)?.parse().ok());
            given.ok_or(TargetError::NoPullRequest { host })
        };
        let (base, segments, number) = match host {
            Host::GitHub => {
                // `refs/pull/12/merge`
                let of_ref = || environment("GITHUB_REF")?.strip_prefix("refs/pull/")?.split('/').next()?.parse().ok();
                let number = number.or_else(of_ref).ok_or(TargetError::NoPullRequest { host })?;
                let repository = find("GITHUB_REPOSITORY")?;
                let mut segments = vec!["repos".to_owned()];
                segments.extend(repository.split('/').map(str::to_owned));
                segments.extend(["issues".to_owned(), number.to_string(), "comments".to_owned()]);
                ("GITHUB_API_URL", segments, number)
            }
            Host::AzureDevOps => {
                let number = numbered("SYSTEM_PULLREQUEST_PULLREQUESTID")?;
                let segments = [
                    &find("SYSTEM_TEAMPROJECT")?,
                    "_apis",
                    "git",
                    "repositories",
                    &find("BUILD_REPOSITORY_ID")?,
                    "pullRequests",
                    &number.to_string(),
                    "threads",
                ];
                ("SYSTEM_COLLECTIONURI", segments.map(str::to_owned).into(), number)
            }
            Host::GitLab => {
                let number = numbered("CI_MERGE_REQUEST_IID")?;
                let project = find("CI_PROJECT_ID")?;
                let segments = ["projects", &project, "merge_requests", &number.to_string(), "notes"];
                ("CI_API_V4_URL", segments.map(str::to_owned).into(), number)
            }
        };
        let bad = TargetError::Address { host, variable: base };
        let mut comments = Url::parse(&find(base)?).map_err(|_| bad.clone())?;
        if !may_carry_a_token(&comments) {
            return Err(bad);
        }
        comments.path_segments_mut().map_err(|()| bad)?.pop_if_empty().extend(segments);
        // A line break at the end is what files have.
        let given = |&variable: &&'static str| Some((variable, environment(variable)?.trim().to_owned()));
        let mut given = host.token_variables().iter().filter_map(given);
        let (variable, token) = given.find(|(_, token)| !token.is_empty()).ok_or(TargetError::NoToken { host })?;
        let token = Secret::new(token);
        if !token.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(TargetError::Token { host, variable });
        }
        Ok(Self { host, number, comments, token })
    }

    /// Asks for a page of the comments, from 1; nothing after the last page where a host has only one.
    pub(super) fn list(&self, page: usize) -> Option<HostCall> {
        let mut url = self.comments.clone();
        match self.host {
            Host::GitHub | Host::GitLab => {
                url.query_pairs_mut().append_pair("per_page", &PAGE.to_string()).append_pair("page", &page.to_string());
            }
            Host::AzureDevOps if page > 1 => return None,
            Host::AzureDevOps => version(&mut url),
        }
        Some(HostCall { method: http::Method::GET, url, body: None })
    }

    /// Finds the marked comment on a page: where it is changed. Also says whether more pages may follow. Nothing when the answer is no list of comments.
    pub(super) fn find(&self, page: &Value, marker: &Marker) -> Option<(Option<Url>, bool)> {
        let marked = |comment: &Value, text: &str| comment.get(text)?.as_str().map(|body| marker.marks(body));
        match self.host {
            Host::GitHub | Host::GitLab => {
                let comments = page.as_array()?;
                let of = |comment: &&Value| marked(comment, "body") == Some(true) && self.may_be_ours(comment);
                let found = comments.iter().find(of).and_then(|comment| comment.get("id")?.as_u64());
                Some((found.map(|id| self.comment(id)), comments.len() == PAGE))
            }
            Host::AzureDevOps => {
                let threads = page.get("value")?.as_array()?;
                let found = threads.iter().find_map(|thread| {
                    let first = thread.get("comments")?.as_array()?.first()?;
                    let deleted = |it: &Value| it.get("isDeleted").and_then(Value::as_bool) == Some(true);
                    if deleted(thread) || deleted(first) || marked(first, "content") != Some(true) {
                        return None;
                    }
                    let mut url = self.comments.clone();
                    let (thread, comment) = (thread.get("id")?.as_u64()?, first.get("id")?.as_u64()?);
                    let segments = [&thread.to_string(), "comments", &comment.to_string()];
                    url.path_segments_mut().ok()?.extend(segments);
                    version(&mut url);
                    Some(url)
                });
                Some((found, false))
            }
        }
    }

    /// Says whether who wrote a comment may be who asks. Anybody may begin a comment with the marker, and could change later what is
    /// written over it. The token of a GitHub pipeline is an app's (docs: GitHub's token formats), and no person writes as an app.
    fn may_be_ours(&self, comment: &Value) -> bool {
        let of_a_person = comment.pointer("/user/type").is_some_and(|kind| kind == "User");
        !(of_a_person && self.host == Host::GitHub && self.token.expose().starts_with("ghs_"))
    }

    /// Where a comment is changed: on GitHub beside the issues, on GitLab under the merge request.
    fn comment(&self, id: u64) -> Url {
        let mut url = self.comments.clone();
        let mut segments = url.path_segments_mut().expect("an https address has a path");
        if self.host == Host::GitHub {
            // `…/issues/12/comments` to `…/issues/comments`
            segments.pop().pop().push("comments");
        }
        segments.push(&id.to_string());
        drop(segments);
        url
    }

    /// Makes a comment.
    pub(super) fn create(&self, body: &str) -> HostCall {
        let mut url = self.comments.clone();
        let body = match self.host {
            Host::GitHub | Host::GitLab => json!({ "body": body }),
            Host::AzureDevOps => {
                version(&mut url);
                // Closed: a plan is no question that somebody has to resolve before the merge.
                json!({ "comments": [{ "parentCommentId": 0, "content": body, "commentType": "text" }], "status": "closed" })
            }
        };
        HostCall { method: http::Method::POST, url, body: Some(body) }
    }

    /// Writes over a comment that [`CommentTarget::find`] found.
    pub(super) fn update(&self, comment: Url, body: &str) -> HostCall {
        let (method, member) = match self.host {
            Host::GitHub => (http::Method::PATCH, "body"),
            Host::AzureDevOps => (http::Method::PATCH, "content"),
            Host::GitLab => (http::Method::PUT, "body"),
        };
        HostCall { method, url: comment, body: Some(json!({ member: body })) }
    }

    /// The headers by which a host knows who asks.
    pub(super) fn headers(&self) -> Vec<(&'static str, Secret)> {
        let token = self.token.expose();
        match self.host {
            Host::GitHub => vec![
                ("authorization", Secret::new(format!("Bearer {token}"))),
                ("accept", Secret::new("application/vnd.github+json")),
                ("x-github-api-version", Secret::new("2022-11-28")),
            ],
            Host::AzureDevOps => vec![("authorization", Secret::new(format!("Bearer {token}")))],
            Host::GitLab => vec![("private-token", self.token.clone())],
        }
    }
}

fn version(url: &mut Url) {
    url.query_pairs_mut().append_pair("api-version", "7.1");
}

/// A token goes over TLS, or nowhere but this machine.
fn may_carry_a_token(url: &Url) -> bool {
    let loopback = match url.host_str() {
        Some("localhost") => true,
        Some(host) => host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|it| it.is_loopback()),
        None => false,
    };
    url.scheme() == "https" || (url.scheme() == "http" && loopback)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(of: &'static [(&'static str, &'static str)]) -> impl Fn(&str) -> Option<String> {
        move |name| of.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    }

    const GITHUB: &[(&str, &str)] = &[
        ("GITHUB_ACTIONS", "true"),
        ("GITHUB_API_URL", "https://api.example.com"),
        ("GITHUB_REPOSITORY", "contoso/fleet"),
        ("GITHUB_REF", "refs/pull/12/merge"),
        ("GITHUB_TOKEN", "hunter2"),
    ];
    const AZURE: &[(&str, &str)] = &[
        ("TF_BUILD", "True"),
        ("SYSTEM_COLLECTIONURI", "https://dev.example.com/contoso/"),
        ("SYSTEM_TEAMPROJECT", "Our Fleet"),
        ("BUILD_REPOSITORY_ID", "3f2a"),
        ("SYSTEM_PULLREQUEST_PULLREQUESTID", "12"),
        ("SYSTEM_ACCESSTOKEN", "hunter2"),
    ];
    const GITLAB: &[(&str, &str)] = &[
        ("GITLAB_CI", "true"),
        ("CI_API_V4_URL", "https://gitlab.example.com/api/v4"),
        ("CI_PROJECT_ID", "77"),
        ("CI_MERGE_REQUEST_IID", "12"),
        ("GITLAB_TOKEN", "hunter2"),
    ];

    fn target(of: &'static [(&'static str, &'static str)]) -> CommentTarget {
        let environment = environment(of);
        CommentTarget::of(Host::detect(&environment).expect("a host"), None, &environment).expect("a target")
    }

    #[test]
    fn no_manifest_can_hold_a_token() {
        for variable in [Host::GitHub, Host::AzureDevOps, Host::GitLab].into_iter().flat_map(Host::token_variables) {
            let text = format!("fleet: f\ndevices: {{ d: {{ tags: {{ t: '${{env.{variable}}}' }} }} }}\n");
            let found = crate::manifest::load_texts(&[("f.yaml", &text)], &|_| Some("hunter2".to_owned()));
            assert!(found.is_err(), "{variable}");
        }
    }

    #[test]
    fn addresses() {
        let marker = Marker::of("<!-- twinctl:a@b -->").expect("a marker");
        for (variables, list, update, page) in [
            (
                GITHUB,
                "https://api.example.com/repos/contoso/fleet/issues/12/comments?per_page=100&page=1",
                "PATCH https://api.example.com/repos/contoso/fleet/issues/comments/5",
                json!([{ "id": 4, "body": "> <!-- twinctl:a@b -->" }, { "id": 5, "body": "<!-- twinctl:a@b -->\nx" }]),
            ),
            (
                AZURE,
                "https://dev.example.com/contoso/Our%20Fleet/_apis/git/repositories/3f2a/pullRequests/12/threads?api-version=7.1",
                "PATCH https://dev.example.com/contoso/Our%20Fleet/_apis/git/repositories/3f2a/pullRequests/12/threads/9/comments/1?api-version=7.1",
                json!({ "value": [
                    { "id": 8, "isDeleted": true, "comments": [{ "id": 1, "content": "<!-- twinctl:a@b -->" }] },
                    { "id": 7, "comments": [] },
                    { "id": 9, "comments": [{ "id": 1, "content": "<!-- twinctl:a@b -->" }] },
                ] }),
            ),
            (
                GITLAB,
                "https://gitlab.example.com/api/v4/projects/77/merge_requests/12/notes?per_page=100&page=1",
                "PUT https://gitlab.example.com/api/v4/projects/77/merge_requests/12/notes/5",
                json!([{ "id": 5, "body": "<!-- twinctl:a@b -->" }]),
            ),
        ] {
            let target = target(variables);
            assert_eq!(target.list(1).expect("a page").url.as_str(), list);
            let (found, more) = target.find(&page, &marker).expect("a list");
            assert!(!more);
            let call = target.update(found.expect("it is there"), "new");
            assert_eq!(format!("{} {}", call.method, call.url), update);
            assert_eq!(target.find(&json!("nonsense"), &marker), None);
        }
    }

    #[test]
    fn what_is_missing_is_named_and_no_token_is_shown() {
        let without = |all: &'static [(&'static str, &'static str)], name: &'static str| {
            let environment = environment(all);
            let host = Host::detect(&environment).expect("a host");
            let error = CommentTarget::of(host, None, &|asked| environment(asked).filter(|_| asked != name));
            error.expect_err(name).to_string()
        };
        for (all, name, message) in [
            (GITHUB, "GITHUB_TOKEN", "commenting on GitHub: there is no token: GITHUB_TOKEN is not set"),
            (GITHUB, "GITHUB_REF", "commenting on GitHub: this run is for no pull request"),
            (GITHUB, "GITHUB_API_URL", "commenting on GitHub: GITHUB_API_URL is not set"),
            (AZURE, "SYSTEM_PULLREQUEST_PULLREQUESTID", "commenting on Azure DevOps: this run is for no pull request"),
            (GITLAB, "GITLAB_TOKEN", "commenting on GitLab: there is no token: GITLAB_TOKEN is not set"),
        ] {
            assert_eq!(without(all, name), message);
        }
        assert!(!format!("{:?}", target(GITHUB)).contains("hunter2"));
    }

    #[test]
    fn a_person_s_comment_is_not_taken_for_the_pipeline_s() {
        let with = |token: &'static str| {
            let environment = environment(GITHUB);
            let environment = move |name: &str| match name {
                "GITHUB_TOKEN" => Some(token.to_owned()),
                _ => environment(name),
            };
            CommentTarget::of(Host::GitHub, None, &environment).expect("a target")
        };
        let marker = Marker::of("<!-- twinctl:f@h -->").expect("a marker");
        let by = |id: u64, kind: &str| json!({ "id": id, "body": "<!-- twinctl:f@h -->\n", "user": { "type": kind } });
        let page = json!([by(7, "User"), by(8, "Bot")]);
        for (token, id) in [("ghs_abc", "8"), ("ghp_abc", "7")] {
            let (found, _) = with(token).find(&page, &marker).expect("a list");
            assert_eq!(found.expect("it is there").path_segments().and_then(Iterator::last), Some(id), "{token}");
        }
    }

    #[test]
    fn tokens_may_end_in_a_line_break_and_hold_none() {
        let with = |token: &'static str| {
            let environment = environment(GITHUB);
            CommentTarget::of(Host::GitHub, None, &move |name| {
                if name == "GITHUB_TOKEN" { Some(token.to_owned()) } else { environment(name) }
            })
        };
        assert_eq!(with(" abc\r\n").expect("a target").token.expose(), "abc");
        for (token, message) in [
            ("abc\ndef", "commenting on GitHub: GITHUB_TOKEN holds a space or a line break, and no token does"),
            (" \n", "commenting on GitHub: there is no token: GITHUB_TOKEN is not set"),
        ] {
            assert_eq!(with(token).expect_err(message).to_string(), message);
        }
    }

    #[test]
    fn tokens_go_over_tls_or_stay_here() {
        for (url, may) in [
            ("https://api.example.com", true),
            ("http://api.example.com", false),
            ("http://127.0.0.1:80", true),
            ("http://[::1]:80", true),
            ("http://localhost", true),
            ("file:///etc/passwd", false),
        ] {
            assert_eq!(may_carry_a_token(&Url::parse(url).expect("a URL")), may, "{url}");
        }
    }
}
