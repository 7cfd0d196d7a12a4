//! Import and export jobs over Azurite, Microsoft's emulator of blob storage, asked for by Microsoft's service SDK for Python.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::python::{step, steps};
use crate::support::{Sandbox, packages_of, scrub};

/// The account that every Azurite has, and its key (docs: Use the Azurite emulator for local Azure Storage development).
const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// Returns the folder of packages that has what the lock file says, made at the first call; none where there is no Node.
fn packages() -> Option<&'static Path> {
    static PACKAGES: OnceLock<Option<PathBuf>> = OnceLock::new();
    let here = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/node/azurite"));
    PACKAGES.get_or_init(|| packages_of(here, "azurite")).as_deref()
}

/// A blob storage on a free port, which forgets all at its end.
pub(crate) struct Azurite {
    child: Child,
    /// Where its account is.
    account: String,
}

impl Azurite {
    /// Starts one; none where there is no Node.
    pub(crate) fn start(sandbox: &Sandbox) -> Option<Self> {
        let packages = packages()?;
        let mut command = Command::new("node");
        command.arg(packages.join("azurite/dist/src/blob/main.js"));
        command.args(["--blobHost", "127.0.0.1", "--blobPort", "0", "--inMemoryPersistence", "--disableTelemetry"]);
        scrub(&mut command, &sandbox.path(""));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("node starts");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let address = loop {
            let line = lines.next().expect("it says where it listens").expect("UTF-8");
            if let Some((_, address)) = line.split_once("successfully listens on ") {
                break address.trim().to_owned();
            }
        };
        // It must not wait for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        Some(Self { child, account: format!("{address}/{ACCOUNT}") })
    }

    /// Returns the URI of a container that is opened by a signature.
    fn uri(&self, name: &str, signature: &str) -> String {
        format!("{}/{name}?{signature}", self.account)
    }

    /// Makes a container, and returns the URI that opens it. `client` is anybody's.
    pub(crate) fn container(&self, name: &str, client: &reqwest::Client) -> String {
        let signature = signature("rwdlc", "2099-01-01T00:00:00Z");
        let container = format!("{}/{name}", self.account);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let made =
            client.put(format!("{container}?restype=container&{signature}")).header("x-ms-version", "2020-10-02");
        let made = runtime.block_on(made.send()).expect("an answer");
        assert_eq!(made.status().as_u16(), 201, "{made:?}");
        self.uri(name, &signature)
    }
}

impl Drop for Azurite {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the parameters that open the account with these rights until then (docs: Create an account SAS).
fn signature(permissions: &str, expiry: &str) -> String {
    let (services, kinds, version) = ("b", "sco", "2020-10-02");
    let text = format!("{ACCOUNT}\n{permissions}\n{services}\n{kinds}\n\n{expiry}\n\n\n{version}\n");
    let key = STANDARD.decode(KEY).expect("base64");
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("any length is a key");
    mac.update(text.as_bytes());
    let signature = iothub_model::wire::encode_segment(&STANDARD.encode(mac.finalize().into_bytes()));
    let expiry = iothub_model::wire::encode_segment(expiry);
    format!("sv={version}&ss={services}&srt={kinds}&sp={permissions}&se={expiry}&sig={signature}")
}

#[test]
fn a_registry_goes_out_and_comes_in_again() {
    let sandbox = Sandbox::new();
    let Some(azurite) = Azurite::start(&sandbox) else { return };
    let hub = sandbox.hub();
    let uri = azurite.container("registry", &hub.new_client());
    assert_eq!(
        steps(&sandbox, &hub, "transfers.py", &[&uri]),
        [
            step("asked", json!(["export", true])),
            step("exported", json!(["export", "completed", 100, null])),
            step("deleted", json!(0)),
            step("imported", json!(["import", "completed", 100, null])),
            step("tags", json!([{ "n": 0 }, { "n": 1 }, { "n": 2 }])),
            step("keys kept", json!(true)),
            step("jobs", json!(["export", "import"])),
            step(
                "no blob",
                json!([
                    "import",
                    "failed",
                    0,
                    "reading the blob none.txt: the storage account answers with 404 BlobNotFound"
                ])
            ),
            step("cancelled none", json!([404, "JobNotFound"])),
        ]
    );
}

#[test]
fn containers_that_do_not_open_are_refused_at_once() {
    let sandbox = Sandbox::new();
    let Some(azurite) = Azurite::start(&sandbox) else { return };
    let hub = sandbox.hub();
    hub.create("d");
    let create = |properties: &Value| {
        let answer = hub.send("POST", "/jobs/create", None, Some(properties.clone()));
        let message = answer.body["Message"].as_str().unwrap_or_default();
        let code = message.strip_prefix("ErrorCode:").and_then(|rest| rest.split(';').next()).unwrap_or_default();
        (answer.status, code.to_owned())
    };
    const LATER: &str = "2099-01-01T00:00:00Z";
    let good = azurite.container("jobs", &hub.new_client());
    let with = |rights: &str| azurite.uri("jobs", &signature(rights, LATER));
    let expired = azurite.uri("jobs", &signature("rwdlc", "2020-01-01T00:00:00Z"));
    let wrong = azurite.uri("jobs", &signature("rwdlc", LATER).replace("sig=", "sig=AAAA"));
    let missing = azurite.uri("nowhere", &signature("rwdlc", LATER));
    let unreachable = "http://127.0.0.1:1/devstoreaccount1/jobs?sig=x".to_owned();
    let import = |input: &str, output: &str| json!({ "type": "import", "inputBlobContainerUri": input, "outputBlobContainerUri": output });
    let export = |output: &str| json!({ "type": "export", "outputBlobContainerUri": output });
    for bad in [&expired, &wrong, &missing, &unreachable, &with("rl"), &with("rwl"), &with("rdl")] {
        assert_eq!(create(&export(bad)), (400, "BlobContainerValidationError".to_owned()), "{bad}");
        assert_eq!(create(&import(&good, bad)), (400, "BlobContainerValidationError".to_owned()), "{bad}");
    }
    for bad in [&expired, &wrong, &missing, &unreachable, &with("wdl")] {
        assert_eq!(create(&import(bad, &good)), (400, "BlobContainerValidationError".to_owned()), "{bad}");
    }
    assert_eq!(create(&export(&with("rwd"))).0, 200);
}
