//! A hub that does just as it is told: a TLS server that answers request after request from a list.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::client::{Backoff, ClientOptions, HubClient};
use iothub_model::wire::ConnectionString;

/// What to do about one request.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// Send this and keep the connection.
    Send(String),
    /// Send this and close.
    SendAndClose(String),
    /// Close without a word.
    Close,
    /// Say nothing.
    Hang,
}

/// Writes an answer, with its length.
pub(crate) fn answer(status: &str, headers: &str, body: &str) -> Reply {
    let length = body.len();
    Reply::Send(format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{headers}\r\n{body}"))
}

/// Writes a good answer.
pub(crate) fn json(body: &str) -> Reply {
    answer("200 OK", "content-type: application/json; charset=utf-8\r\n", body)
}

#[derive(Default)]
struct Seen {
    requests: Vec<String>,
    connections: usize,
}

pub(crate) struct Server {
    port: u16,
    ca_pem: String,
    seen: Arc<Mutex<Seen>>,
}

impl Server {
    /// Answers with `replies`, in order; whoever asks for more is hung up on.
    pub(crate) async fn start(replies: impl IntoIterator<Item = Reply>) -> Self {
        Self::with_certificate(|_| {}, replies).await
    }

    /// Answers each request with the first reply left whose word is in it: for clients that ask several things at once.
    pub(crate) async fn start_by_word<'w>(replies: impl IntoIterator<Item = (&'w str, Reply)>) -> Self {
        Self::with(|_| {}, replies.into_iter().map(|(word, reply)| (word.to_owned(), reply)).collect()).await
    }

    pub(crate) async fn with_certificate(
        change: impl FnOnce(&mut CertificateParams),
        replies: impl IntoIterator<Item = Reply>,
    ) -> Self {
        Self::with(change, replies.into_iter().map(|reply| (String::new(), reply)).collect()).await
    }

    async fn with(change: impl FnOnce(&mut CertificateParams), replies: VecDeque<(String, Reply)>) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("names");
        change(&mut params);
        let certificate = params.self_signed(&key).expect("a certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], private)
            .expect("a configuration");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let replies = Arc::new(Mutex::new(replies));
        let all_seen = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, seen, replies) = (acceptor.clone(), Arc::clone(&all_seen), Arc::clone(&replies));
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    seen.lock().expect("no panic").connections += 1;
                    let mut stream = BufReader::new(stream);
                    while let Some(request) = read_request(&mut stream).await {
                        let reply = {
                            let mut replies = replies.lock().expect("no panic");
                            let at = replies.iter().position(|(word, _)| request.contains(word));
                            at.and_then(|at| replies.remove(at)).map_or(Reply::Close, |(_, reply)| reply)
                        };
                        seen.lock().expect("no panic").requests.push(request);
                        match reply {
                            // A client need not read all that it is sent.
                            Reply::Send(text) if stream.write_all(text.as_bytes()).await.is_err() => break,
                            Reply::Send(_) => {}
                            Reply::SendAndClose(text) => {
                                let _ = stream.write_all(text.as_bytes()).await;
                                break;
                            }
                            Reply::Close => break,
                            Reply::Hang => std::future::pending().await,
                        }
                    }
                    let _ = stream.shutdown().await;
                });
            }
        });
        Self { port, ca_pem: certificate.pem(), seen }
    }

    /// Returns a client of this server that does not try again.
    pub(crate) fn client(&self) -> HubClient {
        self.client_with(|options| options.backoff.budget = Duration::ZERO)
    }

    /// Returns the certificate to trust, in PEM.
    pub(crate) fn client_ca(&self) -> Option<Vec<u8>> {
        Some(self.ca_pem.clone().into_bytes())
    }

    pub(crate) fn client_with(&self, change: impl FnOnce(&mut ClientOptions)) -> HubClient {
        let mut options = options(&format!("127.0.0.1:{}", self.port));
        options.ca_pem = self.client_ca();
        change(&mut options);
        HubClient::new(options).expect("a client")
    }

    /// Returns what was asked so far: request lines, some headers, and the body.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.seen.lock().expect("no panic").requests.clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.seen.lock().expect("no panic").connections
    }

    /// Replaces what is different in each run.
    pub(crate) fn steady(&self, text: &str) -> String {
        text.replace(&self.port.to_string(), "PORT")
    }
}

/// Options for a hub at `host`, patient for the blink of an eye.
pub(crate) fn options(host: &str) -> ClientOptions {
    let connection = format!("HostName={host};SharedAccessKeyName=service;SharedAccessKey=AAECAwQFBgcICQoLDA0ODw==");
    let connection = ConnectionString::parse(&connection).expect("a connection string");
    let now = UNIX_EPOCH + Duration::from_secs(1_795_552_000);
    let blink = Duration::from_millis(2);
    ClientOptions {
        backoff: Backoff { busy_base: blink, passing_base: blink, ..Backoff::default() },
        ..ClientOptions::new(connection, Arc::new(move || now))
    }
}

/// Makes a certificate that ended in 2001.
pub(crate) fn expired(params: &mut CertificateParams) {
    params.not_before = date_time_ymd(2000, 1, 1);
    params.not_after = date_time_ymd(2001, 1, 1);
}

/// Reads a request; shows its first line, the headers that matter and the body.
async fn read_request(stream: &mut (impl AsyncBufReadExt + Unpin)) -> Option<String> {
    let mut shown = String::new();
    let mut length = 0;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length: ") {
            length = value.parse().expect("a length");
        }
        if shown.is_empty() {
            shown.push_str(line);
        } else if ["if-match", "x-ms-", "content-type"].iter().any(|name| lower.starts_with(name)) {
            shown.push('\n');
            shown.push_str(line);
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    if length > 0 {
        shown.push('\n');
        shown.push_str(&String::from_utf8(body).expect("UTF-8"));
    }
    Some(shown)
}
