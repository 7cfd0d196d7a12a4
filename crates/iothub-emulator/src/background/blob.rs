//! Block blobs over HTTP, as far as a signature in a container's URI opens them (docs: Blob service REST API).

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Client;
use reqwest::Response;

use iothub_model::wire::transfers::blob_uri;

/// The version of the storage API that is spoken.
const VERSION: &str = "2021-12-02";
/// A storage account that does not answer by then does not answer.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The longest line, in bytes: a device with a twin of the largest size is well below it.
const LINE_MAX: usize = 4 << 20;
/// Bytes of one block.
const BLOCK: usize = 4 << 20;

/// Why a blob was not read or written. Holds no URI: a signature may be in it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BlobError {
    #[error("setting up a client for blobs: {0}")]
    Setup(String),
    #[error("{doing} the blob {blob}: the storage account cannot be reached: {reason}")]
    Unreachable { doing: &'static str, blob: String, reason: String },
    #[error("reading the blob {blob}: a line is longer than {LINE_MAX} bytes")]
    Line { blob: String },
    #[error("{doing} the blob {blob}: the storage account answers with {status}{code}")]
    Refused { doing: &'static str, blob: String, status: u16, code: String },
}

impl BlobError {
    /// Returns `true` if the container is there and the blob is not.
    pub(crate) fn is_missing_blob(&self) -> bool {
        matches!(self, Self::Refused { status: 404, code, .. } if code.trim() == "BlobNotFound")
    }

    /// Returns `true` if the signature does not allow what was asked.
    pub(crate) fn is_unauthorized(&self) -> bool {
        matches!(self, Self::Refused { status: 401 | 403, .. })
    }
}

/// A client for blobs.
pub(crate) struct Blobs {
    client: Client,
}

impl Blobs {
    pub(crate) fn new() -> Result<Self, BlobError> {
        let setup = |error: &dyn std::fmt::Display| BlobError::Setup(error.to_string());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = rustls_platform_verifier::Verifier::new(provider.clone()).map_err(|error| setup(&error))?;
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| setup(&error))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .timeout(TIMEOUT)
            // A signature is for one address.
            .redirect(reqwest::redirect::Policy::none())
            .build();
        Ok(Self { client: client.map_err(|error| setup(&error.without_url()))? })
    }

    /// Begins to read a blob.
    pub(crate) async fn read(&self, container: &str, blob: &str) -> Result<BlobReader, BlobError> {
        let request = self.client.get(blob_uri(container, blob)).header("x-ms-version", VERSION);
        let response = answered("reading", blob, request.send().await)?;
        Ok(BlobReader { response, blob: blob.to_owned(), rest: Vec::new() })
    }

    /// Begins to write a blob, in place of the one that is there.
    pub(crate) fn write<'a>(&'a self, container: &'a str, blob: &'a str) -> BlobWriter<'a> {
        BlobWriter { blobs: self, container, blob, pending: Vec::new(), blocks: Vec::new() }
    }

    /// Asks for a blob without its content.
    pub(crate) async fn try_read(&self, container: &str, blob: &str) -> Result<(), BlobError> {
        let request = self.client.head(blob_uri(container, blob)).header("x-ms-version", VERSION);
        answered("reading", blob, request.send().await).map(|_| ())
    }

    /// Sends a block of a blob that nobody commits, so that the blob stays as it is.
    pub(crate) async fn try_write(&self, container: &str, blob: &str) -> Result<(), BlobError> {
        let mut writer = self.write(container, blob);
        writer.pending.push(b'\n');
        writer.block().await
    }

    /// Deletes a blob.
    pub(crate) async fn try_delete(&self, container: &str, blob: &str) -> Result<(), BlobError> {
        let request = self.client.delete(blob_uri(container, blob)).header("x-ms-version", VERSION);
        answered("deleting", blob, request.send().await).map(|_| ())
    }

    async fn put(&self, uri: String, blob: &str, body: Vec<u8>) -> Result<(), BlobError> {
        let request = self.client.put(uri).header("x-ms-version", VERSION).body(body);
        answered("writing", blob, request.send().await).map(|_| ())
    }
}

fn answered(
    doing: &'static str,
    blob: &str,
    response: Result<Response, reqwest::Error>,
) -> Result<Response, BlobError> {
    let blob = blob.to_owned();
    let response = response.map_err(|error| BlobError::Unreachable {
        doing,
        blob: blob.clone(),
        reason: error.without_url().to_string(),
    })?;
    if response.status().is_success() {
        return Ok(response);
    }
    let code = response.headers().get("x-ms-error-code").and_then(|code| code.to_str().ok());
    let code = code.map(|code| format!(" {}", code.escape_debug())).unwrap_or_default();
    Err(BlobError::Refused { doing, blob, status: response.status().as_u16(), code })
}

/// A blob's lines, one by one.
pub(crate) struct BlobReader {
    response: Response,
    blob: String,
    rest: Vec<u8>,
}

impl BlobReader {
    /// Returns the next line without its end; none after the last.
    pub(crate) async fn line(&mut self) -> Result<Option<Vec<u8>>, BlobError> {
        let mut looked = 0;
        loop {
            if let Some(at) = self.rest[looked..].iter().position(|&byte| byte == b'\n') {
                let mut line: Vec<u8> = self.rest.drain(..=looked + at).collect();
                line.pop();
                return Ok(Some(line));
            }
            looked = self.rest.len();
            if looked > LINE_MAX {
                return Err(BlobError::Line { blob: self.blob.clone() });
            }
            let chunk = self.response.chunk().await.map_err(|error| BlobError::Unreachable {
                doing: "reading",
                blob: self.blob.clone(),
                reason: error.without_url().to_string(),
            })?;
            match chunk {
                Some(chunk) => self.rest.extend_from_slice(&chunk),
                None if self.rest.is_empty() => return Ok(None),
                None => return Ok(Some(std::mem::take(&mut self.rest))),
            }
        }
    }
}

/// A blob that is being written, block by block. It is there when [`BlobWriter::finish`] returns, and not before.
pub(crate) struct BlobWriter<'a> {
    blobs: &'a Blobs,
    container: &'a str,
    blob: &'a str,
    pending: Vec<u8>,
    blocks: Vec<String>,
}

impl BlobWriter<'_> {
    pub(crate) async fn line(&mut self, line: &str) -> Result<(), BlobError> {
        self.pending.extend_from_slice(line.as_bytes());
        self.pending.extend_from_slice(b"\r\n");
        if self.pending.len() >= BLOCK { self.block().await } else { Ok(()) }
    }

    async fn block(&mut self) -> Result<(), BlobError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let id = STANDARD.encode(format!("{:08}", self.blocks.len()));
        let uri = self.uri(&format!("comp=block&blockid={}", iothub_model::wire::encode_segment(&id)));
        self.blobs.put(uri, self.blob, std::mem::take(&mut self.pending)).await?;
        self.blocks.push(id);
        Ok(())
    }

    pub(crate) async fn finish(mut self) -> Result<(), BlobError> {
        self.block().await?;
        let blocks: String = self.blocks.iter().map(|id| format!("<Latest>{id}</Latest>")).collect();
        let list = format!("<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>{blocks}</BlockList>");
        self.blobs.put(self.uri("comp=blocklist"), self.blob, list.into_bytes()).await
    }

    fn uri(&self, parameters: &str) -> String {
        let uri = blob_uri(self.container, self.blob);
        let separator = if uri.contains('?') { '&' } else { '?' };
        format!("{uri}{separator}{parameters}")
    }
}

/// Returns a line without blanks, and without the mark with which some editors begin a file.
pub(crate) fn trimmed(line: &[u8]) -> &[u8] {
    let text = line.trim_ascii();
    text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text)
}
