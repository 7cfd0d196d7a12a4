//! What each field of a manifest is, for people and for editors: the JSON Schema and the reference page are made from this.
//!
//! The tables that read a manifest (`schema`, `checks`, `inventory`, `policy::read`) say which fields there are; a test holds the two
//! against each other.

pub(crate) mod reader;
pub(crate) mod policy;
pub(crate) mod query;
pub(crate) mod expect;
pub(crate) mod checks;
pub(crate) mod schema;
pub(crate) mod foreign;
pub(crate) mod json_schema;

#[cfg(test)]
mod reference;

/// The form of a value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    /// A text, perhaps of a pattern (a regular expression of JSON Schema).
    Text(Option<&'static str>),
    /// One of some words.
    Words(&'static [&'static str]),
    Boolean,
    /// A whole number from 0.
    Count,
    /// A number of twins, or a share of them.
    Amount,
    /// A duration.
    Time,
    /// A path into a twin.
    Path,
    /// Tags or desired properties.
    Section,
    /// Names and values of variables.
    Variables,
    /// What a check expects.
    Expectation,
    /// The table of this name.
    Table(&'static str),
    /// A mapping of names to the table of this name.
    Named(&'static str),
    /// A list.
    List(&'static Shape),
}

/// One field.
#[derive(Debug)]
pub(crate) struct About {
    /// What has it, as the reading tables call it.
    pub(crate) of: &'static str,
    pub(crate) name: &'static str,
    pub(crate) shape: Shape,
    /// What holds when it is not there; empty where it must be there.
    pub(crate) default: &'static str,
    /// Sentences.
    pub(crate) text: &'static str,
    pub(crate) example: &'static str,
}

const fn field(
    of: &'static str,
    name: &'static str,
    shape: Shape,
    default: &'static str,
    text: &'static str,
    example: &'static str,
) -> About {
    About { of, name, shape, default, text, example }
}

/// The names of the tables that another refers to.
pub(crate) mod names {
    pub(crate) const MANIFEST: &str = "a manifest";
    pub(crate) const DEFAULTS: &str = "`defaults`";
    pub(crate) const GROUP: &str = "a group";
    pub(crate) const DEVICE: &str = "a device";
    pub(crate) const MODULE: &str = "a module";
    pub(crate) const INVENTORY: &str = "an inventory";
    pub(crate) const SELECTOR: &str = "a selector";
    pub(crate) const CHECK: &str = "a check";
    pub(crate) const LIMITS: &str = "`limits`";
    pub(crate) const RENAME: &str = "a rename";
    pub(crate) const ROLLOUT: &str = "`rollout`";
}
use names::*;

const TAGS: &str = "Tags of the device twin, which back ends read and devices never see. An absent key is not managed, `null` must be absent, a value must be equal.";
const DESIRED: &str = "Desired properties, which the device reads. An absent key is not managed, `null` must be absent, a value must be equal; an array is one value.";

/// All fields, table by table in the order of the reference page.
pub(crate) const FIELDS: &[About] = &[
    field(
        MANIFEST,
        "fleet",
        Shape::Text(Some("^[a-z0-9][a-z0-9-]{0,62}$")),
        "",
        "The fleet's name, under which it owns what it wrote: 1 to 63 lower-case letters, digits and hyphens. Of several files, one says it.",
        "fleet: redmond",
    ),
    field(
        MANIFEST,
        "hub",
        Shape::Text(None),
        "any hub",
        "The only hub that this fleet may be applied to; any other is refused. An empty text stands for none.",
        "hub: ${env.IOTHUB_HOST:-}",
    ),
    field(
        MANIFEST,
        "missing",
        Shape::Words(&["fail", "skip", "register"]),
        "fail",
        "What to do about a declared device or module that the hub lacks: refuse the plan, leave it out, or create its identity.",
        "missing: register",
    ),
    field(
        MANIFEST,
        "vars",
        Shape::Variables,
        "none",
        "Values that `${var.NAME}` stands for, anywhere in the fleet. `--vars FILE` and `--var NAME=VALUE` go over them.",
        "vars: { interval: 60 }",
    ),
    field(
        MANIFEST,
        "defaults",
        Shape::Table(DEFAULTS),
        "nothing",
        "What every declared device has: the weakest layer. Then come selectors, groups, the inventory's row, the device's own entry.",
        "defaults: { tags: { managedBy: platform } }",
    ),
    field(
        MANIFEST,
        "groups",
        Shape::Named(GROUP),
        "none",
        "What devices share that list the group under `groups`.",
        "groups: { oslo: { desired: { power_level: 1 } } }",
    ),
    field(
        MANIFEST,
        "devices",
        Shape::Named(DEVICE),
        "none",
        "Devices by their ids. `{001..120}` in an id is a range and stands for that many devices; several ranges multiply.",
        "devices: { \"press-{001..120}\": { groups: [oslo] } }",
    ),
    field(
        MANIFEST,
        "inventory",
        Shape::List(&Shape::Table(INVENTORY)),
        "none",
        "Devices from tables, one row a device. A device may have an entry under `devices` as well, which goes over its row.",
        "inventory: [{ from: plants/oslo.csv, id: \"${row.serial}\", groups: [oslo] }]",
    ),
    field(
        MANIFEST,
        "selectors",
        Shape::List(&Shape::Table(SELECTOR)),
        "none",
        "Devices found by query when the plan is made. Those that only a selector finds are managed as declared ones are.",
        "selectors: [{ name: saver, where: tags.plant = 'Oslo', desired: { interval: 600 } }]",
    ),
    field(
        MANIFEST,
        "ownership",
        Shape::Words(&["record", "none"]),
        "record",
        "Whether a record of what the fleet owns travels with each twin, in `tags.twinctl`, so that removing a line removes the key.",
        "ownership: none",
    ),
    field(
        MANIFEST,
        "exact",
        Shape::List(&Shape::Path),
        "none",
        "Under these paths, whatever is not declared is removed.",
        "exact: [tags.location]",
    ),
    field(
        MANIFEST,
        "sensitive",
        Shape::List(&Shape::Path),
        "none",
        "Values at these paths and under them are never printed, nor written to plan files; the manifest's digest covers their paths alone.",
        "sensitive: [desired.wifi.psk]",
    ),
    field(
        MANIFEST,
        "limits",
        Shape::Table(LIMITS),
        "no limits",
        "How much one plan may change; one that goes beyond is refused.",
        "limits: { max_changed: 20% }",
    ),
    field(
        MANIFEST,
        "moved",
        Shape::List(&Shape::Table(RENAME)),
        "none",
        "Renames: the old path goes and the new one comes in one patch. The old path is declared no more, and the new one is.",
        "moved: [{ from: desired.freq, to: desired.interval }]",
    ),
    field(
        MANIFEST,
        "released",
        Shape::List(&Shape::Path),
        "none",
        "Paths that are no longer owned, and not deleted from the twins. They are declared no more.",
        "released: [tags.legacy]",
    ),
    field(
        MANIFEST,
        "rollout",
        Shape::Table(ROLLOUT),
        "all at once",
        "Reserved: this version does not carry out a rollout. `plan` and `apply` refuse it, unless `--ignore-rollout` is given: then all twins are written at once.",
        "rollout: { waves: [1, 10%, 100%], pause: 30s }",
    ),
    field(
        MANIFEST,
        "checks",
        Shape::List(&Shape::Table(CHECK)),
        "none",
        "Queries, and what their rows must be once the fleet is as declared.",
        "checks: [{ name: nobody is hot, query: SELECT * FROM devices WHERE tags.hot = true, expect: none }]",
    ),
    field(DEFAULTS, "tags", Shape::Section, "nothing", TAGS, "tags: { managedBy: platform }"),
    field(DEFAULTS, "desired", Shape::Section, "nothing", DESIRED, "desired: { telemetry: { intervalSeconds: 60 } }"),
    field(GROUP, "tags", Shape::Section, "nothing", TAGS, "tags: { location: { plant: Oslo } }"),
    field(GROUP, "desired", Shape::Section, "nothing", DESIRED, "desired: { power_level: 1 }"),
    field(
        DEVICE,
        "groups",
        Shape::List(&Shape::Text(None)),
        "none",
        "The groups that it is in, weakest first.",
        "groups: [oslo, night]",
    ),
    field(DEVICE, "tags", Shape::Section, "nothing", TAGS, "tags: { floor: 3 }"),
    field(DEVICE, "desired", Shape::Section, "nothing", DESIRED, "desired: { power_level: 3, fan: null }"),
    field(
        DEVICE,
        "modules",
        Shape::Named(MODULE),
        "none",
        "Its modules by their ids. A module twin has its entry here as its only layer.",
        "modules: { telemetry: { desired: { batch: 50 } } }",
    ),
    field(MODULE, "tags", Shape::Section, "nothing", "Tags of the module twin.", "tags: { role: edge }"),
    field(
        MODULE,
        "desired",
        Shape::Section,
        "nothing",
        "Desired properties of the module twin, which the module reads.",
        "desired: { batch: 50 }",
    ),
    field(
        INVENTORY,
        "from",
        Shape::Text(None),
        "",
        "The table, relative to this file, with `..` where need be: .csv with a head, .json with a list of objects, or .jsonl with an object a line.",
        "from: plants/oslo.csv",
    ),
    field(
        INVENTORY,
        "id",
        Shape::Text(Some("\\$\\{row\\.")),
        "",
        "The device's id, from the row's columns.",
        "id: \"${row.serial}\"",
    ),
    field(
        INVENTORY,
        "groups",
        Shape::List(&Shape::Text(None)),
        "none",
        "The groups of each row's device; an empty name from a row is passed over.",
        "groups: [oslo, \"${row.shift}\"]",
    ),
    field(
        INVENTORY,
        "tags",
        Shape::Section,
        "nothing",
        "Tags of each row's device. `${row.COLUMN}` is what the row has there, `${row.COLUMN:int:-0}` as an integer and 0 where it is empty.",
        "tags: { floor: \"${row.floor:int}\" }",
    ),
    field(
        INVENTORY,
        "desired",
        Shape::Section,
        "nothing",
        "Desired properties of each row's device.",
        "desired: { level: \"${row.level:int:-1}\" }",
    ),
    field(
        INVENTORY,
        "modules",
        Shape::Named(MODULE),
        "none",
        "Modules of each row's device.",
        "modules: { telemetry: { desired: { batch: \"${row.batch:int:-50}\" } } }",
    ),
    field(SELECTOR, "name", Shape::Text(None), "", "Its name, unique in the fleet.", "name: cellular-saver"),
    field(
        SELECTOR,
        "where",
        Shape::Text(None),
        "",
        "The condition that finds its devices, as it stands after WHERE in a query of device twins.",
        "where: properties.reported.connectivity = 'cellular'",
    ),
    field(SELECTOR, "tags", Shape::Section, "nothing", TAGS, "tags: { saver: true }"),
    field(SELECTOR, "desired", Shape::Section, "nothing", DESIRED, "desired: { telemetry: { intervalSeconds: 600 } }"),
    field(
        LIMITS,
        "max_changed",
        Shape::Amount,
        "no limit",
        "Twins that a plan may change or release, of those that are on the hub. Those that it registers, or only records, do not count.",
        "max_changed: 20%",
    ),
    field(
        LIMITS,
        "max_removed_keys",
        Shape::Count,
        "no limit",
        "Keys that a plan may remove, over all twins.",
        "max_removed_keys: 100",
    ),
    field(
        LIMITS,
        "min_population",
        Shape::Count,
        "no limit",
        "Declared devices that there must be.",
        "min_population: 10",
    ),
    field(RENAME, "from", Shape::Path, "", "The old path.", "from: desired.freq"),
    field(RENAME, "to", Shape::Path, "", "The new path, in the same section.", "to: desired.interval"),
    field(
        ROLLOUT,
        "waves",
        Shape::List(&Shape::Amount),
        "all at once",
        "Reserved. How many twins are done by the end of each wave, rising. What the last one leaves follows in one more.",
        "waves: [1, 10%, 100%]",
    ),
    field(ROLLOUT, "pause", Shape::Time, "0s", "Reserved. How long to wait between waves.", "pause: 30s"),
    field(
        ROLLOUT,
        "max_failed",
        Shape::Count,
        "no limit",
        "Reserved. Twins that may fail before the rest is left alone.",
        "max_failed: 2",
    ),
    field(
        ROLLOUT,
        "on_failure",
        Shape::Words(&["stop", "rollback"]),
        "stop",
        "Reserved. What to do then: leave the rest alone, or take back what this run wrote.",
        "on_failure: rollback",
    ),
    field(
        CHECK,
        "name",
        Shape::Text(None),
        "",
        "Its name, unique in the fleet: a line of the report.",
        "name: plant has its devices",
    ),
    field(
        CHECK,
        "query",
        Shape::Text(None),
        "",
        "A query in IoT Hub's language.",
        "query: SELECT COUNT() AS n FROM devices WHERE tags.plant = 'Oslo'",
    ),
    field(
        CHECK,
        "expect",
        Shape::Expectation,
        "",
        "What its rows must be: `none`, `some`, a row or a list of rows, device ids, `{ count: \">= 3\" }`, bounds on a column, or a share of another query.",
        "expect: { n: { min: 3, max: 9 } }",
    ),
    field(
        CHECK,
        "within",
        Shape::Time,
        "60s",
        "How long it may take to become so: results of queries lag behind writes. `0s` asks once.",
        "within: 2m",
    ),
    field(
        CHECK,
        "severity",
        Shape::Words(&["error", "warn"]),
        "error",
        "What it means when it does not hold: the command fails, or it is only reported.",
        "severity: warn",
    ),
    field(
        CHECK,
        "gate",
        Shape::Boolean,
        "false",
        "Reserved, as `rollout` is. Whether it must hold between waves, and not only at the end.",
        "gate: true",
    ),
];

/// Returns the fields of a table.
pub(crate) fn of(table: &str) -> impl Iterator<Item = &'static About> {
    FIELDS.iter().filter(move |about| about.of == table)
}
