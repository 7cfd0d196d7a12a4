//! A second writer: writes to the twins without asking for their etags, while twinctl works on them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};

use crate::chance::Chance;
use crate::fleet::put;
use crate::support::Hub;
use crate::support::hub::try_request;

/// A request without an answer by then has got lost.
const PATIENCE: Duration = Duration::from_secs(10);
/// Begins the paths of the second writer's requests in the hub's log: a `d`, which all ids begin with.
pub(crate) const MARK: &str = "/twins/%64";

/// What the second writer did.
#[derive(Clone, Debug, Default)]
pub(crate) struct Written {
    /// The counters under `tags.theirs`, by their twin and their name: the last one that the hub acknowledged, and the last
    /// one that was sent.
    pub(crate) counters: BTreeMap<(String, String), (u64, u64)>,
    /// The values that were sent to declared paths, by their twin and their path.
    pub(crate) contested: BTreeMap<(String, String), BTreeSet<String>>,
    pub(crate) sent: u64,
    pub(crate) sent_to_declared: u64,
}

/// The second writer at work.
pub(crate) struct Writer {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Written>,
}

impl Writer {
    /// Starts it. It goes on from what it wrote before.
    pub(crate) fn start(
        hub: &Hub,
        mut chance: Chance,
        twins: Vec<String>,
        contested: Vec<(String, String)>,
        mut written: Written,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, client) = (stop.clone(), hub.new_client());
        let connection = hub.connection_string("service").to_owned();
        let share = *chance.pick(&[0, 0, 10, 30]);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            // A lost answer leaves in doubt what the counter is, so that the twin gets another one.
            let mut epochs: BTreeMap<String, u64> = BTreeMap::new();
            let era = written.sent;
            while !stopped.load(Ordering::SeqCst) {
                let target = (!contested.is_empty() && chance.percent(share)).then(|| chance.pick(&contested));
                let id = target.map_or_else(|| chance.pick(&twins), |(id, _)| id).clone();
                let epoch = *epochs.entry(id.clone()).or_default();
                let counter = format!("n{era}x{epoch}");
                let entry = written.counters.entry((id.clone(), counter.clone())).or_default();
                entry.1 += 1;
                let number = entry.1;
                let mut body = json!({});
                put(&mut body, &format!("tags.theirs.{counter}"), json!(number));
                if let Some(target) = target {
                    let value = format!("theirs-{}", written.sent);
                    put(&mut body, &target.1.replace("desired.", "properties.desired."), json!(value));
                    written.contested.entry(target.clone()).or_default().insert(value);
                    written.sent_to_declared += 1;
                }
                written.sent += 1;
                let path = path(&id);
                let request = try_request(&client, &connection, "PATCH", &path, None, Some(body));
                let answer = runtime.block_on(async { tokio::time::timeout(PATIENCE, request).await });
                match answer {
                    Ok(Ok(answer)) if answer.status == 200 && answer.body.is_object() => {
                        let entry = written.counters.get_mut(&(id, counter)).expect("made above");
                        entry.0 = number;
                    }
                    // It is not there yet, or the hub did not do it: the counter stays in doubt all the same.
                    _ => *epochs.entry(id).or_default() += 1,
                }
                std::thread::sleep(Duration::from_millis(chance.between(0, 15)));
            }
            written
        });
        Self { stop, thread }
    }

    /// Stops it, and returns what it has written in all.
    pub(crate) fn stop(self) -> Written {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().expect("the second writer")
    }
}

fn path(id: &str) -> String {
    let id = id.strip_prefix('d').expect("ids begin with it");
    format!("{MARK}{}", id.replace('/', "/modules/"))
}

impl Written {
    /// Returns what of it a twin has lost.
    pub(crate) fn lost(&self, id: &str, twin: &Value) -> Vec<String> {
        let of_twin = self.counters.iter().filter(|((of, _), _)| of == id);
        let lost = of_twin.filter_map(|((_, counter), (acknowledged, sent))| {
            let found = twin["tags"]["theirs"][counter].as_u64().unwrap_or(0);
            (found < *acknowledged || found > *sent)
                .then(|| format!("tags.theirs.{counter} is {found}, acknowledged {acknowledged}, sent {sent}"))
        });
        lost.collect()
    }
}
