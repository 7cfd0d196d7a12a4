//! Neighbours that are declared alike become one range: `press-001` to `press-120` are `press-{001..120}`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::leaves::{ImportedDevice, Leaves, Numbers};
use super::{ImportedEntry, ImportedLeaf};
use iothub_model::twin::ModuleId;

/// What makes two entries alike but for their names.
type EntryContent = (Vec<usize>, Numbers, Vec<(ModuleId, Numbers)>);

/// A name around its last number: what stands before it and after it, and how wide it is when zeros pad it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Series {
    before: String,
    after: String,
    /// 0 for a number that is written as it is.
    width: usize,
}

/// Makes entries of devices, which are sorted by id.
pub(super) fn join(leaves: &Leaves, devices: Vec<ImportedDevice>) -> Vec<ImportedEntry> {
    let mut series: BTreeMap<Series, Vec<(u64, usize)>> = BTreeMap::new();
    let mut ends: Vec<Option<(String, usize)>> = Vec::with_capacity(devices.len());
    for (index, device) in devices.iter().enumerate() {
        ends.push(Some((device.id.as_str().to_owned(), index)));
        for (one, number) in places(device.id.as_str()) {
            series.entry(one).or_default().push((number, index));
        }
    }
    let content = |index: usize| -> EntryContent {
        let device = &devices[index];
        (device.groups.clone(), Arc::clone(&device.own), device.modules.clone())
    };
    // Long runs first, since a number of as many digits as its width may be of two series.
    let mut runs: Vec<(Series, Vec<(u64, usize)>)> = Vec::new();
    for (one, mut numbers) in series {
        numbers.sort_unstable();
        let next = |a: &(u64, usize), b: &(u64, usize)| b.0 == a.0 + 1 && content(a.1) == content(b.1);
        runs.extend(numbers.chunk_by(next).filter(|run| run.len() > 1).map(|run| (one.clone(), run.to_vec())));
    }
    runs.sort_by(|a, b| b.1.len().cmp(&a.1.len()).then_with(|| a.0.cmp(&b.0)));
    for (Series { before, after, width }, run) in runs {
        if run.iter().any(|(_, index)| ends[*index].as_ref().is_none_or(|(name, _)| name.contains('{'))) {
            continue;
        }
        let (first, last) = (run[0].0, run[run.len() - 1].0);
        for (_, index) in &run[1..] {
            ends[*index] = None;
        }
        ends[run[0].1] = Some((format!("{before}{{{first:0width$}..{last:0width$}}}{after}"), run[0].1));
    }
    let bodies = |numbers: &[u32]| -> Vec<ImportedLeaf> { leaves.sorted(numbers) };
    let entry = |(name, index): (String, usize)| ImportedEntry {
        name,
        groups: devices[index].groups.clone(),
        leaves: bodies(&devices[index].own),
        modules: devices[index].modules.iter().map(|(id, numbers)| (id.clone(), bodies(numbers))).collect(),
    };
    ends.into_iter().flatten().map(entry).collect()
}

/// Returns the series that a name may belong to. `a-10` may be of `a-{9..10}` and of `a-{01..10}`.
fn places(name: &str) -> Vec<(Series, u64)> {
    let Some(end) = name.rfind(|c: char| c.is_ascii_digit()).map(|last| last + 1) else { return Vec::new() };
    let start = name[..end].rfind(|c: char| !c.is_ascii_digit()).map_or(0, |before| before + 1);
    let digits = &name[start..end];
    // As many as a range takes.
    let Some(number) = digits.parse::<u64>().ok().filter(|_| digits.len() <= 18) else { return Vec::new() };
    let series = |width| Series { before: name[..start].to_owned(), after: name[end..].to_owned(), width };
    if digits.len() > 1 && digits.starts_with('0') {
        return vec![(series(digits.len()), number)];
    }
    let mut all = vec![(series(0), number)];
    if digits.len() > 1 {
        all.push((series(digits.len()), number));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(ids: &[(&str, u32)]) -> Vec<String> {
        let mut devices: Vec<ImportedDevice> = ids
            .iter()
            .map(|(id, group)| ImportedDevice {
                id: id.parse().expect("an id"),
                own: Arc::new([]),
                groups: vec![*group as usize],
                modules: Vec::new(),
            })
            .collect();
        devices.sort_by(|a, b| a.id.cmp(&b.id));
        join(&Leaves::default(), devices).into_iter().map(|entry| entry.name).collect()
    }

    #[test]
    fn neighbours_that_are_alike_are_a_range() {
        for (ids, entries) in [
            (&[("a-1", 0), ("a-2", 0), ("a-3", 0)][..], &["a-{1..3}"][..]),
            (&[("a-1", 0), ("a-2", 1), ("a-3", 0)], &["a-1", "a-2", "a-3"]),
            (&[("a-1", 0), ("a-3", 0)], &["a-1", "a-3"]),
            (&[("a-08", 0), ("a-09", 0), ("a-10", 0), ("a-11", 0)], &["a-{08..11}"]),
            (&[("a-9", 0), ("a-10", 0), ("a-11", 0)], &["a-{9..11}"]),
            (&[("a-9", 0), ("a-10", 0), ("a-09", 0), ("a-08", 0)], &["a-{08..10}", "a-9"]),
            (&[("a-98", 0), ("a-99", 0), ("a-100", 0)], &["a-{98..100}"]),
            (&[("a-099", 0), ("a-100", 0)], &["a-{099..100}"]),
            (&[("1x", 0), ("2x", 0), ("x", 0)], &["{1..2}x", "x"]),
            (&[("a1b1", 0), ("a1b2", 0), ("a2b1", 0)], &["a1b{1..2}", "a2b1"]),
            (&[("a-1", 0), ("a-01", 0), ("a-001", 0)], &["a-001", "a-01", "a-1"]),
            (
                &[("n99999999999999999999", 0), ("n99999999999999999998", 0)],
                &["n99999999999999999998", "n99999999999999999999"],
            ),
        ] {
            assert_eq!(joined(ids), entries, "{ids:?}");
        }
    }
}
