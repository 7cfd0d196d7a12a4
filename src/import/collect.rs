//! Takes twins in: what can be declared of them is kept, each distinct part once, and the rest is noted.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::Value;

use super::factor::factor;
use super::leaves::{ImportedDevice, Leaves, Numbers};
use super::ranges::join;
use super::{Factored, ImportOptions};
use crate::manifest::{FleetName, Ownership};
use crate::plan::ownership::{OwnershipRecord, RECORDS_KEY, fits_a_record, record_path, records_path};
use iothub_model::twin::limits::{Rule, Violation, check_size, check_values, section_max_bytes, section_size};
use iothub_model::twin::path::leaves;
use iothub_model::twin::{DeviceId, ModuleId, Object, Section, Twin, TwinId, TwinPath};

/// Why a module is not declared: whoever declares one declares its device.
const NO_DEVICE: &str = "its device is not in the manifest";

/// As long as revisions are, as a rule.
const REVISION: &str = "000000000000";

/// Collects twins, in any order. Memory grows with what differs between them: of a twin that is like another one, the id alone.
#[derive(Debug)]
pub(crate) struct Importer {
    options: ImportOptions,
    pub(super) leaves: Leaves,
    bodies: HashMap<Numbers, ()>,
    devices: BTreeMap<DeviceId, Numbers>,
    modules: BTreeMap<DeviceId, Vec<(ModuleId, Numbers)>>,
    notes: BTreeMap<(TwinPath, Reason), Whose>,
    outgrown: Vec<(TwinId, usize)>,
    left_out: BTreeMap<TwinId, String>,
    gone: BTreeSet<TwinId>,
    system: usize,
    recorded: usize,
}

/// Something of the live twins that the manifest does not declare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    /// A path of some twins.
    Path {
        /// Where.
        path: TwinPath,
        /// Why.
        reason: Reason,
        /// Whose.
        whose: Whose,
    },
    /// A twin that is declared whole, but whose tags have no room for the record of what the fleet owns.
    Outgrown {
        /// Which.
        id: TwinId,
        /// Bytes that its tags would have, as the hub counts.
        bytes: usize,
    },
    /// Twins that a query listed, and that the hub has no more.
    Gone(Vec<TwinId>),
    /// Modules of the IoT Edge runtime: how many. Nobody but a deployment writes their twins.
    System(usize),
    /// A whole twin.
    Twin {
        /// Which.
        id: TwinId,
        /// Why, as a fragment.
        problem: String,
    },
}

/// Some twins: how many, and the first few.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Whose {
    /// How many.
    pub count: usize,
    /// The first of them, sorted.
    pub first: Vec<TwinId>,
}

impl Whose {
    fn add(&mut self, id: &TwinId) {
        self.count += 1;
        let at = self.first.partition_point(|known| known < id);
        self.first.insert(at, id.clone());
        self.first.truncate(3);
    }
}

/// Why a path is not declared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reason {
    /// Another fleet's record owns it, or a path over or under it.
    OwnedBy(FleetName),
    /// The hub would not take it from a manifest: in its words.
    Refused(String),
}

impl Importer {
    /// Starts without twins.
    pub(crate) fn new(options: ImportOptions) -> Self {
        Self {
            options,
            leaves: Leaves::default(),
            bodies: HashMap::new(),
            devices: BTreeMap::new(),
            modules: BTreeMap::new(),
            notes: BTreeMap::new(),
            outgrown: Vec::new(),
            left_out: BTreeMap::new(),
            gone: BTreeSet::new(),
            system: 0,
            recorded: 0,
        }
    }

    /// Returns how many twins that are to be declared carry the record of the fleet already.
    pub(crate) fn recorded(&self) -> usize {
        self.recorded
    }

    /// Says whether a device came by, whatever became of it.
    pub(crate) fn has(&self, device: &DeviceId) -> bool {
        self.devices.contains_key(device) || self.left_out.contains_key(&TwinId::device(device.clone()))
    }

    /// Notes a twin that a query listed, and that the hub has no more.
    pub(crate) fn gone(&mut self, id: TwinId) {
        self.gone.insert(id);
    }

    /// Says whether a module that a query lists has to be read: its device came by, and it is none of the IoT Edge runtime. What is
    /// not to be read is counted.
    pub(crate) fn wants(&mut self, id: &TwinId) -> bool {
        let Some(module) = &id.module else { return true };
        if self.gone.contains(&TwinId::device(id.device.clone())) {
            self.gone(id.clone());
            return false;
        }
        let has = self.has(&id.device);
        self.system += usize::from(has && module.is_system());
        has && !module.is_system()
    }

    /// Takes in a twin, of a device or a module. A second one of the same id takes the first one's place.
    pub(crate) fn push(&mut self, twin: &Twin) {
        if twin.id.module.is_some() && self.left_out.contains_key(&TwinId::device(twin.id.device.clone())) {
            return self.leave_out(twin, NO_DEVICE.to_owned());
        }
        let TwinId { device, module } = twin.id.clone();
        if let Err(error) = device.addressable().and_then(|_| module.map(ModuleId::addressable).transpose()) {
            return self.leave_out(twin, error.to_string());
        }
        let owned = match foreign(twin, &self.options.fleet) {
            Ok(owned) => owned,
            Err(problem) => return self.leave_out(twin, problem),
        };
        let mut numbers = Vec::new();
        for section in Section::ALL {
            let mut kept = Object::new();
            let mut found = Vec::new();
            leaves(section, twin.section(section), |path, value| found.push((path, value)));
            for (path, value) in found {
                if records_path().overlaps(&path) {
                    continue;
                }
                let owner = owned.iter().find(|(_, owned)| owned.iter().any(|owned| owned.overlaps(&path)));
                let reason = match owner {
                    Some((fleet, _)) => Some(Reason::OwnedBy(fleet.clone())),
                    None if self.options.ownership == Ownership::Record && !fits_a_record(&path) => {
                        let reason = "a path that is too long for a record of what the fleet owns";
                        Some(Reason::Refused(reason.to_owned()))
                    }
                    None => refused(&path, value, twin.section(section)).map(Reason::Refused),
                };
                match reason {
                    Some(reason) => self.notes.entry((path, reason)).or_default().add(&twin.id),
                    None => {
                        path.put(&mut kept, value.clone());
                        numbers.push(self.leaves.number(path, value));
                    }
                }
            }
            if let Some(violation) = check_size(section, &kept) {
                return self.leave_out(twin, violation.rule.to_string());
            }
        }
        numbers.sort_unstable();
        numbers.dedup();
        if self.options.ownership == Ownership::Record
            && let Some(bytes) = self.outgrown(twin, &numbers)
        {
            self.outgrown.push((twin.id.clone(), bytes));
        }
        self.recorded += usize::from(self.carries_record(twin));
        let body = self.body(numbers);
        match &twin.id.module {
            None => {
                self.devices.insert(twin.id.device.clone(), body);
            }
            Some(module) => {
                let modules = self.modules.entry(twin.id.device.clone()).or_default();
                modules.retain(|(known, _)| known != module);
                modules.push((module.clone(), body));
            }
        }
    }

    fn carries_record(&self, twin: &Twin) -> bool {
        twin.tags.0.get(RECORDS_KEY).is_some_and(|all| all.get(self.options.fleet.as_str()).is_some())
    }

    fn leave_out(&mut self, twin: &Twin, mut problem: String) {
        if self.carries_record(twin) && self.options.ownership == Ownership::Record {
            let fleet = &self.options.fleet;
            problem
                .push_str(&format!("; it carries the record of fleet {fleet}, so that a plan takes it to have left"));
        }
        self.left_out.insert(twin.id.clone(), problem);
    }

    /// Returns the bytes that the tags would have with a record of these leaves, when that is more than the hub takes.
    fn outgrown(&self, twin: &Twin, numbers: &[u32]) -> Option<usize> {
        let path = record_path(&self.options.fleet);
        let mut tags = twin.tags.0.clone();
        let owns = numbers.iter().map(|&number| (self.leaves.get(number).0.clone(), 0)).collect();
        path.put(&mut tags, OwnershipRecord { revision: REVISION.to_owned(), owns }.write());
        Some(section_size(&tags)).filter(|&bytes| bytes > section_max_bytes(Section::Tags))
    }

    fn body(&mut self, numbers: Vec<u32>) -> Numbers {
        let body: Numbers = numbers.into();
        match self.bodies.get_key_value(&body) {
            Some((known, ())) => Arc::clone(known),
            None => {
                self.bodies.insert(Arc::clone(&body), ());
                body
            }
        }
    }

    /// Makes a manifest of what was taken in, and says what is not in it.
    pub(crate) fn finish(mut self) -> (Factored, Vec<Note>) {
        self.bodies.clear();
        let mut devices = Vec::with_capacity(self.devices.len());
        let mut module_count = 0;
        for (id, own) in std::mem::take(&mut self.devices) {
            let mut modules = self.modules.remove(&id).unwrap_or_default();
            modules.sort_by(|a, b| a.0.cmp(&b.0));
            module_count += modules.len();
            devices.push(ImportedDevice { id, own, groups: Vec::new(), modules });
        }
        // Whoever declares a module declares its device, which is not to be declared here.
        for (device, modules) in std::mem::take(&mut self.modules) {
            for (module, _) in modules {
                let id = TwinId { device: device.clone(), module: Some(module) };
                self.left_out.insert(id, NO_DEVICE.to_owned());
            }
        }
        let count = devices.len();
        let (defaults, groups) = factor(&self.leaves, &mut devices, &self.options.by);
        let entries = join(&self.leaves, devices);
        let paths = self.notes.into_iter().map(|((path, reason), whose)| Note::Path { path, reason, whose });
        let twins = self.left_out.into_iter().map(|(id, problem)| Note::Twin { id, problem });
        self.outgrown.sort();
        let outgrown = self.outgrown.into_iter().map(|(id, bytes)| Note::Outgrown { id, bytes });
        let gone = (!self.gone.is_empty()).then(|| Note::Gone(self.gone.into_iter().collect()));
        let system = (self.system > 0).then_some(Note::System(self.system));
        let notes = gone.into_iter().chain(system).chain(paths).chain(twins).chain(outgrown).collect();
        (Factored { defaults, groups, entries, devices: count, modules: module_count }, notes)
    }
}

/// Returns what other fleets' records own, or why a plan would have nothing to do with the twin.
fn foreign(twin: &Twin, fleet: &FleetName) -> Result<Vec<(FleetName, Vec<TwinPath>)>, String> {
    let all = match twin.tags.0.get(RECORDS_KEY) {
        None => return Ok(Vec::new()),
        Some(Value::Object(all)) => all,
        Some(_) => return Err("tags.twinctl is no object, so there is no place for a record".to_owned()),
    };
    let mut owned = Vec::new();
    for (key, value) in all {
        let Ok(name) = key.parse::<FleetName>() else { continue };
        match OwnershipRecord::read(value) {
            Ok(_) if name == *fleet => {}
            Ok(record) => owned.push((name, record.owns.into_keys().collect())),
            Err(error) => return Err(format!("the record tags.twinctl.{name} cannot be read: {error}")),
        }
    }
    Ok(owned)
}

/// Says why a manifest could not declare a leaf.
fn refused(path: &TwinPath, value: &Value, root: &Object) -> Option<String> {
    if value.is_null() {
        return Some("a null, which in a manifest means that the key must be absent".to_owned());
    }
    // The path of a key with a dot in it leads elsewhere, so what it finds is looked at and not what it was.
    if path.find(root) != Some(value) {
        return Some("a key with a dot in it, which the hub does not take".to_owned());
    }
    let mut alone = Object::new();
    path.put(&mut alone, value.clone());
    let Violation { rule, .. } = check_values(&alone).into_iter().next()?;
    match rule {
        Rule::SectionSize { .. } => None,
        rule => Some(rule.to_string()),
    }
}
