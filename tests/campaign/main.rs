//! A campaign of faults: small fleets by chance, applied by the binary over real HTTPS to embedded hubs that misbehave and are
//! killed, while somebody else writes to the same twins. What must hold is looked at afterwards, on a hub that behaves well:
//!
//! 1. each run ends with a true exit code, and its report names the twins that are not as declared;
//! 2. every write of a twin carries the etag of what was read;
//! 3. no write of the second writer to a path that the fleet does not own is lost;
//! 4. the same command converges once the faults are over, and the next plan is empty;
//! 5. nothing panics, hangs or prints a secret.
//!
//! `cargo test --test campaign -- --seconds 3600 --seed 7` runs for an hour. The first fleet of a seed is made from the seed
//! itself, and the next ones from those that follow it: to repeat the fleet that failed, give its own seed and `--fleets 1`.
//! `--verbose` prints what was run for each fleet, and what it printed.

mod chance;
mod fleet;
mod judge;
#[path = "../it/support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the campaign needs a part of it")]
mod support;
mod writer;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Child, ExitCode, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use chance::Chance;
use fleet::Fleet;
use judge::{Applied, Twins};
use support::{Hub, Sandbox};
use writer::{Writer, Written};

/// A run that takes longer hangs. The slowest machines need a small part of this.
const HANGS: Duration = Duration::from_secs(300);
/// Where the hubs listen: where no connection of another program takes the port of a hub that is being started again.
const ADDRESS: &str = if cfg!(target_os = "linux") { "127.0.0.9:0" } else { "127.0.0.1:0" };
/// What `cargo test` runs: for so long, from this seed.
const SECONDS: u64 = 15;
const SEED: u64 = 1;

/// What the campaign saw.
#[derive(Default)]
struct Figures {
    fleets: u64,
    twins: usize,
    applies: u64,
    codes: BTreeMap<i32, u64>,
    faulted: u64,
    hub_kills: u64,
    apply_kills: u64,
    writes: u64,
    contested: u64,
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { fleets, twins, applies, codes, faulted, hub_kills, apply_kills, writes, contested } = self;
        let codes: Vec<_> = codes.iter().map(|(code, count)| format!("{count} of exit {code}")).collect();
        write!(
            f,
            "{fleets} fleets of {twins} twins, {applies} applies ({}), {faulted} faulted answers, {hub_kills} kills of the hub, \
             {apply_kills} kills of apply, {writes} racing writes ({contested} to declared paths)",
            codes.join(", ")
        )
    }
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "it has no harness that prints")]
fn main() -> ExitCode {
    let Some(Wanted { seconds, fleets, seed, verbose }) = arguments() else { return ExitCode::SUCCESS };
    judge::sees_what_is_not_true();
    println!("campaign: seed {seed}");
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut figures = Figures::default();
    while figures.fleets < fleets && (Instant::now() < end || figures.fleets == 0) {
        let seed = seed.wrapping_add(figures.fleets);
        let mut round = Round::new(seed);
        let outcome = catch_unwind(AssertUnwindSafe(|| round.run(&mut figures)));
        let untrue = outcome.unwrap_or_else(|_| vec!["the campaign itself panicked: see above".to_owned()]);
        if verbose {
            println!("── the fleet of seed {seed}\n{}", round.transcript);
        }
        if !untrue.is_empty() {
            eprintln!("{}", round.account());
            eprintln!("campaign: what does not hold:");
            untrue.iter().for_each(|what| eprintln!("  {what}"));
            eprintln!("campaign: to repeat it: cargo test --test campaign -- --fleets 1 --seed {seed}");
            return ExitCode::FAILURE;
        }
    }
    println!("campaign: {figures}");
    ExitCode::SUCCESS
}

/// What to run.
struct Wanted {
    seconds: u64,
    fleets: u64,
    seed: u64,
    /// Print the transcripts of all fleets.
    verbose: bool,
}

/// Reads the arguments. `None` if the test harness's options ask for other tests.
fn arguments() -> Option<Wanted> {
    let mut wanted = Wanted { seconds: SECONDS, fleets: u64::MAX, seed: SEED, verbose: false };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || -> u64 {
            let value = arguments.next();
            value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{argument} takes a number"))
        };
        match argument.as_str() {
            "--seconds" => wanted.seconds = number(),
            // As many, however long they take.
            "--fleets" => (wanted.fleets, wanted.seconds) = (number(), u32::MAX.into()),
            "--seed" => wanted.seed = number(),
            "--verbose" => wanted.verbose = true,
            "--list" => return None,
            // What `cargo test` hands to every test binary.
            "--test-threads" | "--skip" | "--format" | "--color" => _ = arguments.next(),
            other if other.starts_with('-') => {}
            filter if "campaign".contains(filter) => {}
            _ => return None,
        }
    }
    Some(wanted)
}

/// One fleet on one hub.
struct Round {
    sandbox: Sandbox,
    chance: Chance,
    transcript: String,
}

/// How a run of the binary ended.
struct Run {
    code: i32,
    stdout: String,
}

impl Round {
    fn new(seed: u64) -> Self {
        Self { sandbox: Sandbox::new(), chance: Chance::new(seed), transcript: String::new() }
    }

    /// Returns what somebody needs to understand what happened.
    fn account(&self) -> String {
        let mut text = String::new();
        for name in ["first.yaml", "fleet.yaml", "hub-data.log"] {
            let file = fs::read_to_string(self.sandbox.path(name)).unwrap_or_default();
            writeln!(text, "── {name}\n{file}").expect("text");
        }
        text + "── transcript\n" + &self.transcript
    }

    fn note(&mut self, what: impl std::fmt::Display) {
        writeln!(self.transcript, "{what}").expect("text");
    }

    /// Returns what does not hold.
    fn run(&mut self, figures: &mut Figures) -> Vec<String> {
        let fleet = Fleet::by_chance(&mut self.chance);
        figures.fleets += 1;
        figures.twins += fleet.declared.len();
        self.sandbox.write("first.yaml", &fleet.first);
        self.sandbox.write("fleet.yaml", &fleet.second);
        let mut hub = Hub::serve_at(&self.sandbox, ADDRESS, &[]);
        self.set_up(&hub, &fleet);
        let set_up = hub.requests().len();
        if self.chance.percent(80) {
            let first = self.until_it_ends(&hub, &["apply", "first.yaml", "--yes"]);
            if first.code != 0 {
                return vec![format!(
                    "the first version is not applied to a hub that behaves well: exit {}",
                    first.code
                )];
            }
        }
        let mut before_run = twins_of(&hub, &fleet);
        let rules = fleet::faults(&mut self.chance);
        let from_plan = self.chance.percent(30);
        if from_plan {
            let plan = self.until_it_ends(&hub, &["plan", "fleet.yaml", "--out", "plan.json"]);
            if plan.code != 0 {
                return vec![format!("no plan on a hub that behaves well: exit {}", plan.code)];
            }
        }
        self.note(format_args!("faults: {rules}"));
        let set = hub.send("PUT", "/$twinctl/faults", None, Some(json!({ "spec": rules })));
        assert_eq!(set.status, 200, "{}", set.body);

        let mut untrue = Vec::new();
        let mut written = Written::default();
        for _ in 0..self.chance.between(1, 2) {
            let before = hub.requests().len();
            let chance = Chance::new(self.chance.between(0, u64::MAX - 1));
            let twins = fleet.devices.iter().chain(&fleet.modules).cloned().collect();
            let writer = Writer::start(&hub, chance, twins, fleet.contested.clone(), written);
            let mut args = vec!["apply"];
            args.extend(if from_plan { ["plan.json", "--manifest", "fleet.yaml"].as_slice() } else { &["fleet.yaml"] });
            args.extend(["--yes", "--full", "--timeout", "3s", "--retry-budget", "8s"]);
            let (run, now) = self.under_fire(hub, &args, &rules, figures);
            hub = now;
            written = writer.stop();
            // What was read so far is not faulted: the campaign's own eyes must see.
            let cleared = hub.send("DELETE", "/$twinctl/faults", None, None);
            assert!(cleared.status < 300, "{}", cleared.body);
            let twins = twins_of(&hub, &fleet);
            let requests = hub.requests();
            figures.applies += 1;
            if let Some(run) = &run {
                *figures.codes.entry(run.code).or_default() += 1;
                let requests = &requests[before..];
                let applied = Applied { code: run.code, stdout: &run.stdout, requests, before: &before_run };
                untrue.extend(judge::untrue(&applied, &fleet, &twins, &written));
            }
            untrue.extend(lost(&twins, &written));
            if !untrue.is_empty() {
                return self.with_requests(untrue, &requests[before..], &twins);
            }
            let set = hub.send("PUT", "/$twinctl/faults", None, Some(json!({ "spec": rules })));
            assert_eq!(set.status, 200, "{}", set.body);
            // A plan that was saved is of the twins as they were then.
            if !from_plan {
                before_run = twins;
            }
        }
        hub.send("DELETE", "/$twinctl/faults", None, None);
        figures.writes += written.sent;
        figures.contested += written.sent_to_declared;

        // Once all is well, so is the fleet.
        for (args, code) in
            [(&["apply", "fleet.yaml", "--yes", "--full"][..], 0), (&["plan", "fleet.yaml", "--detailed-exitcode"], 0)]
        {
            let run = self.until_it_ends(&hub, args);
            if run.code != code {
                untrue.push(format!("{args:?} ends with {} on a hub that behaves well", run.code));
            }
        }
        let twins = twins_of(&hub, &fleet);
        let requests = hub.requests();
        let applied = Applied { code: 0, stdout: "", requests: &[], before: &twins };
        // Nobody has written since.
        untrue.extend(judge::untrue(&applied, &fleet, &twins, &Written::default()));
        untrue.extend(lost(&twins, &written));
        untrue.extend(judge::unguarded(&requests[set_up..]));
        figures.faulted +=
            u64::try_from(requests.iter().filter(|request| !request["fault"].is_null()).count()).expect("few");
        untrue.extend(self.unfit_to_print(&hub, &fleet));
        self.with_requests(untrue, &requests, &twins)
    }

    /// Registers what is there before the fleet is.
    fn set_up(&mut self, hub: &Hub, fleet: &Fleet) {
        for id in &fleet.devices {
            hub.create(id);
            hub.patch(id, Fleet::strays());
        }
        for id in &fleet.modules {
            let (device, module) = id.split_once('/').expect("device/module");
            let body = json!({ "deviceId": device, "moduleId": module });
            let answer = hub.send("PUT", &format!("/devices/{device}/modules/{module}"), None, Some(body));
            assert_eq!(answer.status, 200, "{}", answer.body);
        }
    }

    /// Runs apply while the hub misbehaves, and perhaps is killed. Returns `None` if apply was killed itself.
    fn under_fire(&mut self, mut hub: Hub, args: &[&str], rules: &str, figures: &mut Figures) -> (Option<Run>, Hub) {
        let mut child = self.start(&hub, args);
        let begun = Instant::now();
        // Moments, not deadlines: where a slow machine has come to by then is a matter of chance as well.
        let moment = |chance: &mut Chance, share, until| {
            chance.percent(share).then(|| Duration::from_millis(chance.between(0, until)))
        };
        let mut kill_apply = moment(&mut self.chance, 20, 600);
        let mut kill_hub: Vec<Duration> = (0..2).filter_map(|_| moment(&mut self.chance, 25, 900)).collect();
        kill_hub.sort();
        let mut killed = false;
        while child.child.try_wait().expect("a child").is_none() {
            let past = begun.elapsed();
            assert!(past < HANGS, "apply hangs: {}", child.text().1);
            if kill_apply.is_some_and(|at| at <= past) {
                kill_apply = None;
                killed = true;
                child.child.kill().expect("kill -9");
                figures.apply_kills += 1;
                self.note("apply is killed");
            } else if kill_hub.first().is_some_and(|at| *at <= past) {
                kill_hub.remove(0);
                figures.hub_kills += 1;
                self.note("the hub is killed");
                let address = hub.ready()["https"].as_str().expect("an address").to_owned();
                hub.kill();
                std::thread::sleep(Duration::from_millis(self.chance.between(0, 300)));
                let more = ["--mqtt", "127.0.0.1:0", "--amqp", "127.0.0.1:0", "--faults", rules];
                hub = Hub::serve_at(&self.sandbox, &address, &more);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let run = self.ended(args, child);
        ((!killed).then_some(run), hub)
    }

    /// Runs the binary until it ends.
    fn until_it_ends(&mut self, hub: &Hub, args: &[&str]) -> Run {
        let mut child = self.start(hub, args);
        let begun = Instant::now();
        while child.child.try_wait().expect("a child").is_none() {
            assert!(begun.elapsed() < HANGS, "{args:?} hangs");
            std::thread::sleep(Duration::from_millis(5));
        }
        self.ended(args, child)
    }

    fn start(&mut self, hub: &Hub, args: &[&str]) -> Running {
        let mut command = self.sandbox.command_on(hub, args);
        let (out, err) = (self.sandbox.path("out"), self.sandbox.path("err"));
        command.stdout(File::create(&out).expect("a file")).stderr(Stdio::from(File::create(&err).expect("a file")));
        Running { child: command.spawn().expect("it starts"), out, err }
    }

    fn ended(&mut self, args: &[&str], mut running: Running) -> Run {
        let code = running.child.wait().expect("a child").code().unwrap_or(-1);
        let (stdout, stderr) = running.text();
        self.note(format_args!("$ twinctl {}\n{stdout}── stderr\n{stderr}[exit {code}]\n", args.join(" ")));
        Run { code, stdout }
    }

    /// Returns what the commands printed, or wrote, that they must not.
    fn unfit_to_print(&self, hub: &Hub, fleet: &Fleet) -> Vec<String> {
        let mut text = self.transcript.clone();
        text.push_str(&fs::read_to_string(self.sandbox.path("plan.json")).unwrap_or_default());
        let mut unfit = Vec::new();
        let strings = hub.ready()["connectionStrings"].as_object().expect("an object");
        let keys = strings.values().filter_map(|it| it.as_str()?.rsplit_once("SharedAccessKey=")).map(|(_, key)| key);
        for secret in keys.chain(fleet.secrets.iter().map(String::as_str)).filter(|secret| text.contains(secret)) {
            unfit.push(format!("a secret was printed: {}…", &secret[..6]));
        }
        let log = fs::read_to_string(self.sandbox.path("hub-data.log")).unwrap_or_default();
        for (who, text) in [("a command", &text), ("the hub", &log)] {
            if text.contains("panicked") {
                unfit.push(format!("{who} panicked"));
            }
        }
        unfit
    }

    /// Adds the hub's log and the twins to the account, where something does not hold.
    fn with_requests(&mut self, untrue: Vec<String>, requests: &[Value], twins: &Twins) -> Vec<String> {
        if !untrue.is_empty() {
            for request in requests {
                self.note(request);
            }
            for (id, twin) in twins {
                self.note(format_args!("{id}: {}", json!(twin)));
            }
        }
        untrue
    }
}

/// The binary while it runs. Dropping it ends it.
struct Running {
    child: Child,
    out: std::path::PathBuf,
    err: std::path::PathBuf,
}

impl Running {
    fn text(&self) -> (String, String) {
        let read = |path| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
        (read(&self.out), read(&self.err))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the twins of a fleet, as a hub that behaves well has them.
fn twins_of(hub: &Hub, fleet: &Fleet) -> Twins {
    let twin = |id: &String| {
        let answer = hub.send("GET", &format!("/twins/{}", id.replace('/', "/modules/")), None, None);
        (id.clone(), (answer.status == 200).then_some(answer.body))
    };
    fleet.declared.keys().map(twin).collect()
}

/// Returns the writes of the second writer that twins have lost.
fn lost(twins: &Twins, written: &Written) -> Vec<String> {
    let there = twins.iter().filter_map(|(id, twin)| Some((id, twin.as_ref()?)));
    let lost = there.flat_map(|(id, twin)| written.lost(id, twin).into_iter().map(move |what| (id, what)));
    lost.map(|(id, what)| format!("a write of another is lost: {id}: {what}")).collect()
}
