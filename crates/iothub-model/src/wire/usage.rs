//! What requests to a hub count as: for its throttles by kind, for the bill in blocks (docs: IoT Hub quotas and throttling;
//! Azure IoT Hub billing information).

/// Bytes of one billed message on paid tiers.
pub const BLOCK: u64 = 4096;
/// Bytes of one billed message on the free tier.
pub const FREE_BLOCK: u64 = 512;

/// What has been asked of a hub.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Pages of queries.
    pub queries: Meter,
    /// Reads of one twin.
    pub twin_reads: Meter,
    /// Writes of one twin.
    pub twin_updates: Meter,
    /// Reads and writes of identities.
    pub registry: Meter,
    /// Reads of configurations.
    pub configurations: Meter,
}

/// Requests of one kind, and what they are billed as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meter {
    /// How many were sent.
    pub requests: u64,
    /// Messages on paid tiers.
    pub blocks: u64,
    /// Messages on the free tier.
    pub free_blocks: u64,
}

impl Meter {
    /// Counts what so many bytes are billed as. No bytes are a message too.
    pub fn bill(&mut self, bytes: u64) {
        self.blocks += bytes.div_ceil(BLOCK).max(1);
        self.free_blocks += bytes.div_ceil(FREE_BLOCK).max(1);
    }
}

impl Usage {
    /// Returns what was asked since an earlier state.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let meter = |now: Meter, then: Meter| Meter {
            requests: now.requests - then.requests,
            blocks: now.blocks - then.blocks,
            free_blocks: now.free_blocks - then.free_blocks,
        };
        Self {
            queries: meter(self.queries, earlier.queries),
            twin_reads: meter(self.twin_reads, earlier.twin_reads),
            twin_updates: meter(self.twin_updates, earlier.twin_updates),
            registry: meter(self.registry, earlier.registry),
            configurations: meter(self.configurations, earlier.configurations),
        }
    }

    /// Returns the meter of a request, and whether its answer is billed, rather than its body or nothing.
    pub fn meter(&mut self, method: &str, path: &str) -> (&mut Meter, Billed) {
        let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
        match (method, first) {
            ("POST", "devices") if path == super::query::PATH => (&mut self.queries, Billed::Answer),
            ("GET", "twins") => (&mut self.twin_reads, Billed::Answer),
            (_, "twins") => (&mut self.twin_updates, Billed::Request),
            (_, "configurations") => (&mut self.configurations, Billed::Nothing),
            _ => (&mut self.registry, Billed::Nothing),
        }
    }
}

/// Whose bytes are billed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Billed {
    /// The answer's.
    Answer,
    /// The request's.
    Request,
    /// Nobody's.
    Nothing,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_have_meters() {
        let mut usage = Usage::default();
        for (method, path) in [
            ("POST", "/devices/query"),
            ("GET", "/twins/d"),
            ("GET", "/twins/d/modules/m"),
            ("PATCH", "/twins/d"),
            ("PUT", "/devices/d"),
            ("GET", "/devices/query"),
            ("GET", "/configurations"),
        ] {
            usage.meter(method, path).0.requests += 1;
        }
        let counts = [usage.queries, usage.twin_reads, usage.twin_updates, usage.registry, usage.configurations]
            .map(|it| it.requests);
        assert_eq!(counts, [1, 2, 1, 2, 1]);
    }

    #[test]
    fn bytes_are_billed_in_blocks() {
        for (bytes, blocks, free_blocks) in [(0, 1, 1), (512, 1, 1), (513, 1, 2), (4096, 1, 8), (4097, 2, 9)] {
            let mut meter = Meter::default();
            meter.bill(bytes);
            assert_eq!((meter.blocks, meter.free_blocks), (blocks, free_blocks), "{bytes}");
        }
    }
}
