//! Sees from a twin's text alone that it is as declared: the common case, in which no tree is built of it.
//!
//! A yes means that [`super::decide`] would find nothing to do. A no means nothing: whatever is out of the ordinary is left to it. What is
//! declared becomes a tree once for all twins of a template, and a twin's sections are read against it from left to right.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::ownership::{RECORDS_KEY, Records};
use super::rules::{DeclaredTwin, PlanRules};
use crate::manifest::{Leaf, Ownership, PolicyPath};
use iothub_model::twin::value::equal;
use iothub_model::twin::{Section, TwinPath};
use iothub_model::wire::raw_twin::RawTwin;

/// A declaration, ready to be compared with texts.
#[derive(Debug)]
pub(super) struct TwinTemplate<'d> {
    tags: Object<'d>,
    desired: Object<'d>,
    /// The records, as text, that were found last to leave nothing to do, and whether other fleets' are among them.
    records: Mutex<Option<(Box<str>, bool)>>,
}

/// A twin about which nothing is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unchanged<'b> {
    /// All fleets' records as text, where there are others' than this fleet's.
    pub shared_records: Option<&'b str>,
}

#[derive(Debug)]
struct TemplateMember<'d> {
    key: &'d str,
    wanted: WantedMember<'d>,
}

#[derive(Debug)]
enum WantedMember<'d> {
    Value(&'d Value),
    Absent,
    Object(Object<'d>),
}

#[derive(Debug, Default)]
struct Object<'d> {
    members: Vec<TemplateMember<'d>>,
    /// Whether what is not among the members is to go.
    is_exact: bool,
}

/// An object of more members than this is left to the whole comparison.
const MEMBERS_MAX: usize = u64::BITS as usize;

impl<'d> TwinTemplate<'d> {
    /// Makes the tree of leaves of which none is under another, and of the paths under which nothing else may be.
    pub(super) fn new(leaves: &'d [Leaf], exact: &'d [PolicyPath]) -> Self {
        let mut template = Self { tags: Object::default(), desired: Object::default(), records: Mutex::default() };
        for leaf in leaves {
            let wanted = leaf.value.as_ref().map_or(WantedMember::Absent, WantedMember::Value);
            if let Some((key, object)) = template.object_over(&leaf.path) {
                object.members.push(TemplateMember { key, wanted });
            }
        }
        for PolicyPath { path, .. } in exact {
            let section = template.section(path.section());
            let Some(last) = path.keys().last() else {
                section.make_exact();
                continue;
            };
            // Where a value is declared over it, that value is all that there may be.
            let Some((_, over)) = template.object_over(path) else { continue };
            match over.members.iter_mut().find(|member| member.key == last) {
                Some(TemplateMember { wanted: WantedMember::Object(object), .. }) => object.make_exact(),
                Some(_) => {}
                None => over.members.push(TemplateMember { key: last, wanted: WantedMember::Absent }),
            }
        }
        template
    }

    fn section(&mut self, section: Section) -> &mut Object<'d> {
        match section {
            Section::Tags => &mut self.tags,
            Section::Desired => &mut self.desired,
        }
    }

    /// Returns the object that has what stands at a path, made where it is missing, and the key there; nothing where a leaf is in the way.
    fn object_over(&mut self, path: &'d TwinPath) -> Option<(&'d str, &mut Object<'d>)> {
        let mut object = self.section(path.section());
        let mut keys = path.keys().peekable();
        loop {
            let key = keys.next()?;
            if keys.peek().is_none() {
                return Some((key, object));
            }
            object = object.inner(key)?;
        }
    }

    /// Finds out whether nothing is to be done about this twin, for certain.
    pub(super) fn matches<'b>(
        &self,
        rules: &PlanRules,
        declared: &DeclaredTwin<'_>,
        twin: &RawTwin<'b>,
    ) -> Option<Unchanged<'b>> {
        let mut records = None;
        let tags = MembersVisitor { object: &self.tags, place: ObjectPlace::Tags(&mut records) };
        let desired = MembersVisitor { object: &self.desired, place: ObjectPlace::Desired };
        let is_as_declared = read(tags, twin.tags) && read(desired, twin.desired);
        let is_shared = self.are_shared(rules, declared, records).filter(|_| is_as_declared)?;
        Some(Unchanged { shared_records: records.filter(|_| is_shared) })
    }

    /// Says whether other fleets have records among these; nothing unless the records are such that none is to be written, and nobody
    /// else owns what is declared.
    fn are_shared(&self, rules: &PlanRules, declared: &DeclaredTwin<'_>, text: Option<&str>) -> Option<bool> {
        // A new rule is thought about here too.
        let PlanRules { fleet, ownership, take_ownership: _, revision: _, policy: _ } = rules;
        let Some(text) = text else {
            return (*ownership == Ownership::None || declared.owns.is_empty()).then_some(false);
        };
        let mut known = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, is_shared)) = &*known
            && **known == *text
        {
            return Some(*is_shared);
        }
        let all = serde_json::from_str::<Value>(text).ok()?;
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
        let right = own_is_right && records.problems.is_empty() && !declared.leaves.iter().any(overlaps);
        let is_shared = !records.others.is_empty();
        right.then(|| {
            *known = Some((text.into(), is_shared));
            is_shared
        })
    }
}

impl<'d> Object<'d> {
    /// Returns the object at a key, made where there is none; nothing where something else is wanted there.
    fn inner(&mut self, key: &'d str) -> Option<&mut Object<'d>> {
        // What is sorted has what shares an object at its end.
        let at = match self.members.iter().rposition(|member| member.key == key) {
            Some(at) => at,
            None => {
                let inner = Object { members: Vec::new(), is_exact: self.is_exact };
                self.members.push(TemplateMember { key, wanted: WantedMember::Object(inner) });
                self.members.len() - 1
            }
        };
        match &mut self.members[at].wanted {
            WantedMember::Object(object) => Some(object),
            WantedMember::Value(_) | WantedMember::Absent => None,
        }
    }

    fn make_exact(&mut self) {
        self.is_exact = true;
        for member in &mut self.members {
            if let WantedMember::Object(object) = &mut member.wanted {
                object.make_exact();
            }
        }
    }
}

/// Reads a section; one that is absent is empty.
fn read<'b>(members: MembersVisitor<'_, '_, 'b>, text: Option<&'b str>) -> bool {
    let mut text = serde_json::Deserializer::from_str(text.unwrap_or("{}"));
    text.deserialize_map(members).is_ok()
}

/// Reads an object's members; fails where it is not as wanted, or may not be.
struct MembersVisitor<'m, 'd, 'b> {
    object: &'m Object<'d>,
    place: ObjectPlace<'m, 'b>,
}

/// Where an object stands, by which some keys are nobody's.
enum ObjectPlace<'m, 'b> {
    /// All tags, and where the records among them are put.
    Tags(&'m mut Option<&'b str>),
    /// All desired properties, with what the hub says about them.
    Desired,
    Inside,
}

impl ObjectPlace<'_, '_> {
    fn reserves(&self, key: &str) -> bool {
        match self {
            Self::Tags(_) => key == RECORDS_KEY,
            Self::Desired => key == "$metadata" || key == "$version",
            Self::Inside => false,
        }
    }
}

impl<'de> Visitor<'de> for MembersVisitor<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object as declared")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { object: Object { members, is_exact }, mut place } = self;
        if members.len() > MEMBERS_MAX {
            return Err(A::Error::custom("too many members"));
        }
        let mut seen = 0_u64;
        while let Some(key) = map.next_key_seed(MemberKey { members, place: &place })? {
            match (key, &mut place) {
                (FoundMember::Member(at), _) => {
                    // Of a member that is there twice the last one counts, which this one may not be.
                    if seen & (1 << at) != 0 {
                        return Err(A::Error::custom("twice"));
                    }
                    seen |= 1 << at;
                    map.next_value_seed(&members[at].wanted)?;
                }
                (FoundMember::Reserved, ObjectPlace::Tags(records)) => {
                    let text = map.next_value::<&RawValue>()?.get();
                    if records.replace(text).is_some() {
                        return Err(A::Error::custom("twice"));
                    }
                }
                (FoundMember::Stranger, _) if *is_exact => return Err(A::Error::custom("nobody's")),
                (FoundMember::Reserved | FoundMember::Stranger, _) => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        // An empty object that nobody declares is one too many.
        if *is_exact && seen == 0 && matches!(place, ObjectPlace::Inside) {
            return Err(A::Error::custom("empty"));
        }
        let mut unseen = members.iter().enumerate().filter(|(at, _)| seen & (1 << at) == 0);
        if unseen.all(|(_, member)| member.wanted.holds_of_nothing()) {
            Ok(())
        } else {
            Err(A::Error::custom("missing"))
        }
    }
}

enum FoundMember {
    Member(usize),
    Reserved,
    Stranger,
}

struct MemberKey<'m, 'd, 'b> {
    members: &'m [TemplateMember<'d>],
    place: &'m ObjectPlace<'m, 'b>,
}

impl<'de> DeserializeSeed<'de> for MemberKey<'_, '_, '_> {
    type Value = FoundMember;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<FoundMember, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for MemberKey<'_, '_, '_> {
    type Value = FoundMember;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<FoundMember, E> {
        if self.place.reserves(key) {
            return Ok(FoundMember::Reserved);
        }
        let at = self.members.iter().position(|member| member.key == key);
        Ok(at.map_or(FoundMember::Stranger, FoundMember::Member))
    }
}

impl WantedMember<'_> {
    /// Says whether it is as wanted where there is nothing.
    fn holds_of_nothing(&self) -> bool {
        match self {
            Self::Value(_) => false,
            Self::Absent => true,
            Self::Object(object) => object.members.iter().all(|member| member.wanted.holds_of_nothing()),
        }
    }
}

impl<'de> DeserializeSeed<'de> for &WantedMember<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self {
            WantedMember::Absent => Err(D::Error::custom("there")),
            WantedMember::Object(object) => {
                deserializer.deserialize_map(MembersVisitor { object, place: ObjectPlace::Inside })
            }
            WantedMember::Value(Value::String(text)) => deserializer.deserialize_str(TextVisitor(text)),
            WantedMember::Value(wanted) => match equal(wanted, &serde::Deserialize::deserialize(deserializer)?) {
                true => Ok(()),
                false => Err(D::Error::custom("another value")),
            },
        }
    }
}

struct TextVisitor<'t>(&'t str);

impl Visitor<'_> for TextVisitor<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the text that is declared")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        if text == self.0 { Ok(()) } else { Err(E::custom("another text")) }
    }
}
