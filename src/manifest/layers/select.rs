//! What the selectors' devices come to, once the hub was asked which they are.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::manifest::fields::policy::Selection;
use crate::manifest::layers::body::Body;
use crate::manifest::layers::declaration::{Declaration, Declarations};
use crate::manifest::layers::layering::{Bodies, Layered, Stack, sizes};
use crate::manifest::leaf::{Layer, Leaf, Origin};
use crate::manifest::range::IDENTITIES_MAX;
use iothub_model::diagnostic::Diagnostic;
use iothub_model::twin::{DeviceId, TwinId};

impl Declarations {
    /// Lays the selectors' values over the defaults of the devices that they found: below the devices' groups, inventory rows and own
    /// entries. A device that only selectors found becomes declared. One selection is needed for each selector, in any order; the digest
    /// stays, and only the selections given last count.
    ///
    /// # Errors
    ///
    /// The selections are not those of the selectors, or a device has more than the hub takes with what the selectors add.
    pub fn select(&self, selections: Vec<Selection>) -> Result<Self, Vec<Diagnostic>> {
        let selections = self.in_order(selections).map_err(|message| vec![Diagnostic::error(message)])?;
        let nothing = Arc::default();
        let layered = self.layered.as_ref().unwrap_or(&nothing);
        let mut chosen: BTreeMap<&DeviceId, Vec<usize>> = BTreeMap::new();
        for (index, selection) in selections.iter().enumerate() {
            for id in &selection.ids {
                let of = chosen.entry(&id.device).or_default();
                if of.last() != Some(&index) {
                    of.push(index);
                }
            }
        }
        // Devices of an earlier selection are taken back: those alone that it declared, and what it gave the others.
        let mut twins = self.twins.clone();
        let mut selecting =
            Selecting { layered, bodies: Bodies::new(&layered.layers), known: HashMap::new(), found: Vec::new() };
        if !self.selections.is_empty() {
            twins.retain(|id, _| layered.of.contains_key(&id.device));
            for (id, declaration) in twins.iter_mut().filter(|(id, _)| id.module.is_none()) {
                declaration.body = selecting.body(&id.device, &[]);
            }
        }
        for (device, selectors) in &chosen {
            let body = selecting.body(device, selectors);
            match twins.get_mut(&TwinId::device((*device).clone())) {
                Some(declaration) => declaration.body = body,
                None => {
                    let selector = &self.selectors[selectors[0]];
                    let layer = Layer::Selector(Arc::clone(&selector.name));
                    let origin = Origin { layer, ..selector.origin.clone() };
                    twins.insert(TwinId::device((*device).clone()), Declaration { body, origin });
                }
            }
        }
        let mut found = selecting.found;
        if twins.len() as u64 > IDENTITIES_MAX {
            let message =
                format!("with what the selectors found, more than the {IDENTITIES_MAX} twins that a hub holds");
            found.push(Diagnostic::error(message));
        }
        match found.iter().any(Diagnostic::is_error) {
            true => Err(found),
            false => Ok(Self { selections, twins, ..self.clone() }),
        }
    }

    /// Returns what a selector gives to the devices that it finds; nothing for one that there is not.
    pub(crate) fn given_by(&self, selector: &str) -> &[Leaf] {
        let at = self.selectors.iter().position(|known| &*known.name == selector);
        let given = at.and_then(|at| self.layered.as_ref()?.layers.selectors.get(at));
        given.map_or(&[], Vec::as_slice)
    }

    /// Returns what a device is declared to be that is not named and that just this selector finds; nothing when there is no such selector.
    pub(crate) fn found_by(&self, selector: &str) -> Option<Arc<Body>> {
        let at = self.selectors.iter().position(|known| &*known.name == selector)?;
        let layered = self.layered.as_ref()?;
        Some(Bodies::new(&layered.layers).body(&[at], &Stack::default()))
    }

    /// Puts selections in the order of the selectors.
    fn in_order(&self, selections: Vec<Selection>) -> Result<Vec<Selection>, String> {
        let mut by_name: HashMap<Arc<str>, Selection> = HashMap::new();
        for mut selection in selections {
            if let Some(id) = selection.ids.iter().find(|id| id.module.is_some()) {
                return Err(format!(
                    "the selector `{}` found a module, {id}: selectors are for devices",
                    selection.name
                ));
            }
            selection.ids.sort_unstable();
            selection.ids.dedup();
            if let Some(twice) = by_name.insert(Arc::clone(&selection.name), selection) {
                return Err(format!("the selector `{}` was asked twice", twice.name));
            }
        }
        let ordered = self.selectors.iter().map(|selector| {
            by_name.remove(&selector.name).ok_or_else(|| format!("the selector `{}` was not asked", selector.name))
        });
        let ordered = ordered.collect::<Result<Vec<_>, _>>()?;
        match by_name.keys().min() {
            Some(stranger) => Err(format!("the manifest has no selector `{stranger}`")),
            None => Ok(ordered),
        }
    }
}

struct Selecting<'l> {
    layered: &'l Layered,
    bodies: Bodies<'l>,
    /// By the selectors and the stack.
    known: HashMap<(Vec<usize>, Option<usize>), Arc<Body>>,
    found: Vec<Diagnostic>,
}

impl Selecting<'_> {
    fn body(&mut self, device: &DeviceId, selectors: &[usize]) -> Arc<Body> {
        let stack = self.layered.of.get(device).copied();
        if let Some(body) = self.known.get(&(selectors.to_vec(), stack)) {
            return Arc::clone(body);
        }
        let own = stack.map(|stack| &self.layered.stacks[stack]);
        let body = self.bodies.body(selectors, own.unwrap_or(&Stack::default()));
        if let Some((source, span)) = selectors.last().map(|&selector| &self.layered.places[selector]) {
            let label = format!("with all layers of the device `{device}`, which this found");
            self.found.extend(sizes(&body).into_iter().map(|diagnostic| diagnostic.at(source, *span, &label)));
        }
        self.known.insert((selectors.to_vec(), stack), Arc::clone(&body));
        body
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::manifest::load_texts;

    const FLEET: &str = "fleet: f
defaults: { tags: { d: 1 }, desired: { x: { from: defaults } } }
selectors:
  - { name: first, where: tags.a = 1, desired: { x: { from: first, first: true }, y: 1 } }
  - { name: second, where: tags.b = 1, desired: { x: 5 } }
groups: { g: { desired: { x: { group: g } } } }
devices:
  plain: {}
  grouped: { groups: [g] }
  own: { groups: [g], desired: { x: { from: own } }, modules: { m: {} } }
";

    fn fleet(text: &str) -> Declarations {
        load_texts(&[("fleet.yaml", text)], &|_| None).expect("a fleet").declarations
    }

    fn selections(declarations: &Declarations, found: &[&[&str]]) -> Vec<Selection> {
        let id = |id: &&str| TwinId::device(id.parse().expect("an id"));
        let selection = |(selector, ids): (&crate::manifest::Selector, &&[&str])| Selection {
            name: Arc::clone(&selector.name),
            condition: selector.condition.text().to_owned(),
            ids: ids.iter().map(id).collect(),
            origin: selector.origin.clone(),
        };
        declarations.selectors.iter().zip(found).map(selection).collect()
    }

    /// Returns what each twin's `desired` is, as JSON.
    fn desired(declarations: &Declarations) -> Vec<String> {
        let twin = |(id, declaration): (&TwinId, &Declaration)| {
            let section = crate::manifest::layers::merge::section_of(
                &declaration.body.leaves(),
                iothub_model::twin::Section::Desired,
            );
            format!("{id} {}", Value::Object(section)).replace('"', "")
        };
        declarations.twins.iter().map(twin).collect()
    }

    #[test]
    fn selectors_lie_between_defaults_and_groups() {
        let before = fleet(FLEET);
        let plain = [
            "grouped {x:{from:defaults,group:g}}",
            "own {x:{from:own,group:g}}",
            "own/m {}",
            "plain {x:{from:defaults}}",
        ];
        assert_eq!(desired(&before), plain);
        let found: [&[&str]; 2] = [&["stray", "plain", "grouped", "grouped"], &["grouped", "own"]];
        let after = before.select(selections(&before, &found)).expect("selected");
        // A scalar in between forgets what the defaults and the first selector had under it.
        assert_eq!(
            desired(&after),
            [
                "grouped {x:{group:g},y:1}",
                "own {x:{from:own,group:g}}",
                "own/m {}",
                "plain {x:{first:true,from:first},y:1}",
                "stray {x:{first:true,from:first},y:1}",
            ]
        );
        assert_eq!(after.digest, before.digest);
        assert_eq!(after.selections[0].ids.len(), 3);
        let stray = &after.twins[&TwinId::device("stray".parse().expect("an id"))];
        assert_eq!(format!("{:?}", stray.origin), "fleet.yaml:4 (selector first)");
        assert_eq!(
            stray.body.leaves().iter().map(|leaf| leaf.path.as_str()).collect::<Vec<_>>(),
            ["tags.d", "desired.x.first", "desired.x.from", "desired.y"]
        );
        // Only what was given last counts.
        let again = after.select(selections(&before, &[&[], &[]])).expect("selected");
        assert_eq!(desired(&again), plain);
    }

    #[test]
    fn selections_must_be_those_of_the_selectors() {
        let fleet = fleet(FLEET);
        let message = |selections: Vec<Selection>| {
            fleet.select(selections).expect_err("refused").into_iter().map(|found| found.message).collect::<Vec<_>>()
        };
        let all = selections(&fleet, &[&["a"], &["b"]]);
        assert_eq!(message(vec![all[0].clone()]), ["the selector `second` was not asked"]);
        assert_eq!(message(vec![all[0].clone(), all[0].clone()]), ["the selector `first` was asked twice"]);
        let mut stranger = all.clone();
        stranger.push(Selection { name: "third".into(), ..all[0].clone() });
        assert_eq!(message(stranger), ["the manifest has no selector `third`"]);
        let mut module = all.clone();
        module[0].ids[0].module = Some("m".parse().expect("an id"));
        assert_eq!(message(module), ["the selector `first` found a module, a/m: selectors are for devices"]);
        let reversed = all.iter().rev().cloned().collect();
        assert_eq!(fleet.select(reversed).expect("selected").selections, all);
    }

    #[test]
    fn sizes_are_checked_anew() {
        let text = |bytes: usize| format!("{{ a: '{}', b: '{}' }}", "x".repeat(bytes / 2), "x".repeat(bytes / 2));
        let fleet = fleet(&format!(
            "fleet: f\nselectors: [{{ name: s, where: tags.a = 1, tags: {} }}]\ndevices: {{ a: {{ tags: {{ c: '{}', d: '{}' }} }} }}\n",
            text(4000),
            "y".repeat(3000),
            "y".repeat(3000),
        ));
        assert!(fleet.select(selections(&fleet, &[&["b"]])).is_ok());
        let found = fleet.select(selections(&fleet, &[&["a", "b"]])).expect_err("too large");
        assert_eq!(found.len(), 1);
        let message = found[0].to_string();
        assert!(message.starts_with("fleet.yaml:2:21: tags have 10"), "{message}");
        assert_eq!(found[0].labels[0].text, "with all layers of the device `a`, which this found");
    }

    #[test]
    fn the_digest_covers_selectors_and_what_lies_over_them() {
        let digest = |text: &str| fleet(text).digest;
        let all = [
            digest(FLEET),
            digest(&FLEET.replace("name: first", "name: fist")),
            digest(&FLEET.replace("tags.a = 1", "tags.a = 2")),
            digest(&FLEET.replace("first: true", "first: false")),
            digest(&FLEET.replace("tags: { d: 1 }", "tags: { d: 2 }")),
            // The same twins, as long as no selector finds them.
            digest(&FLEET.replace("plain: {}", "plain: { tags: { d: 1 } }")),
        ];
        for (index, digest) in all.iter().enumerate() {
            assert!(!all[..index].contains(digest), "{index}");
        }
    }
}
