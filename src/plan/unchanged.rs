//! Sees from a twin's text alone that it is as declared: the common case, in which no tree is built of it.
//!
//! A yes means that [`super::decide`] would find nothing to do. A no means nothing: whatever is out of the ordinary is left to it. What is
//! declared becomes a tree once for all twins of a template, and a twin's sections are read against it from left to right.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::decide::{Declared, Rules};
use super::ownership::{RECORDS_KEY, Records};
use crate::manifest::{Leaf, Ownership};
use crate::twin::Section;
use crate::twin::value::equal;
use crate::wire::raw_twin::RawTwin;

/// A declaration, ready to be compared with texts.
#[derive(Debug)]
pub(super) struct Template<'d> {
    tags: Vec<Member<'d>>,
    desired: Vec<Member<'d>>,
    /// The records, as text, that were found last to be what this declaration leaves behind.
    records: Mutex<Option<Box<str>>>,
}

#[derive(Debug)]
struct Member<'d> {
    key: &'d str,
    wanted: Wanted<'d>,
}

#[derive(Debug)]
enum Wanted<'d> {
    Value(&'d Value),
    Absent,
    Object(Vec<Member<'d>>),
}

/// An object of more members than this is left to the whole comparison.
const MEMBERS_MAX: usize = u64::BITS as usize;

impl<'d> Template<'d> {
    /// Makes the tree of leaves that are sorted and none of them under another.
    pub(super) fn new(leaves: &'d [Leaf]) -> Self {
        let mut template = Self { tags: Vec::new(), desired: Vec::new(), records: Mutex::default() };
        for leaf in leaves {
            let mut members = match leaf.path.section() {
                Section::Tags => &mut template.tags,
                Section::Desired => &mut template.desired,
            };
            let wanted = leaf.value.as_ref().map_or(Wanted::Absent, Wanted::Value);
            let mut keys = leaf.path.keys().peekable();
            while let Some(key) = keys.next() {
                if keys.peek().is_none() {
                    members.push(Member { key, wanted });
                    break;
                }
                // Sorted, so that what shares an object stands together.
                if members.last().is_none_or(|last| last.key != key) {
                    members.push(Member { key, wanted: Wanted::Object(Vec::new()) });
                }
                let Some(Member { wanted: Wanted::Object(inner), .. }) = members.last_mut() else { break };
                members = inner;
            }
        }
        template
    }

    /// Says whether nothing is to be done about this twin, for certain.
    pub(super) fn matches(&self, rules: &Rules, declared: &Declared<'_>, twin: &RawTwin<'_>) -> bool {
        // What is not declared is passed over here, and is to go where a path is exact.
        if !rules.policy.exact.is_empty() {
            return false;
        }
        let mut records = None;
        let tags = Members { members: &self.tags, records: Some(&mut records) };
        let desired = Members { members: &self.desired, records: None };
        read(tags, twin.tags) && read(desired, twin.desired) && self.has_records(rules, declared, records)
    }

    /// Says whether the records are such that none is to be written, and nobody else owns what is declared.
    fn has_records(&self, rules: &Rules, declared: &Declared<'_>, text: Option<&str>) -> bool {
        // A new rule is thought about here too.
        let Rules { fleet, ownership, take_ownership: _, revision: _, policy: _ } = rules;
        let Some(text) = text else { return *ownership == Ownership::None || declared.owns.is_empty() };
        let mut known = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        if known.as_deref() == Some(text) {
            return true;
        }
        let Ok(all) = serde_json::from_str::<Value>(text) else { return false };
        let records = Records::read(&[(RECORDS_KEY.to_owned(), all)].into_iter().collect(), fleet);
        let own_is_right = match (ownership, &records.own) {
            (Ownership::None, _) => true,
            (Ownership::Record, None) => records.own_problem.is_none() && declared.owns.is_empty(),
            (Ownership::Record, Some(own)) => !own.owns.is_empty() && own.owns == declared.owns,
        };
        let overlaps = |leaf: &Leaf| {
            let mut found = false;
            records.overlapping(&leaf.path, |_, _, _| found = true);
            found
        };
        // Other fleets' records are looked at whole, since the plan tells who else writes.
        let right = own_is_right
            && records.others.is_empty()
            && records.problems.is_empty()
            && !declared.leaves.iter().any(overlaps);
        if right {
            *known = Some(text.into());
        }
        right
    }
}

/// Reads a section; one that is absent is empty.
fn read<'b>(members: Members<'_, '_, 'b>, text: Option<&'b str>) -> bool {
    let mut text = serde_json::Deserializer::from_str(text.unwrap_or("{}"));
    text.deserialize_map(members).is_ok()
}

/// Reads an object's members; fails where it is not as wanted, or may not be.
struct Members<'m, 'd, 'b> {
    members: &'m [Member<'d>],
    /// Where the records are put, in tags.
    records: Option<&'m mut Option<&'b str>>,
}

impl<'de> Visitor<'de> for Members<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object as declared")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { members, mut records } = self;
        if members.len() > MEMBERS_MAX {
            return Err(A::Error::custom("too many members"));
        }
        let mut seen = 0_u64;
        while let Some(key) = map.next_key_seed(Key { members, has_records: records.is_some() })? {
            match (key, &mut records) {
                (Found::Member(at), _) => {
                    // Of a member that is there twice the last one counts, which this one may not be.
                    if seen & (1 << at) != 0 {
                        return Err(A::Error::custom("twice"));
                    }
                    seen |= 1 << at;
                    map.next_value_seed(&members[at].wanted)?;
                }
                (Found::Records, Some(records)) => {
                    let text = map.next_value::<&RawValue>()?.get();
                    if records.replace(text).is_some() {
                        return Err(A::Error::custom("twice"));
                    }
                }
                (Found::Records | Found::Stranger, _) => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        let mut unseen = members.iter().enumerate().filter(|(at, _)| seen & (1 << at) == 0);
        if unseen.all(|(_, member)| member.wanted.holds_of_nothing()) {
            Ok(())
        } else {
            Err(A::Error::custom("missing"))
        }
    }
}

enum Found {
    Member(usize),
    Records,
    Stranger,
}

struct Key<'m, 'd> {
    members: &'m [Member<'d>],
    has_records: bool,
}

impl<'de> DeserializeSeed<'de> for Key<'_, '_> {
    type Value = Found;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Found, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_, '_> {
    type Value = Found;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Found, E> {
        if self.has_records && key == RECORDS_KEY {
            return Ok(Found::Records);
        }
        let at = self.members.iter().position(|member| member.key == key);
        Ok(at.map_or(Found::Stranger, Found::Member))
    }
}

impl Wanted<'_> {
    /// Says whether it is as wanted where there is nothing.
    fn holds_of_nothing(&self) -> bool {
        match self {
            Self::Value(_) => false,
            Self::Absent => true,
            Self::Object(members) => members.iter().all(|member| member.wanted.holds_of_nothing()),
        }
    }
}

impl<'de> DeserializeSeed<'de> for &Wanted<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self {
            Wanted::Absent => Err(D::Error::custom("there")),
            Wanted::Object(members) => deserializer.deserialize_map(Members { members, records: None }),
            Wanted::Value(Value::String(text)) => deserializer.deserialize_str(Text(text)),
            Wanted::Value(wanted) => match equal(wanted, &serde::Deserialize::deserialize(deserializer)?) {
                true => Ok(()),
                false => Err(D::Error::custom("another value")),
            },
        }
    }
}

struct Text<'t>(&'t str);

impl Visitor<'_> for Text<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the text that is declared")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        if text == self.0 { Ok(()) } else { Err(E::custom("another text")) }
    }
}
