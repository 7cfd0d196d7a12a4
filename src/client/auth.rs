//! Who we are to the hub: a shared access signature, renewed before it ends.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderValue;

use iothub_model::wire::ConnectionString;
use iothub_model::wire::sas;

/// Tells the time of day. Comes in from the command line, so that a test can set it.
pub(crate) type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// How long a token is good for, as Microsoft's SDKs have it by default.
const TTL: Duration = Duration::from_secs(3600);

/// Makes the `Authorization` header.
pub(super) struct Authority {
    connection: ConnectionString,
    clock: Clock,
    token: Mutex<Option<Token>>,
}

struct Token {
    header: HeaderValue,
    /// In seconds since 1970.
    expiry: u64,
}

impl Authority {
    pub(super) fn new(connection: ConnectionString, clock: Clock) -> Self {
        Self { connection, clock, token: Mutex::new(None) }
    }

    /// Returns the time of day in seconds since 1970.
    pub(super) fn now(&self) -> u64 {
        // A clock before 1970 is refused by the hub, which says so better than we could.
        (self.clock)().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
    }

    /// Returns the header, marked as sensitive. Signs anew when less than a quarter of the token's time is left, or when the
    /// clock was set back so far that the token would outlive its time.
    pub(super) fn header(&self) -> HeaderValue {
        let now = self.now();
        let ttl = TTL.as_secs();
        let mut token = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(token) = &*token
            && (now + ttl / 4..=now + ttl).contains(&token.expiry)
        {
            return token.header.clone();
        }
        let expiry = now + ttl;
        let signed =
            sas::sign(self.connection.host.as_str(), &self.connection.key, expiry, self.connection.policy.as_deref());
        let mut header = HeaderValue::from_str(signed.expose()).expect("a signature is percent-encoded ASCII");
        header.set_sensitive(true);
        *token = Some(Token { header: header.clone(), expiry });
        header
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authority({})", self.connection)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn tokens_are_kept_and_renewed() {
        let now = Arc::new(AtomicU64::new(0));
        let clock = {
            let now = Arc::clone(&now);
            move || UNIX_EPOCH + Duration::from_secs(now.load(Ordering::Relaxed))
        };
        let connection = ConnectionString::parse(
            "HostName=localhost:8443;SharedAccessKeyName=service;SharedAccessKey=AAECAwQFBgcICQoLDA0ODw==",
        )
        .expect("a connection string");
        let authority = Authority::new(connection, Arc::new(clock));
        for (at, expiry) in [
            (1_000_000, 1_003_600),
            (1_002_700, 1_003_600),
            (1_002_701, 1_006_301),
            (1_002_800, 1_006_301),
            // Set back by a day.
            (916_300, 919_900),
        ] {
            now.store(at, Ordering::Relaxed);
            let header = authority.header();
            let token = sas::SasToken::parse(header.to_str().expect("ASCII")).expect("a token");
            assert_eq!((token.expiry(), token.policy()), (expiry, Some("service")), "{at}");
            assert_eq!(token.resource().as_deref(), Some("localhost:8443"));
            assert!(token.is_signed_by(&sas::Key::from_base64("AAECAwQFBgcICQoLDA0ODw==").expect("base64")));
            assert_eq!(format!("{header:?}"), "Sensitive");
        }
        assert_eq!(
            format!("{authority:?}"),
            "Authority(HostName=localhost:8443;SharedAccessKeyName=service;SharedAccessKey=)"
        );
    }
}
