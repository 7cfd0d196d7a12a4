//! Which devices the manifest's selectors find: asked once by query, and held against each twin that is read.
//!
//! A query's answer lags (docs: IoT Hub query language), so that it serves to find devices and decides about none: whether one
//! is in a selection is decided by its own twin, the very one that it is planned by, and to be taken out it takes a GET. What
//! the selections are laid into is `manifest`'s.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::client::{Error, HubClient};
use crate::manifest::{Body, Declarations, Layer, Ownership, Selection, Selector};
use crate::plan::SeenTwin;
use crate::plan::ownership::{OwnershipRecord, RECORDS_KEY, value_hash};
use iothub_model::diagnostic::Diagnostic;
use iothub_model::twin::{DeviceId, Twin, TwinId, TwinPath};
use iothub_model::wire::query::MAX_PAGE;
use iothub_model::wire::twins::encode_twin;

/// Asks the hub each selector's query.
pub(crate) async fn ask(client: &HubClient, declarations: &Declarations) -> Result<Vec<Selection>, Error> {
    let mut selections = Vec::with_capacity(declarations.selectors.len());
    for selector in &declarations.selectors {
        let condition = selector.condition.text();
        let mut pages = client.query(&format!("SELECT deviceId FROM devices WHERE {condition}"), MAX_PAGE);
        let mut ids = BTreeSet::new();
        while let Some(page) = pages.next().await? {
            for row in page.rows {
                let id = row.get("deviceId").and_then(|id| id.as_str());
                let id = id.ok_or_else(|| pages.nonsense("a row has no deviceId"))?;
                ids.insert(TwinId::device(id.parse::<DeviceId>().map_err(|error| pages.nonsense(error))?));
            }
        }
        selections.push(selection(selector, ids));
    }
    Ok(selections)
}

fn selection(selector: &Selector, ids: BTreeSet<TwinId>) -> Selection {
    Selection {
        name: selector.name.clone(),
        condition: selector.condition.text().to_owned(),
        ids: ids.into_iter().collect(),
        origin: selector.origin.clone(),
    }
}

/// Returns what each selector finds on a hub of which this twin is all.
pub(crate) fn of_twin(declarations: &Declarations, twin: &Twin) -> Vec<Selection> {
    let document = encode_twin(twin);
    let finds = |selector: &Selector| twin.id.module.is_none() && selector.condition.matches(&document);
    let selections = declarations
        .selectors
        .iter()
        .map(|selector| selection(selector, if finds(selector) { [twin.id.clone()].into() } else { BTreeSet::new() }));
    selections.collect()
}

/// Who is in which selection, as the declarations have it, and who should be.
#[derive(Debug)]
pub(crate) struct Membership<'d> {
    declarations: &'d Declarations,
    /// What each selector declares.
    paths: Vec<BTreeSet<TwinPath>>,
    /// Devices whose twins say otherwise, and in which selections they are by them.
    misplaced: BTreeMap<TwinId, Vec<bool>>,
}

impl<'d> Membership<'d> {
    /// Takes declarations into which the selections are laid already.
    pub(crate) fn new(declarations: &'d Declarations) -> Result<Self, Vec<Diagnostic>> {
        let paths =
            (0..declarations.selectors.len()).map(|index| paths_of(declarations, index)).collect::<Result<_, _>>();
        Ok(Self { declarations, paths: paths?, misplaced: BTreeMap::new() })
    }

    /// Says whether there is anything to be in.
    pub(crate) fn is_empty(&self) -> bool {
        self.declarations.selectors.is_empty()
    }

    fn declared(&self, id: &TwinId) -> Vec<bool> {
        let selections = self.declarations.selections.iter();
        selections.map(|selection| selection.ids.binary_search(id).is_ok()).collect()
    }

    /// Returns in which selections a twin is by its own word. Queries list devices that are gone: one that is absent is in none.
    fn by_twin(&self, seen: &SeenTwin) -> Vec<bool> {
        let document = seen.document();
        let finds = |selector: &Selector| document.is_some_and(|document| selector.condition.matches(document));
        self.declarations.selectors.iter().map(finds).collect()
    }

    /// Takes the word of a GET. Says whether the declarations have the device in other selections, so that it must not be
    /// planned by them.
    pub(crate) fn settle(&mut self, seen: &SeenTwin) -> bool {
        let id = seen.id();
        if self.is_empty() || id.module.is_some() {
            return false;
        }
        let found = self.by_twin(seen);
        let is_misplaced = self.declared(id) != found;
        if is_misplaced {
            self.misplaced.insert(id.clone(), found);
        }
        is_misplaced
    }

    /// Says whether a twin that a query listed has to be asked for by GET before it is known in which selections it is: the
    /// two queries contradict each other, or its record owns what a selector declares that it is no more in.
    pub(crate) fn is_doubtful(&self, seen: &SeenTwin) -> bool {
        let Some(twin) = seen.twin().filter(|twin| !self.is_empty() && twin.id.module.is_none()) else { return false };
        let declared = self.declared(&twin.id);
        declared != self.by_twin(seen)
            || self.declarations.ownership == Ownership::Record && self.was_in_another(twin, &declared)
    }

    /// Says the same of a twin that carries no record, or one that owns just what is declared: that it is not in doubt. Of the twin it
    /// takes as much as the selectors' conditions look at.
    pub(crate) fn agrees(&self, id: &TwinId, excerpt: &Value) -> bool {
        let by_twin = |selector: &Selector| selector.condition.matches(excerpt);
        let selections = self.declarations.selections.iter().zip(&self.declarations.selectors);
        id.module.is_some()
            || selections
                .into_iter()
                .all(|(selection, selector)| selection.ids.binary_search(id).is_ok() == by_twin(selector))
    }

    fn was_in_another(&self, twin: &Twin, declared: &[bool]) -> bool {
        let record = twin.tags.0.get(RECORDS_KEY).and_then(|all| all.get(self.declarations.fleet.as_str()));
        let Some(Ok(record)) = record.map(OwnershipRecord::read) else { return false };
        let body = self.declarations.twins.get(&twin.id).map(|declaration| &*declaration.body);
        let others = self.paths.iter().zip(declared).filter(|(_, is_in)| !**is_in).flat_map(|(paths, _)| paths);
        others.into_iter().any(|path| {
            record.owns.get(path).is_some_and(|applied| hash_declared(body, path).is_none_or(|hash| hash != *applied))
        })
    }

    /// Returns the devices that belong elsewhere than the declarations have them.
    pub(crate) fn misplaced(&self) -> BTreeSet<TwinId> {
        self.misplaced.keys().cloned().collect()
    }

    /// Returns the selections as the twins say they are.
    pub(crate) fn corrected(&self) -> Vec<Selection> {
        let all = self.declarations.selectors.iter().zip(&self.declarations.selections).enumerate();
        all.map(|(index, (selector, selection_before))| {
            let mut ids: BTreeSet<TwinId> = selection_before.ids.iter().cloned().collect();
            for (id, found) in &self.misplaced {
                if found[index] {
                    ids.insert(id.clone());
                } else {
                    ids.remove(id);
                }
            }
            selection(selector, ids)
        })
        .collect()
    }
}

fn hash_declared(body: Option<&Body>, path: &TwinPath) -> Option<u16> {
    let leaves = body?.leaves();
    let at = leaves.binary_search_by(|leaf| leaf.path.cmp(path)).ok()?;
    Some(value_hash(leaves[at].value.as_ref()))
}

/// Returns what one selector declares: what it lays over the defaults of a device that nobody else declares.
fn paths_of(declarations: &Declarations, index: usize) -> Result<BTreeSet<TwinPath>, Vec<Diagnostic>> {
    let nobody = TwinId::device("-".parse::<DeviceId>().map_err(|_| Vec::new())?);
    let selections =
        declarations.selectors.iter().enumerate().map(|(at, selector)| {
            selection(selector, if at == index { [nobody.clone()].into() } else { BTreeSet::new() })
        });
    let probe = declarations.select(selections.collect())?;
    let body = probe.twins.get(&nobody).map(|declaration| declaration.body.clone()).unwrap_or_default();
    let name = &declarations.selectors[index].name;
    let of_selector = |layer: &Layer| matches!(layer, Layer::Selector(selector) if selector == name);
    Ok(body.leaves().iter().filter(|leaf| of_selector(&leaf.origin.layer)).map(|leaf| leaf.path.clone()).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::manifest::load_texts;
    use iothub_model::twin::Lookup;
    use iothub_model::wire::twins::decode_twin;

    /// `a` and `b` are declared, and the query found `a` and `c`.
    fn selected() -> Declarations {
        let text = "
fleet: demo
defaults: { desired: { interval: 60, mode: eco } }
devices: { a: {}, b: {} }
selectors:
  - { name: saver, where: \"tags.mode = 'slow'\", desired: { interval: 600 } }
";
        let loaded = load_texts(&[("fleet.yaml", text)], &|_| None).expect("a manifest");
        let ids = ["a", "c"].map(|id| id.parse().expect("an id")).into();
        let found = selection(&loaded.declarations.selectors[0], ids);
        loaded.declarations.select(vec![found]).expect("selected")
    }

    fn twin(id: &str, mode: &str, owns: &[(&str, Value)]) -> SeenTwin {
        let entry = |(path, value): &(&str, Value)| format!("{path}={:04x}", value_hash(Some(value)));
        let owns: Vec<String> = owns.iter().map(entry).collect();
        let tags = json!({ "mode": mode, "twinctl": { "demo": { "v": 1, "rev": "", "owns": owns } } });
        let twin = decode_twin(json!({ "deviceId": id, "etag": "AAE=", "tags": tags })).expect("a twin");
        SeenTwin::new(Lookup::Found(Box::new(twin)))
    }

    #[test]
    fn the_twin_decides() {
        let declarations = selected();
        let mut membership = Membership::new(&declarations).expect("no problem");
        for (id, mode, misplaced) in [
            ("a", "slow", false),
            ("a", "quick", true),
            ("b", "quick", false),
            ("b", "slow", true),
            ("d", "slow", true),
            ("d", "quick", false),
        ] {
            assert_eq!(membership.settle(&twin(id, mode, &[])), misplaced, "{id} {mode}");
        }
        let absent = |id: &str| SeenTwin::new(Lookup::Absent(id.parse().expect("an id")));
        assert!(membership.settle(&absent("c")), "a query lists what is gone");
        assert!(!membership.settle(&absent("b")));
        let corrected = membership.corrected();
        assert_eq!(corrected[0].ids.iter().map(ToString::to_string).collect::<Vec<_>>(), ["b", "d"]);
        assert_eq!(Arc::clone(&corrected[0].name), declarations.selections[0].name);
    }

    #[test]
    fn what_a_query_lists_may_be_in_doubt() {
        let declarations = selected();
        let membership = Membership::new(&declarations).expect("no problem");
        let interval = |value: i64| [("desired.interval", json!(value))];
        for (id, mode, owns, doubtful) in [
            ("a", "slow", interval(600).to_vec(), false),
            ("a", "quick", interval(600).to_vec(), true),
            ("b", "slow", interval(60).to_vec(), true),
            ("b", "quick", interval(60).to_vec(), false),
            // It has been in the selection, and its values would go by the word of a query.
            ("b", "quick", interval(600).to_vec(), true),
            ("b", "quick", vec![("desired.mode", json!("fast"))], false),
            ("d", "quick", interval(600).to_vec(), true),
        ] {
            assert_eq!(membership.is_doubtful(&twin(id, mode, &owns)), doubtful, "{id} {mode} {owns:?}");
            let bare = twin(id, mode, &[]);
            let excerpt = bare.document().expect("it is there");
            assert_eq!(membership.agrees(bare.id(), excerpt), !membership.is_doubtful(&bare), "{id} {mode}");
        }
    }
}
