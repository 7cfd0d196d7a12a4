//! All files' policies as one, held against what is declared.

use crate::manifest::Ownership;
use crate::manifest::fields::policy::read::{Rename, WrittenLimits, WrittenPolicy, WrittenRollout};
use crate::manifest::fields::policy::{Limits, Moved, Policy, PolicyPath, Rollout, Sensitive};
use crate::manifest::layers::agree::agree;
use crate::manifest::layers::body::LayerView;
use crate::manifest::leaf::{Layer, Origin};
use crate::manifest::text::node::Spanned;
use crate::manifest::text::source::File;
use iothub_model::diagnostic::{Diagnostic, Span};
use iothub_model::twin::TwinPath;

/// What all layers of all files declare, to look paths up in. Each is sorted by path.
pub(crate) struct Declared<'d> {
    pub(crate) layers: Vec<LayerView<'d>>,
    pub(crate) files: Vec<&'d File>,
}

impl Declared<'_> {
    /// Finds a leaf that is at the path, over it or under it.
    fn overlapping(&self, path: &TwinPath) -> Option<(&TwinPath, Origin)> {
        self.layers.iter().find_map(|layer| {
            let next = layer.from(path);
            // What stands under one path stands together right after it, and no leaf stands under another.
            let under = (next < layer.len() && path.covers(layer.path(next))).then_some(next);
            let at = under.or_else(|| next.checked_sub(1).filter(|&last| layer.path(last).covers(path)))?;
            Some((layer.path(at), layer.origin(at)))
        })
    }

    /// Says whether a leaf is at the path or under it.
    fn has_under(&self, path: &TwinPath) -> bool {
        self.layers.iter().any(|layer| {
            let next = layer.from(path);
            next < layer.len() && path.covers(layer.path(next))
        })
    }

    /// Points at the line of a leaf.
    fn point(&self, diagnostic: Diagnostic, origin: &Origin, label: &str) -> Diagnostic {
        match self.files.iter().find(|file| file.name == origin.file) {
            Some(file) => diagnostic.at(&file.source, file.line_span(origin.line), label),
            None => diagnostic,
        }
    }
}

/// A path and the file that names it.
type Placed<'f> = (&'f File, Spanned<TwinPath>);

/// Makes the fleet's policy. Where files are missing (`complete` is false) or leaves are, nothing is said about what is not declared.
pub(crate) fn settle(
    files: Vec<(&File, WrittenPolicy)>,
    ownership: Ownership,
    declared: &Declared<'_>,
    complete: bool,
    found: &mut Vec<Diagnostic>,
) -> Policy {
    let (mut exact, mut sensitive, mut released) = (Vec::new(), Vec::new(), Vec::new());
    let mut moved: Vec<(&File, Rename)> = Vec::new();
    let (mut limits, mut rollout) = (Agreed::default(), AgreedRollout::default());
    for (file, written) in files {
        let place = |path| (file, path);
        exact.extend(written.exact.into_iter().map(place));
        sensitive.extend(written.sensitive.into_iter().map(place));
        released.extend(written.released.into_iter().map(place));
        moved.extend(written.moved.into_iter().map(|rename| (file, rename)));
        limits.add(file, written.limits, found);
        rollout.add(file, written.rollout, found);
    }
    for (list, paths) in [("exact", &mut exact), ("sensitive", &mut sensitive), ("released", &mut released)] {
        without_repetition(list, paths, found);
    }
    check_released(&released, &exact, &moved, ownership, declared, found);
    check_moved(&moved, declared, complete, found);
    if complete && !found.iter().any(Diagnostic::is_error) {
        for (file, path) in exact.iter().filter(|(_, path)| declared.overlapping(&path.value).is_none()) {
            let message = format!("nothing is declared under `{}`", path.value);
            found.push(
                Diagnostic::warning(message)
                    .at(&file.source, path.span, "so that whatever is there is removed from every twin")
                    .help("check its spelling, or declare what should be there"),
            );
        }
        for (file, path) in sensitive.iter().filter(|(_, path)| declared.overlapping(&path.value).is_none()) {
            let message = format!("nothing is declared at `{}` or under it", path.value);
            found.push(
                Diagnostic::warning(message)
                    .at(&file.source, path.span, "and so nothing is kept secret by this")
                    .help("check its spelling: a value that stands elsewhere is printed"),
            );
        }
    }
    let named = |paths: Vec<Placed<'_>>| {
        paths.into_iter().map(|(file, path)| PolicyPath { origin: origin(file, path.span), path: path.value }).collect()
    };
    Policy {
        exact: named(exact),
        sensitive: Sensitive::new(sensitive.into_iter().map(|(_, path)| path.value).collect()),
        limits: limits.finish(),
        moved: moved
            .into_iter()
            .map(|(file, rename)| Moved {
                origin: origin(file, rename.from.span),
                from: rename.from.value,
                to: rename.to.value,
            })
            .collect(),
        released: named(released),
        rollout: rollout.finish(found),
    }
}

/// Names a path, and another that overlaps it, as the subject of a sentence.
fn shown_paths(path: &TwinPath, other: &TwinPath) -> String {
    if path == other {
        format!("`{path}`")
    } else if path.covers(other) {
        format!("`{path}`, in which `{other}` lies,")
    } else {
        format!("`{path}`, which lies in `{other}`,")
    }
}

/// A policy is the whole fleet's, as defaults are.
fn origin(file: &File, span: Span) -> Origin {
    Origin { file: file.name.clone(), line: file.line(span.start), layer: Layer::Defaults }
}

/// Sorts a list, and takes out what another of its paths says already.
fn without_repetition(list: &str, paths: &mut Vec<Placed<'_>>, found: &mut Vec<Diagnostic>) {
    paths.sort_by(|(_, a), (_, b)| a.value.cmp(&b.value));
    let mut kept: Vec<Placed<'_>> = Vec::with_capacity(paths.len());
    for (file, path) in paths.drain(..) {
        match kept.last() {
            Some((other, over)) if over.value.covers(&path.value) => {
                let message = match over.value == path.value {
                    true => format!("`{}` is listed twice under `{list}`", path.value),
                    false => format!("`{}` is listed under `{list}` as part of `{}` already", path.value, over.value),
                };
                found.push(Diagnostic::warning(message).at(&file.source, path.span, "says nothing new").at(
                    &other.source,
                    over.span,
                    "said here",
                ));
            }
            _ => kept.push((file, path)),
        }
    }
    *paths = kept;
}

fn check_released(
    released: &[Placed<'_>],
    exact: &[Placed<'_>],
    moved: &[(&File, Rename)],
    ownership: Ownership,
    declared: &Declared<'_>,
    found: &mut Vec<Diagnostic>,
) {
    for (file, path) in released {
        let error = |message: String| Diagnostic::error(message).at(&file.source, path.span, "released here");
        if let Some((declared_at, origin)) = declared.overlapping(&path.value) {
            let diagnostic =
                error(format!("{} cannot be released and declared", shown_paths(&path.value, declared_at)));
            found.push(
                declared
                    .point(diagnostic, &origin, "declared here")
                    .help("what is declared is owned: take it out of the one or the other"),
            );
        }
        if let Some((other, over)) = exact.iter().find(|(_, exact)| exact.value.overlaps(&path.value)) {
            let paths = shown_paths(&path.value, &over.value);
            found.push(
                error(format!("{paths} cannot be released and exact"))
                    .at(&other.source, over.span, "exact here: whatever is not declared is removed")
                    .help("what is released stays in the twins, and what is exact does not let it"),
            );
        }
        if let Some((other, rename)) = moved.iter().find(|(_, rename)| rename.from.value.overlaps(&path.value)) {
            let paths = shown_paths(&path.value, &rename.from.value);
            found.push(
                error(format!("{paths} cannot be released and moved"))
                    .at(&other.source, rename.from.span, "moved away from here")
                    .help("a rename deletes what it moves: take it out of the one or the other"),
            );
        }
    }
    if let (Ownership::None, Some((file, path))) = (ownership, released.first()) {
        found.push(
            Diagnostic::warning("`released` does nothing with `ownership: none`")
                .at(&file.source, path.span, "")
                .help("without records nothing is owned, and nothing is removed by leaving the manifest"),
        );
    }
}

fn check_moved(moved: &[(&File, Rename)], declared: &Declared<'_>, complete: bool, found: &mut Vec<Diagnostic>) {
    for (index, (file, Rename { from, to })) in moved.iter().enumerate() {
        if let Some((declared_at, origin)) = declared.overlapping(&from.value) {
            let paths = shown_paths(&from.value, declared_at);
            let diagnostic = Diagnostic::error(format!("{paths} cannot be moved away and declared")).at(
                &file.source,
                from.span,
                "moved away from here",
            );
            found.push(
                declared
                    .point(diagnostic, &origin, "declared here")
                    .help(format!("declare `{}` in its place", to.value)),
            );
        }
        if complete && !declared.has_under(&to.value) {
            found.push(
                Diagnostic::warning(format!("nothing is declared at `{}`, to which `{}` moves", to.value, from.value))
                    .at(&file.source, to.span, "so that nothing moves")
                    .help("declare it, or take the rename out once no twin has the old path"),
            );
        }
        let error = |message: String, span: Span, label: &str| Diagnostic::error(message).at(&file.source, span, label);
        for (other, earlier) in &moved[..index] {
            let clash = if earlier.from.value.overlaps(&from.value) {
                let message = format!("{} cannot move to two places", shown_paths(&from.value, &earlier.from.value));
                error(message, from.span, "once more").at(&other.source, earlier.from.span, "first here")
            } else if earlier.to.value.overlaps(&to.value) {
                let message = format!("two paths cannot move to {}", shown_paths(&to.value, &earlier.to.value));
                error(message, to.span, "once more").at(&other.source, earlier.to.span, "first here")
            } else {
                continue;
            };
            found.push(clash);
        }
        for (other, next) in moved.iter().filter(|(_, next)| next.from.value.overlaps(&to.value)) {
            let message = format!("renames do not chain: `{}` moves on", to.value);
            found.push(
                error(message, to.span, "moves here")
                    .at(&other.source, next.from.span, "and on from here")
                    .help(format!("write one rename from `{}` to where it ends", from.value)),
            );
        }
    }
}

type Said<'f, T> = Option<(Spanned<T>, &'f File)>;

#[derive(Default)]
struct Agreed<'f> {
    max_changed: Said<'f, crate::manifest::fields::policy::Amount>,
    max_removed_keys: Said<'f, u64>,
    min_population: Said<'f, u64>,
}

impl<'f> Agreed<'f> {
    fn add(&mut self, file: &'f File, written: WrittenLimits, found: &mut Vec<Diagnostic>) {
        let WrittenLimits { max_changed, max_removed_keys, min_population } = written;
        agree("limits.max_changed", file, max_changed, &mut self.max_changed, found);
        agree("limits.max_removed_keys", file, max_removed_keys, &mut self.max_removed_keys, found);
        agree("limits.min_population", file, min_population, &mut self.min_population, found);
    }

    fn finish(self) -> Limits {
        Limits {
            max_changed: self.max_changed.map(|(amount, _)| amount.value),
            max_removed_keys: self.max_removed_keys.map(|(keys, _)| keys.value),
            min_population: self.min_population.map(|(devices, _)| devices.value),
        }
    }
}

#[derive(Default)]
struct AgreedRollout<'f> {
    waves: Said<'f, Vec<crate::manifest::fields::policy::Amount>>,
    pause: Said<'f, std::time::Duration>,
    max_failed: Said<'f, u64>,
    on_failure: Said<'f, crate::manifest::fields::policy::OnFailure>,
}

impl<'f> AgreedRollout<'f> {
    fn add(&mut self, file: &'f File, written: WrittenRollout, found: &mut Vec<Diagnostic>) {
        let WrittenRollout { waves, pause, max_failed, on_failure } = written;
        agree("rollout.waves", file, waves, &mut self.waves, found);
        agree("rollout.pause", file, pause, &mut self.pause, found);
        agree("rollout.max_failed", file, max_failed, &mut self.max_failed, found);
        agree("rollout.on_failure", file, on_failure, &mut self.on_failure, found);
    }

    fn finish(self, found: &mut Vec<Diagnostic>) -> Rollout {
        let waves = self.waves.map(|(waves, _)| waves.value).unwrap_or_default();
        if let (Some((pause, file)), true) = (&self.pause, waves.len() < 2) {
            found.push(
                Diagnostic::warning("`pause` does nothing without waves")
                    .at(&file.source, pause.span, "")
                    .help("say `waves: [1, 10%, 100%]` beside it"),
            );
        }
        Rollout {
            waves,
            pause: self.pause.map(|(pause, _)| pause.value).unwrap_or_default(),
            max_failed: self.max_failed.map(|(failed, _)| failed.value),
            on_failure: self.on_failure.map(|(what, _)| what.value).unwrap_or_default(),
        }
    }
}
