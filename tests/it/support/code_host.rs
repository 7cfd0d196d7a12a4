//! A host of code with one pull request, as far as its comments go: over HTTP on this machine, in memory.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

/// The token that may comment.
pub(crate) const TOKEN: &str = "ghp_opensesame";

/// Which host it plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    GitHub,
    Azure,
    GitLab,
}

/// The host, until the test ends.
pub(crate) struct CodeHost {
    kind: Kind,
    address: SocketAddr,
    comments: Arc<Mutex<Vec<String>>>,
}

impl CodeHost {
    /// Starts it with these comments by other people.
    pub(crate) fn start(kind: Kind, others: &[&str]) -> Self {
        let comments = Arc::new(Mutex::new(others.iter().map(|&other| other.to_owned()).collect::<Vec<_>>()));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::clone(&comments);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let comments = Arc::clone(&shared);
                std::thread::spawn(move || serve(kind, &stream, &comments));
            }
        });
        Self { kind, address, comments }
    }

    /// What a pipeline of this host for pull request 12 sets.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        let base = format!("http://{}", self.address);
        let variables: &[(&str, &str)] = match self.kind {
            Kind::GitHub => &[
                ("GITHUB_ACTIONS", "true"),
                ("GITHUB_API_URL", &base),
                ("GITHUB_REPOSITORY", "contoso/fleet"),
                ("GITHUB_REF", "refs/pull/12/merge"),
                ("GITHUB_EVENT_NAME", "pull_request"),
                ("GITHUB_TOKEN", TOKEN),
            ],
            Kind::Azure => &[
                ("TF_BUILD", "True"),
                ("SYSTEM_COLLECTIONURI", &base),
                ("SYSTEM_TEAMPROJECT", "fleet"),
                ("BUILD_REPOSITORY_ID", "3f2a"),
                ("SYSTEM_PULLREQUEST_PULLREQUESTID", "12"),
                ("SYSTEM_ACCESSTOKEN", TOKEN),
            ],
            Kind::GitLab => &[
                ("GITLAB_CI", "true"),
                ("CI_API_V4_URL", &base),
                ("CI_PROJECT_ID", "77"),
                ("CI_MERGE_REQUEST_IID", "12"),
                ("GITLAB_TOKEN", TOKEN),
            ],
        };
        variables.iter().map(|&(name, value)| (name, value.to_owned())).collect()
    }

    pub(crate) fn comments(&self) -> Vec<String> {
        self.comments.lock().expect("no server panicked").clone()
    }
}

fn serve(kind: Kind, stream: &TcpStream, comments: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream);
    while let Some((method, target, token, body)) = request(&mut reader) {
        let (status, answer) = match token {
            true => answer(kind, &method, &target, &body, &mut comments.lock().expect("no server panicked")),
            false => (401, json!({ "message": "Bad credentials" })),
        };
        let text = answer.to_string();
        let head =
            format!("HTTP/1.1 {status} OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", text.len());
        let mut writer = stream;
        if writer.write_all((head + &text).as_bytes()).is_err() {
            return;
        }
    }
}

/// Reads a request: method, target, whether the token is right, body.
fn request(reader: &mut BufReader<&TcpStream>) -> Option<(String, String, bool, Value)> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|&read| read > 0)?;
    let mut words = line.split(' ').map(str::to_owned);
    let (method, target) = (words.next()?, words.next()?);
    let (mut length, mut token) = (0, false);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim_end().split_once(": ") else { break };
        match name.to_lowercase().as_str() {
            "content-length" => length = value.parse().ok()?,
            "authorization" => token = value == format!("Bearer {TOKEN}"),
            "private-token" => token = value == TOKEN,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((method, target, token, serde_json::from_slice(&body).unwrap_or_default()))
}

fn answer(kind: Kind, method: &str, target: &str, body: &Value, comments: &mut Vec<String>) -> (u16, Value) {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let number = |text: &str| query.split('&').find_map(|pair| pair.strip_prefix(text)?.parse::<usize>().ok());
    let (list, one, writes) = match kind {
        Kind::GitHub => ("/repos/contoso/fleet/issues/12/comments", "/repos/contoso/fleet/issues/comments/", "PATCH"),
        Kind::Azure => (
            "/fleet/_apis/git/repositories/3f2a/pullRequests/12/threads",
            "/fleet/_apis/git/repositories/3f2a/pullRequests/12/threads/",
            "PATCH",
        ),
        Kind::GitLab => ("/projects/77/merge_requests/12/notes", "/projects/77/merge_requests/12/notes/", "PUT"),
    };
    let text = |member: &str| body[member].as_str().expect("a text").to_owned();
    if method == "GET" && path == list {
        let all = comments.iter().enumerate();
        return (
            200,
            match kind {
                Kind::Azure => {
                    assert_eq!(query, "api-version=7.1");
                    json!({ "value": all.map(|(id, content)| json!({ "id": id, "comments": [{ "id": 1, "content": content }] })).collect::<Vec<_>>() })
                }
                Kind::GitHub | Kind::GitLab => {
                    let (size, page) = (number("per_page=").expect("a size"), number("page=").expect("a page"));
                    all.skip(size * (page - 1)).take(size).map(|(id, body)| json!({ "id": id, "body": body })).collect()
                }
            },
        );
    }
    if method == "POST" && path == list {
        comments.push(match kind {
            Kind::Azure => body["comments"][0]["content"].as_str().expect("a text").to_owned(),
            Kind::GitHub | Kind::GitLab => text("body"),
        });
        return (201, json!({ "id": comments.len() - 1 }));
    }
    let id = path.strip_prefix(one).map(|id| id.trim_end_matches("/comments/1"));
    match id.and_then(|id| comments.get_mut(id.parse::<usize>().ok()?)) {
        Some(comment) if method == writes => {
            *comment = text(if kind == Kind::Azure { "content" } else { "body" });
            (200, json!({}))
        }
        _ => (404, json!({ "message": "Not Found" })),
    }
}
