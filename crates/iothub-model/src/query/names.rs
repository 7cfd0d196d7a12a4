//! The properties that the hub's documents have, and paths into them.
//!
//! Names of system properties are matched without regard to case (docs: "Queries for IoT Hub device and module twins" selects
//! `DeviceId` and shows `deviceId`). Names under tags and properties are JSON keys and keep theirs.

use std::fmt;

use serde_json::Value;

use crate::diagnostic::{Span, nearest};

use super::ast::{Collection, Name, Path};
use super::error::{QueryError, QueryErrorKind};

/// A path that knows which of its names are the hub's and which are the user's.
#[derive(Clone, Debug)]
pub(super) struct BoundPath {
    segments: Vec<Segment>,
    /// The key of its column when that is not the last name in the document's spelling.
    pub(super) key: Option<&'static str>,
    /// Every document of the collection has it.
    pub(super) always: bool,
    /// The hub or the device writes it, so that nobody can say beforehand what it will be.
    pub(super) live: bool,
    /// It is an object or array in every document.
    pub(super) compound: bool,
    /// It lies under tags, desired or reported, where a merge leaves no null.
    pub(super) free: bool,
    /// All the values it can have; empty when anything goes.
    pub(super) values: &'static [&'static str],
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Segment {
    name: String,
    exact: bool,
}

/// As a query would name it, in the hub's spelling.
impl fmt::Display for BoundPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let segments = self.segments.iter();
        let segments = segments.map(|segment| Name { text: segment.name.clone(), span: Span::default() }).collect();
        Path { segments }.fmt(f)
    }
}

impl PartialEq for BoundPath {
    fn eq(&self, other: &Self) -> bool {
        self.segments == other.segments
    }
}

impl BoundPath {
    /// Returns the value at this path, or nothing where the document does not define it.
    pub(super) fn get<'d>(&self, document: &'d Value) -> Option<&'d Value> {
        self.find(document).map(|(_, value)| value)
    }

    /// Returns the value at this path with the key as the document spells it.
    pub(super) fn find<'d>(&self, document: &'d Value) -> Option<(&'d str, &'d Value)> {
        let mut found = ("", document);
        for segment in &self.segments {
            let object = found.1.as_object()?;
            let (key, value) = object.get_key_value(&segment.name).or_else(|| {
                if segment.exact {
                    return None;
                }
                object.iter().find(|(key, _)| key.eq_ignore_ascii_case(&segment.name))
            })?;
            found = (key, value);
        }
        Some(found)
    }

    /// Returns the names from the document down, and whether each must be spelt so.
    pub(super) fn segments(&self) -> impl Iterator<Item = (&str, bool)> {
        self.segments.iter().map(|segment| (segment.name.as_str(), segment.exact))
    }

    /// Returns the last name, in the hub's spelling if it is one of the hub's.
    pub(super) fn last(&self) -> &str {
        self.key.unwrap_or_else(|| self.segments.last().map_or("", |segment| &segment.name))
    }

    pub(super) fn is_device_id(&self) -> bool {
        matches!(self.segments.as_slice(), [only] if only.name == "deviceId")
    }
}

/// What may follow a system property.
#[derive(Clone, Copy)]
enum SystemMember {
    /// Nothing: it is a primitive.
    Nothing,
    /// Nothing that a path can reach: it is an array.
    Elements,
    /// These names.
    Names(&'static [&'static str]),
    /// The user's names.
    Free,
    /// `desired` and `reported`.
    Properties,
    /// A configuration's id, and `status`.
    Configurations,
    /// The outcome of a job, with a device's own payload somewhere in it.
    Outcome,
}

struct Property {
    name: &'static str,
    inside: SystemMember,
    always: bool,
    live: bool,
    values: &'static [&'static str],
}

const fn property(name: &'static str) -> Property {
    Property { name, inside: SystemMember::Nothing, always: false, live: false, values: &[] }
}

impl Property {
    const fn always(self) -> Self {
        Self { always: true, ..self }
    }

    const fn live(self) -> Self {
        Self { live: true, ..self }
    }

    const fn holds(self, inside: SystemMember) -> Self {
        Self { inside, ..self }
    }

    const fn one_of(self, values: &'static [&'static str]) -> Self {
        Self { values, ..self }
    }
}

/// A twin's properties (docs: Understand and use device twins in IoT Hub).
const TWIN: [Property; 20] = [
    property("deviceId").always(),
    property("moduleId"),
    property("etag").always().live(),
    property("deviceEtag").always(),
    property("version").always().live(),
    property("status").always().one_of(&["enabled", "disabled"]),
    property("statusReason"),
    property("statusUpdateTime").always(),
    property("connectionState").always().live().one_of(&["Connected", "Disconnected"]),
    property("lastActivityTime").always().live(),
    property("cloudToDeviceMessageCount").always().live(),
    property("authenticationType").always().one_of(&["sas", "selfSigned", "certificateAuthority", "none"]),
    property("x509Thumbprint").holds(SystemMember::Names(&["primaryThumbprint", "secondaryThumbprint"])),
    property("modelId"),
    property("capabilities").holds(SystemMember::Names(&["iotEdge"])),
    property("deviceScope"),
    property("parentScopes").holds(SystemMember::Elements),
    property("tags").holds(SystemMember::Free),
    property("properties").holds(SystemMember::Properties).always(),
    property("configurations").holds(SystemMember::Configurations).live(),
];

/// The properties of a job's document for one device (docs: Queries for IoT Hub jobs).
const JOB: [Property; 11] = [
    property("deviceId").always().live(),
    property("moduleId").live(),
    property("jobId").always().live(),
    property("jobType").always().live().one_of(&["scheduleUpdateTwin", "scheduleDeviceMethod"]),
    property("status").always().live().one_of(&["scheduled", "running", "completed", "failed", "canceled"]),
    property("startTimeUtc").live(),
    property("endTimeUtc").live(),
    property("createdDateTimeUtc").live(),
    property("lastUpdatedDateTimeUtc").live(),
    property("outcome").live().holds(SystemMember::Outcome),
    property("error").live().holds(SystemMember::Names(&["code", "description"])),
];

/// Other names for a property, as the documentation's own samples have them: twins by `id`, jobs by `createdTimeUtc`.
const SYNONYMS: [(&str, &str); 2] = [("id", "deviceId"), ("createdTimeUtc", "createdDateTimeUtc")];

/// Binds a path. What comes beside it is a remark: an error for jobs, which allow job properties only, and a warning for
/// twins, where the path is merely never defined.
pub(super) fn resolve(collection: Collection, path: &Path) -> (BoundPath, Option<QueryError>) {
    let names = path.below_document(collection);
    let properties = properties(collection);
    let mut bound = BoundPath {
        segments: Vec::with_capacity(names.len()),
        key: None,
        always: false,
        live: collection == Collection::Jobs,
        compound: false,
        free: false,
        values: &[],
    };
    // A tree from the parser has no empty path; one built by hand is the document itself.
    let Some(root) = names.first() else { return (bound, None) };
    let synonym = SYNONYMS.iter().find(|(written, meant)| {
        written.eq_ignore_ascii_case(&root.text) && (*meant == "deviceId") == (collection != Collection::Jobs)
    });
    let root_name = synonym.map_or(root.text.as_str(), |(_, meant)| meant);
    let Some(property) = properties.iter().find(|property| property.name.eq_ignore_ascii_case(root_name)) else {
        bound.segments.push(Segment { name: root.text.clone(), exact: false });
        bound.segments.extend(names[1..].iter().map(exact));
        return (bound, Some(unknown_root(collection, properties, names)));
    };
    if let (Some((written, _)), [_]) = (synonym, names) {
        bound.key = Some(written);
    }
    bound.segments.push(Segment { name: property.name.to_owned(), exact: false });
    bound.live = property.live;
    let remark = follow(property, &names[1..], &mut bound).or_else(|| misplaced(collection, property, root));
    if names.len() == 1 {
        bound.always = property.always || (collection == Collection::Modules && property.name == "moduleId");
        bound.values = property.values;
        bound.compound = !matches!(property.inside, SystemMember::Nothing);
    }
    let remark = remark.map(|remark| {
        let kind =
            if collection == Collection::Jobs { QueryErrorKind::UnknownName } else { QueryErrorKind::UnknownProperty };
        QueryError { kind, ..remark }
    });
    (bound, remark)
}

impl Path {
    /// Returns the names below the document: without `devices.` or `devices.modules.`, which name the document itself.
    pub fn below_document(&self, collection: Collection) -> &[Name] {
        without_collection(collection, &self.segments)
    }
}

/// Returns what follows the name of the document itself, which may stand in front of a path: the collection's name, and for modules
/// `devices` as well (Microsoft's scripts ask `devices.modules` with `devices.deviceId` and `devices.modules.moduleId` at once).
fn without_collection(collection: Collection, names: &[Name]) -> &[Name] {
    let prefixes: &[&[&str]] = match collection {
        Collection::Devices => &[&["devices"]],
        Collection::Modules => &[&["devices", "modules"], &["devices"]],
        Collection::Jobs => &[&["devices", "jobs"]],
    };
    let is_in_front = |prefix: &&&[&str]| {
        names.len() > prefix.len()
            && prefix.iter().zip(names).all(|(expected, name)| expected.eq_ignore_ascii_case(&name.text))
    };
    prefixes.iter().find(is_in_front).map_or(names, |prefix| &names[prefix.len()..])
}

/// Remarks on a `-` without blanks before what looks like another path, as in `tags.a-tags.b`: it is a part of the name `a-tags`.
pub(super) fn minus_between_paths(collection: Collection, path: &Path) -> Option<QueryError> {
    let (_, followed) = path.segments.split_last()?;
    followed.iter().find_map(|Name { text, span }| {
        let is_bare = span.end - span.start == text.len();
        let (_, root) = text.rsplit_once('-').filter(|_| is_bare)?;
        let has_names =
            |property: &&Property| !matches!(property.inside, SystemMember::Nothing | SystemMember::Elements);
        let is_root = root.eq_ignore_ascii_case("devices")
            || properties(collection).iter().filter(has_names).any(|known| known.name.eq_ignore_ascii_case(root));
        is_root.then(|| {
            QueryError::new(QueryErrorKind::MinusInName, *span, format!("`-` is a part of the name `{text}` here"))
                .help(SPACES_AROUND_MINUS)
                .help(format!("write `[[{text}]]` for the name"))
        })
    })
}

const SPACES_AROUND_MINUS: &str = "put spaces around a `-` that is meant as minus";

fn properties(collection: Collection) -> &'static [Property] {
    if collection == Collection::Jobs { &JOB } else { &TWIN }
}

fn exact(name: &Name) -> Segment {
    Segment { name: name.text.clone(), exact: true }
}

/// Binds what comes after a system property.
fn follow(property: &Property, names: &[Name], bound: &mut BoundPath) -> Option<QueryError> {
    let push = |bound: &mut BoundPath, name: &Name, known: &[&str]| {
        let spelled = known.iter().find(|known| known.eq_ignore_ascii_case(&name.text));
        let name = spelled.map_or(name.text.as_str(), |known| known).to_owned();
        bound.segments.push(Segment { name, exact: false });
        spelled.is_some()
    };
    let mut names = names.iter();
    match property.inside {
        SystemMember::Nothing | SystemMember::Elements => {
            let first = names.next()?;
            bound.segments.push(exact(first));
            bound.segments.extend(names.map(exact));
            let sort = if matches!(property.inside, SystemMember::Nothing) { "a single value" } else { "an array" };
            Some(never(first.span, format!("`{}` is {sort} and has no `{}`", property.name, first.text)))
        }
        SystemMember::Free => {
            bound.free = names.len() > 0;
            bound.segments.extend(names.map(exact));
            None
        }
        SystemMember::Names(known) => {
            let mut remark = None;
            if let Some(first) = names.next()
                && !push(bound, first, known)
            {
                remark = Some(unknown_inside(property.name, first, known));
            }
            bound.segments.extend(names.map(exact));
            remark
        }
        SystemMember::Properties => {
            let Some(section) = names.next() else {
                bound.live = true;
                return None;
            };
            let known = push(bound, section, &["desired", "reported"]);
            let reported = section.text.eq_ignore_ascii_case("reported");
            let first = names.clone().next();
            let hubs_own = first.is_some_and(|name| name.text == "$version" || name.text == "$metadata");
            bound.live = reported || hubs_own;
            bound.always = first.is_none() || hubs_own;
            bound.compound = first.is_none();
            bound.free = first.is_some() && !hubs_own;
            bound.segments.extend(names.map(exact));
            if known {
                return None;
            }
            bound.always = false;
            Some(unknown_inside("properties", section, &["desired", "reported"]))
        }
        SystemMember::Configurations => {
            bound.segments.extend(names.next().map(exact));
            let mut remark = None;
            if let Some(field) = names.next()
                && !push(bound, field, &["status"])
            {
                remark = Some(unknown_inside("configurations", field, &["status"]));
            }
            bound.segments.extend(names.map(exact));
            remark
        }
        SystemMember::Outcome => {
            // The hub's names down to the payload of a direct method, which is the device's.
            let mut payload = false;
            for name in names {
                bound.segments.push(Segment { name: name.text.clone(), exact: payload });
                payload |= name.text.eq_ignore_ascii_case("payload");
            }
            None
        }
    }
}

fn never(span: Span, message: String) -> QueryError {
    QueryError::new(QueryErrorKind::UnknownProperty, span, message).label("never defined")
}

fn unknown_inside(property: &str, name: &Name, known: &[&str]) -> QueryError {
    never(name.span, format!("`{property}` has no `{}`", name.text)).help(
        match nearest(&name.text, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("it has {}", list(known)),
        },
    )
}

/// Remarks on a known property in a collection that does not have it.
fn misplaced(collection: Collection, property: &Property, root: &Name) -> Option<QueryError> {
    (collection == Collection::Devices && property.name == "moduleId").then(|| {
        never(root.span, "`devices` holds no twins of modules, so none has a `moduleId`".into())
            .help("read them with `FROM devices.modules`")
    })
}

fn unknown_root(collection: Collection, properties: &[Property], names: &[Name]) -> QueryError {
    let root = &names[0];
    let known = || properties.iter().map(|property| property.name);
    let span = root.span;
    // `version-1` is one name.
    let operand = root.text.split('-').next().filter(|first| known().any(|known| known.eq_ignore_ascii_case(first)));
    let minus = operand.filter(|first| first.len() < root.text.len()).map(|_| SPACES_AROUND_MINUS);
    if collection == Collection::Jobs {
        let error =
            QueryError::new(QueryErrorKind::UnknownName, span, format!("a job has no property `{}`", root.text));
        let help = if root.text.eq_ignore_ascii_case("devices") {
            "write `devices.jobs.` in front of a property, or nothing".to_owned()
        } else if let Some(minus) = minus {
            minus.to_owned()
        } else if let Some(near) = nearest(&root.text, known()) {
            format!("did you mean `{near}`?")
        } else {
            "a condition over `devices.jobs` reads properties of jobs only, not of twins".to_owned()
        };
        return error.help(help);
    }
    let error = never(span, format!("no twin is known to have a property `{}`", root.text));
    if let Some(minus) = minus {
        return error.help(minus);
    }
    if collection == Collection::Devices && root.text.eq_ignore_ascii_case("jobs") {
        return error.help("a job is never part of a twin: read `FROM devices.jobs`");
    }
    if collection == Collection::Devices && root.text.eq_ignore_ascii_case("modules") {
        return error.help("a module's twin is never part of its device's: read `FROM devices.modules`");
    }
    if root.text.eq_ignore_ascii_case("devices") {
        return error.help(format!("write `{}.` in front of a property, or nothing", collection.name()));
    }
    // `property` stands in samples of the documentation itself, and is too far from the plural to be a typo.
    let singular = root.text.eq_ignore_ascii_case("property").then_some("properties");
    if let Some(near) = singular.or_else(|| nearest(&root.text, known())) {
        return error.help(format!("did you mean `{near}`?"));
    }
    let path = Path { segments: names.to_vec() };
    if ["desired", "reported"].iter().any(|section| section.eq_ignore_ascii_case(&root.text)) {
        return error.help(format!("write `properties.{path}`"));
    }
    let error = match names {
        [_] => error.help(format!("a text stands in single quotes: `'{path}'`")),
        _ => error,
    };
    error.help(format!("paths are written in full, such as `tags.{path}` or `properties.reported.{path}`"))
}

/// `` `a`, `b` and `c` ``.
pub(super) fn list(names: &[&str]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}
