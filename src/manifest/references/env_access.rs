//! Which environment variables `${env.NAME}` may read.
//!
//! A person who can change a manifest can put a variable into a plan, and can read the plan. So a reference does not read what twinctl
//! itself works with, nor what looks like a credential, by its name or by its value. The caller can open single variables of the second
//! kind, and names that begin with [`ALWAYS_OPEN`] are open.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use iothub_model::diagnostic::Diagnostic;

/// How the names of variables begin that are set for manifests.
pub(crate) const ALWAYS_OPEN: &str = "TWINCTL_VAR_";

/// Parts of names of what twinctl itself works with. The caller cannot open these.
const OWN: [&str; 6] = [
    "IOTHUB_CONNECTION_STRING",
    "IOTHUB_DEVICE_CONNECTION_STRING",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
];
const OWN_TOKENS: [&str; 5] = ["GITHUB_TOKEN", "GH_TOKEN", "SYSTEM_ACCESSTOKEN", "GITLAB_TOKEN", "CI_JOB_TOKEN"];

/// Parts of names of credentials, wherever they occur, with `_` and `-` left out of the name.
const PARTS: [&str; 19] = [
    "TOKEN",
    "SECRET",
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "CREDENTIAL",
    "PRIVATEKEY",
    "APIKEY",
    "ACCESSKEY",
    "ACCOUNTKEY",
    "SHAREDKEY",
    "CONNECTIONSTR",
    "CONNSTR",
    "WEBHOOK",
    "PROXY",
    "HTPASS",
    "SSHPASS",
    "PRIMARYKEY",
    "SASKEY",
];

/// Words of names of credentials: what stands between two of `_` and `-`.
const WORDS: [&str; 23] = [
    "KEY",
    "KEYS",
    "PASS",
    "PWD",
    "PW",
    "PAT",
    "SAS",
    "AUTH",
    "JWT",
    "COOKIE",
    "DSN",
    "PFX",
    "PEM",
    "SIG",
    "SIGNATURE",
    "OAUTH",
    "BEARER",
    "NETRC",
    "KUBECONFIG",
    "DOCKERCONFIG",
    "CS",
    "PRIVATE",
    "PRIMARY",
];

/// How names begin that cloud accounts and tools of CI systems use for credentials.
const PREFIXES: [&str; 26] = [
    "AZURE_",
    "ARM_",
    "AZ_",
    "ACTIONS_",
    "AWS_",
    "GOOGLE_",
    "GCP_",
    "GCLOUD_",
    "CLOUDSDK_",
    "SSH_",
    "GPG_",
    "CARGO_",
    "NPM_",
    "NODE_AUTH_",
    "DOCKER_",
    "KUBE_",
    "VAULT_",
    "TF_",
    "ENDPOINT_",
    "SECUREFILE_",
    "VSS_",
    "MSI_",
    "IDENTITY_",
    "CI_JOB_",
    "TWINCTL_",
    "GIT_CONFIG",
];

/// Names that none of these rules finds.
const NAMES: [&str; 5] = ["CI_REPOSITORY_URL", "DATABASE_URL", "REDIS_URL", "MONGODB_URI", "SERVICEPRINCIPALKEY"];

/// Why a reference may not read a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// twinctl itself works with it.
    Own,
    /// Its name is one of a credential.
    Name,
    /// Its value is a credential: what it is.
    Value(&'static str),
}

/// The environment as references see it.
#[derive(Clone, Copy)]
pub(crate) struct EnvAccess<'a> {
    find: &'a dyn Fn(&str) -> Option<String>,
    /// Names that the caller opened.
    opened: &'a [String],
    /// A reference that has a default stands for it, whatever its variable has.
    pub(crate) defaults_first: bool,
}

impl<'a> EnvAccess<'a> {
    pub(crate) fn new(find: &'a dyn Fn(&str) -> Option<String>, opened: &'a [String]) -> Self {
        Self { find, opened, defaults_first: false }
    }

    pub(crate) fn with_defaults_first(self, defaults_first: bool) -> Self {
        Self { defaults_first, ..self }
    }

    /// Returns a variable's value; nothing when it is not set.
    pub(crate) fn get(self, name: &str) -> Result<Option<String>, Denied> {
        let denied = by_name(name);
        if denied == Some(Denied::Own) {
            return Err(Denied::Own);
        }
        if starts_with(name, ALWAYS_OPEN) || self.opened.iter().any(|opened| opened == name) {
            return Ok((self.find)(name));
        }
        if let Some(denied) = denied {
            return Err(denied);
        }
        match (self.find)(name) {
            Some(value) => match credential_in(&value) {
                Some(what) => Err(Denied::Value(what)),
                None => Ok(Some(value)),
            },
            None => Ok(None),
        }
    }
}

impl Denied {
    /// Explains itself, without the value.
    pub(crate) fn message(self, name: &str) -> String {
        match self {
            Self::Own => format!("`{name}` is what twinctl itself works with, and no manifest may read it"),
            Self::Name => format!("`{name}` has the name of a credential, and a manifest may not read it"),
            Self::Value(what) => format!("`{name}` holds {what}, and a manifest may not read it"),
        }
    }

    /// Adds what to do.
    pub(crate) fn help(self, diagnostic: Diagnostic, name: &str) -> Diagnostic {
        let prefixed = format!("give what devices need under another name, as in `${{env.{ALWAYS_OPEN}NAME}}`");
        match self {
            Self::Own => diagnostic.help(prefixed),
            Self::Name | Self::Value(_) => diagnostic
                .help(format!(
                    "if devices need it, let manifests read it: --env-allow {name}; and list its path under `sensitive`"
                ))
                .help(format!("or {prefixed}, which is always open")),
        }
    }
}

/// Returns what is wrong with a name that the caller wants to open, if anything is.
pub(crate) fn problem_of_opened(name: &str) -> Option<String> {
    (by_name(name) == Some(Denied::Own)).then(|| Denied::Own.message(name))
}

fn by_name(name: &str) -> Option<Denied> {
    let upper = name.to_ascii_uppercase();
    let name = upper.as_str();
    if OWN.contains(&name) || OWN_TOKENS.contains(&name) {
        return Some(Denied::Own);
    }
    if name.starts_with(ALWAYS_OPEN) {
        return None;
    }
    let joined: String = name.chars().filter(|c| !matches!(c, '_' | '-')).collect();
    let is_one = NAMES.contains(&name)
        || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || PARTS.iter().any(|part| joined.contains(part))
        || name.split(['_', '-']).any(|word| WORDS.contains(&word));
    is_one.then_some(Denied::Name)
}

fn starts_with(name: &str, prefix: &str) -> bool {
    name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// Recognizes a credential by what it looks like, whatever its variable is called.
fn credential_in(value: &str) -> Option<&'static str> {
    plain_credential_in(value).or_else(|| {
        let decoded = percent_encoding::percent_decode_str(value).decode_utf8_lossy();
        plain_credential_in(&decoded).or_else(|| {
            let bytes = STANDARD.decode(value.trim()).ok()?;
            plain_credential_in(str::from_utf8(&bytes).ok()?)
        })
    })
}

fn plain_credential_in(value: &str) -> Option<&'static str> {
    let joined: String = value.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_ascii_lowercase();
    let keys = ["sharedaccesskey=", "sharedaccesssignature", "accountkey=", ";password=", ";pwd="];
    if keys.iter().any(|part| joined.contains(part)) {
        return Some("a connection string with its key");
    }
    if value.contains("PRIVATE KEY-----") {
        return Some("a private key");
    }
    if ["authorization:", "bearer", "basic"].iter().any(|scheme| joined.starts_with(scheme) && joined != *scheme)
        && value.contains(' ')
    {
        return Some("what a request is authorized with");
    }
    if (joined.contains("://") && joined.contains("&sig=")) || joined.contains("?sig=") {
        return Some("an address with a signature in it");
    }
    let mut rest = value;
    while let Some((_, after)) = rest.split_once("://") {
        let authority = after.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':')) {
            return Some("an address with a password in it");
        }
        rest = after;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_credentials_are_closed() {
        for name in [
            "AZURE_CLIENT_SECRET",
            "ARM_CLIENT_ID",
            "ARM_ACCESS_KEY",
            "ACTIONS_ID_TOKEN_REQUEST_URL",
            "ACTIONS_RUNTIME_URL",
            "azure_client_secret",
            "AZURE_DEVOPS_EXT_PAT",
            "CI_JOB_JWT_V2",
            "CI_REGISTRY_PASSWORD",
            "CI_DEPLOY_TOKEN",
            "CI_REPOSITORY_URL",
            "CI_DEPENDENCY_PROXY_PASSWORD",
            "IOTHUB_SERVICE_CONNECTION_STRING",
            "IotHubConnectionString",
            "STORAGE_CONNSTR",
            "npm_config__authToken",
            "SSH_AUTH_SOCK",
            "servicePrincipalKey",
            "DEPLOY_KEY",
            "API-KEY",
            "PGPASSWORD",
            "DB_PASS",
            "TWINCTL_HUB",
            "SECRET",
            "SLACK_WEBHOOK_URL",
            "GIT_CONFIG_VALUE_0",
            "GIT_CONFIG_PARAMETERS",
            "SSHPASS",
            "IOTHUB_CS",
            "SASKEY",
        ] {
            assert_eq!(by_name(name), Some(Denied::Name), "{name}");
        }
    }

    #[test]
    fn what_twinctl_works_with_cannot_be_opened() {
        let opened = [OWN.as_slice(), &OWN_TOKENS].concat().into_iter().map(str::to_owned).collect::<Vec<_>>();
        let find = |_: &str| Some("value".to_owned());
        let access = EnvAccess::new(&find, &opened);
        for name in opened.iter().map(String::as_str).chain(["https_proxy", "No_Proxy", "iothub_connection_string"]) {
            assert_eq!(access.get(name), Err(Denied::Own), "{name}");
            assert!(problem_of_opened(name).is_some(), "{name}");
        }
    }

    #[test]
    fn other_names_are_open() {
        for name in [
            "WIFI_PSK",
            "PLANT",
            "INTERVAL",
            "IOTHUB_HOST",
            "HOME",
            "PATH",
            "GITHUB_SHA",
            "GITHUB_REF_NAME",
            "GITHUB_ACTOR",
            "BUILD_SOURCEVERSION",
            "BUILD_BUILDID",
            "CI_COMMIT_SHA",
            "GIT_AUTHOR_NAME",
            "KEYBOARD",
            "MONKEY",
            "PATTERN",
            "SASKATCHEWAN",
            "TWINCTL_VAR_WIFI_PASSWORD",
            "twinctl_var_token",
        ] {
            assert_eq!(by_name(name), None, "{name}");
        }
    }

    #[test]
    fn one_variable_is_opened_and_no_other() {
        let opened = ["WIFI_PASSWORD".to_owned()];
        let find = |_: &str| Some("value".to_owned());
        let access = EnvAccess::new(&find, &opened);
        assert_eq!(access.get("WIFI_PASSWORD"), Ok(Some("value".to_owned())));
        assert_eq!(access.get("WIFI_PASSWORD_2"), Err(Denied::Name));
        assert_eq!(access.get("wifi_password"), Err(Denied::Name));
    }

    #[test]
    fn credentials_are_known_by_what_they_look_like() {
        for (value, is_credential) in [
            ("HostName=h;SharedAccessKeyName=p;SharedAccessKey=AAEC", true),
            ("DefaultEndpointsProtocol=https;AccountName=a;AccountKey=AAEC", true),
            ("SharedAccessSignature sr=h&sig=x&se=1", true),
            ("-----BEGIN RSA PRIVATE KEY-----\nAAEC", true),
            ("http://user:hunter2@proxy:8080", true),
            ("x https://a/ y postgres://u:p@db/x", true),
            ("https://user@host/", false),
            ("https://host:8080/a@b", false),
            ("correct horse", false),
        ] {
            assert_eq!(credential_in(value).is_some(), is_credential, "{value}");
            let find = |_: &str| Some(value.to_owned());
            let opened = ["X".to_owned()];
            assert_eq!(EnvAccess::new(&find, &[]).get("X").is_err(), is_credential, "{value}");
            assert!(EnvAccess::new(&find, &opened).get("X").is_ok());
        }
    }
}
