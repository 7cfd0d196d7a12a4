//! Who else writes what this plan writes: configurations that target its twins, and other fleets.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::edge::Deployments;
use super::forecast::collection_of;
use super::{SharedPath, Writer};
use crate::manifest::{Body, Declarations, FleetName, Leaf};
use crate::plan::ownership::{RECORDS_KEY, Records};
use iothub_model::query::{BoundQuery, Collection, compile_condition};
use iothub_model::twin::value::equal;
use iothub_model::twin::{ModuleId, Object, Section, TwinId, TwinPath};
use iothub_model::wire::configurations::{
    Configuration, ContentKind, ContentPath, EdgeContent, MODULES_PREFIX, decode_content, decode_edge_content, overlap,
};

/// A configuration, read.
#[derive(Clone, Debug)]
pub(crate) struct ReadConfiguration {
    id: String,
    priority: i64,
    condition: String,
    created: String,
    collection: Collection,
    target: WriterTarget,
    paths: Vec<ContentPath>,
    /// What it writes into modules of its devices: that of a deployment to edge devices.
    edge: EdgeContent,
}

#[derive(Clone, Debug)]
enum WriterTarget {
    Nobody,
    All,
    Those(Box<BoundQuery>),
}

impl ReadConfiguration {
    /// Reads a configuration.
    ///
    /// # Errors
    ///
    /// When its content or its target condition cannot be read, so that nobody knows what it writes where.
    pub(crate) fn read(configuration: &Configuration) -> Result<Self, String> {
        let Configuration { id, priority, target_condition, content, created_time_utc } = configuration;
        let (kind, paths) = decode_content(content).map_err(|error| error.to_string())?;
        let collection = match kind {
            ContentKind::Devices | ContentKind::Edge => Collection::Devices,
            ContentKind::Modules => Collection::Modules,
        };
        let edge = decode_edge_content(content).map_err(|error| error.to_string())?;
        let condition = target_condition.trim();
        let target = match condition {
            "" => WriterTarget::Nobody,
            "*" => WriterTarget::All,
            condition => {
                let bare = if collection == Collection::Modules { after_prefix(condition) } else { condition };
                let query = compile_condition(bare, collection).map_err(|errors| {
                    let problems: Vec<_> = errors.iter().map(ToString::to_string).collect();
                    format!("its target condition cannot be read: {}", problems.join("; "))
                })?;
                WriterTarget::Those(Box::new(query))
            }
        };
        Ok(Self {
            id: id.clone(),
            priority: *priority,
            condition: condition.to_owned(),
            created: created_time_utc.clone(),
            collection,
            target,
            paths,
            edge,
        })
    }

    /// Returns what a deployment writes into a module's twin.
    fn paths_in<'s>(&'s self, module: &'s ModuleId) -> impl Iterator<Item = &'s ContentPath> {
        let of_module = self.edge.modules.iter().filter(|content| content.module == module.as_str());
        of_module.flat_map(|content| &content.paths)
    }

    fn targets(&self, collection: Collection, twin: &Value) -> bool {
        self.collection == collection
            && match &self.target {
                WriterTarget::Nobody => false,
                WriterTarget::All => true,
                WriterTarget::Those(query) => query.matches(twin),
            }
    }
}

/// Takes away what a condition on modules begins with.
fn after_prefix(condition: &str) -> &str {
    let mut rest = condition;
    for word in MODULES_PREFIX.split(' ') {
        rest = match rest.get(..word.len()) {
            Some(start) if start.eq_ignore_ascii_case(word) => rest[word.len()..].trim_start(),
            _ => return condition,
        };
    }
    rest
}

/// Whoever else writes, as far as twins were seen.
#[derive(Debug)]
pub(super) struct Writers {
    fleet: FleetName,
    /// The winners first. Empty where none writes what is declared.
    subjects: Vec<ReadConfiguration>,
    /// By the place among the subjects.
    found: Vec<(BTreeSet<SharedPath>, Vec<TwinId>)>,
    deployments: Deployments,
    fleets: BTreeMap<FleetName, Theirs>,
    /// The records that were seen last of a twin that is as declared.
    shared: SharedRecords,
}

/// Records as text, and whose they are but for this fleet's, each at its revision.
#[derive(Debug, Default)]
struct SharedRecords {
    text: Box<str>,
    others: Vec<(FleetName, String)>,
}

#[derive(Debug, Default)]
struct Theirs {
    revisions: BTreeSet<String>,
    twins: usize,
    paths: BTreeSet<TwinPath>,
}

impl Theirs {
    fn add(&mut self, revision: &str) {
        self.twins += 1;
        if !revision.is_empty() && !self.revisions.contains(revision) {
            self.revisions.insert(revision.to_owned());
        }
    }
}

impl Writers {
    pub(super) fn new(declarations: &Declarations, mut subjects: Vec<ReadConfiguration>) -> Self {
        // Of two that write one path the higher priority wins, and of equal ones the younger.
        subjects.sort_by(|a, b| b.priority.cmp(&a.priority).then_with(|| b.created.cmp(&a.created)));
        // What selectors declare is in the twins only once these are found.
        if declarations.selectors.is_empty() && !meet(declarations, &subjects) {
            subjects.clear();
        }
        let found = subjects.iter().map(|_| Default::default()).collect();
        Self {
            fleet: declarations.fleet.clone(),
            subjects,
            found,
            fleets: BTreeMap::new(),
            shared: SharedRecords::default(),
            deployments: Deployments::default(),
        }
    }

    /// Says whether twins have to be looked at as documents.
    pub(super) fn needs_documents(&self) -> bool {
        !self.subjects.is_empty()
    }

    /// Returns the conditions that are asked of twins of a collection.
    pub(super) fn conditions(&self, collection: Collection) -> impl Iterator<Item = &BoundQuery> {
        let subjects = self.subjects.iter().filter(move |subject| subject.collection == collection);
        subjects.filter_map(|subject| match &subject.target {
            WriterTarget::Those(condition) => Some(&**condition),
            WriterTarget::Nobody | WriterTarget::All => None,
        })
    }

    /// Takes the tags of a declared twin, as they are.
    pub(super) fn look_at_records(&mut self, tags: &Object, declared: &Body) {
        let Some(Value::Object(records)) = tags.get(RECORDS_KEY) else { return };
        if records.keys().all(|key| key == self.fleet.as_str()) {
            return;
        }
        for (fleet, record) in Records::read(tags, &self.fleet).others {
            let theirs = self.fleets.entry(fleet).or_default();
            theirs.add(&record.revision);
            for leaf in declared.leaves().iter() {
                if record.owns.keys().any(|owned| owned.overlaps(&leaf.path)) {
                    theirs.paths.insert(leaf.path.clone());
                }
            }
        }
    }

    /// Takes the records, as text, of a declared twin that is as declared: of what they own nothing is.
    pub(super) fn look_at_shared_records(&mut self, text: &str) {
        if *self.shared.text != *text {
            let all = serde_json::from_str(text).unwrap_or_default();
            let tags = [(RECORDS_KEY.to_owned(), all)].into_iter().collect();
            let others = Records::read(&tags, &self.fleet).others.into_iter();
            let others = others.map(|(fleet, record)| (fleet, record.revision)).collect();
            self.shared = SharedRecords { text: text.into(), others };
        }
        for (fleet, revision) in &self.shared.others {
            match self.fleets.get_mut(fleet) {
                Some(theirs) => theirs.add(revision),
                None => self.fleets.entry(fleet.clone()).or_default().add(revision),
            }
        }
    }

    /// Takes a declared twin, as it is to be: as much of it as the conditions look at.
    pub(super) fn look(&mut self, id: &TwinId, planned: &Value, declared: &Body) {
        let collection = collection_of(id);
        self.look_at_deployments(id, planned, declared);
        let mut taken: Vec<&ContentPath> = Vec::new();
        for (subject, (paths, twins)) in self.subjects.iter().zip(&mut self.found) {
            if !subject.targets(collection, planned) {
                continue;
            }
            let mut shares = false;
            let leaves = declared.leaves();
            for path in &subject.paths {
                if taken.iter().any(|other| overlap(&other.keys, &path.keys)) {
                    continue;
                }
                taken.push(path);
                let theirs = twin_path(path);
                for leaf in leaves.iter().filter(|leaf| leaf.path.overlaps(&theirs)) {
                    shares = true;
                    let agree = agree(leaf, path);
                    paths.insert(SharedPath { declared: leaf.path.clone(), theirs: theirs.clone(), agree });
                }
            }
            if shares {
                twins.push(id.clone());
            }
        }
    }

    fn look_at_deployments(&mut self, id: &TwinId, planned: &Value, declared: &Body) {
        let deployments = || self.subjects.iter().enumerate().filter(|(_, subject)| !subject.edge.modules.is_empty());
        let Some(module) = &id.module else {
            if deployments().next().is_some() {
                let is_target = |subject: &ReadConfiguration| subject.targets(Collection::Devices, planned);
                // A base without a word on these modules takes the place of those below it all the same.
                let all =
                    self.subjects.iter().enumerate().filter(|(_, it)| it.edge.is_base || !it.edge.modules.is_empty());
                let targets = all.filter(|(_, subject)| is_target(subject)).map(|(place, _)| place).collect();
                self.deployments.device(&id.device, targets);
            }
            return;
        };
        let leaves = declared.leaves();
        let mut shared = Vec::new();
        for (place, subject) in deployments() {
            for path in subject.paths_in(module) {
                let theirs = twin_path(path);
                for leaf in leaves.iter().filter(|leaf| leaf.path.overlaps(&theirs)) {
                    let agree = agree(leaf, path);
                    shared.push((place, SharedPath { declared: leaf.path.clone(), theirs: theirs.clone(), agree }));
                }
            }
        }
        self.deployments.module(id, shared);
    }

    /// Ends the pass: those who write, and what of them is not known, a line each.
    pub(super) fn finish(mut self) -> (Vec<Writer>, Vec<String>) {
        let mut writers = Vec::new();
        let deployments = std::mem::take(&mut self.deployments).finish(|place| self.subjects[place].edge.is_base);
        for (place, id, path) in deployments.shared {
            let (paths, twins) = &mut self.found[place];
            paths.insert(path);
            // One after the other: the paths of a twin follow each other.
            if twins.last() != Some(&id) {
                twins.push(id);
            }
        }
        let unknown = deployments.unknown.into_iter().map(|(place, devices)| {
            let (id, first) = (&self.subjects[place].id, devices.first().map(ToString::to_string).unwrap_or_default());
            let more = if devices.len() > 1 { format!(" and {} more", devices.len() - 1) } else { String::new() };
            format!(
                "the deployment {id} writes into what is planned, if it targets {first}{more}: this plan does not look at the device"
            )
        });
        let unknown = unknown.collect();
        for (subject, (paths, mut twins)) in self.subjects.into_iter().zip(self.found) {
            if paths.is_empty() {
                continue;
            }
            twins.sort_unstable();
            let ReadConfiguration { id, priority, condition, .. } = subject;
            writers.push(Writer::Configuration { id, priority, condition, paths: paths.into_iter().collect(), twins });
        }
        for (fleet, Theirs { revisions, twins, paths }) in self.fleets {
            let (revisions, paths) = (revisions.into_iter().collect(), paths.into_iter().collect());
            writers.push(Writer::Fleet { fleet, revisions, twins, paths });
        }
        (writers, unknown)
    }
}

/// Says whether some configuration writes some declared path, whatever it targets.
fn meet(declarations: &Declarations, subjects: &[ReadConfiguration]) -> bool {
    let theirs: Vec<TwinPath> = subjects.iter().flat_map(|subject| &subject.paths).map(twin_path).collect();
    let overlap = |body: &Body, theirs: &[TwinPath]| {
        body.leaves().iter().any(|leaf| theirs.iter().any(|path| path.overlaps(&leaf.path)))
    };
    let into_modules = subjects.iter().any(|subject| !subject.edge.modules.is_empty());
    let modules = declarations.twins.iter().filter(|(id, _)| into_modules && id.module.is_some());
    for (id, declaration) in modules {
        let Some(module) = &id.module else { continue };
        let theirs: Vec<TwinPath> =
            subjects.iter().flat_map(|subject| subject.paths_in(module)).map(twin_path).collect();
        if !theirs.is_empty() && overlap(&declaration.body, &theirs) {
            return true;
        }
    }
    if theirs.is_empty() {
        return false;
    }
    let mut seen = BTreeSet::new();
    declarations.twins.values().any(|declaration| {
        seen.insert(std::sync::Arc::as_ptr(&declaration.body).addr()) && overlap(&declaration.body, &theirs)
    })
}

fn twin_path(path: &ContentPath) -> TwinPath {
    path.keys.iter().fold(TwinPath::section_root(Section::Desired), |path, key| path.child(key))
}

/// Says whether a configuration's value is what is declared, where the two meet.
fn agree(leaf: &Leaf, path: &ContentPath) -> bool {
    // A configuration that writes into what is declared to be one value does not leave it so.
    let mut keys = leaf.path.keys();
    for key in &path.keys {
        if keys.next() != Some(key) {
            return false;
        }
    }
    let mut theirs = Some(&path.value);
    for key in keys {
        theirs = theirs.and_then(|value| value.as_object()?.get(key));
    }
    match (&leaf.value, theirs) {
        (Some(declared), Some(theirs)) => equal(declared, theirs),
        (None, None) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_agree_where_they_meet() {
        for (declared, value, keys, theirs, expected) in [
            ("desired.a", Some(json!(1)), "a", json!(1.0), true),
            ("desired.a", Some(json!(1)), "a", json!(2), false),
            ("desired.a", None, "a", json!(2), false),
            ("desired.a.b", Some(json!(1)), "a", json!({"b": 1, "c": 2}), true),
            ("desired.a.b", Some(json!(1)), "a", json!({"c": 2}), false),
            ("desired.a.b", None, "a", json!({"c": 2}), true),
            ("desired.a.b", Some(json!(1)), "a", json!(7), false),
            ("desired.a", Some(json!([1])), "a.b", json!(1), false),
            ("desired.a", Some(json!({})), "a.b", json!(1), false),
            ("desired.a", Some(json!(1)), "", json!({"a": 1}), true),
        ] {
            let origin = crate::manifest::Origin { file: "f".into(), line: 1, layer: crate::manifest::Layer::Device };
            let leaf = Leaf { path: declared.parse().expect("a path"), value, origin };
            let keys: Vec<String> = keys.split_terminator('.').map(str::to_owned).collect();
            let path = ContentPath { keys, value: theirs };
            assert_eq!(agree(&leaf, &path), expected, "{leaf:?} {path:?}");
        }
    }

    #[test]
    fn configurations_that_cannot_be_read() {
        for (condition, content, expected) in [
            (
                "tags.a =",
                json!({"deviceContent": {"properties.desired.a": 1}}),
                "its target condition cannot be read: ",
            ),
            ("*", json!({"deviceContent": {"tags.a": 1}}), "the path `tags.a` of deviceContent"),
            ("*", json!({"modulesContent": {"m": {}}}), ""),
            ("", json!({"moduleContent": {"properties.desired.a": 1}}), ""),
        ] {
            let listed = json!({"id": "c", "targetCondition": condition, "content": content, "etag": "x"});
            let configuration: Configuration = serde_json::from_value(listed).expect("a configuration");
            let problem = ReadConfiguration::read(&configuration).err().unwrap_or_default();
            assert!(problem.starts_with(expected) && problem.is_empty() == expected.is_empty(), "{problem}");
        }
    }

    #[test]
    fn conditions() {
        for (condition, expected) in [
            ("FROM devices.modules WHERE deviceId = 'a'", "deviceId = 'a'"),
            ("from  devices.modules\nwhere deviceId = 'a'", "deviceId = 'a'"),
            ("deviceId = 'a'", "deviceId = 'a'"),
            ("FROM devices WHERE deviceId = 'a'", "FROM devices WHERE deviceId = 'a'"),
        ] {
            assert_eq!(after_prefix(condition), expected);
        }
    }
}
