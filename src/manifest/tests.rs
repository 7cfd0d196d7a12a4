//! Manifests in `tests/data/manifest`, each beside what is said about it; and laws of the folder as a whole.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::*;
use crate::check::Expectation;
use crate::diagnostic::Severity;

fn data(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/manifest").join(folder)
}

/// The environment that all of these manifests see.
fn environment(name: &str) -> Option<String> {
    match name {
        "PLANT" => Some("Redmond43".to_owned()),
        "INTERVAL" => Some("600".to_owned()),
        "RATIO" => Some("0.5".to_owned()),
        "FLAG" => Some("true".to_owned()),
        "LIST" => Some("[1, {\"a\": null}]".to_owned()),
        "EMPTY" => Some(String::new()),
        "HUGE" => Some("9007199254740993".to_owned()),
        "LONG" => Some("s3cret".repeat(1000)),
        "SECRET" => Some("s3cret value".to_owned()),
        "CONNECTION" => Some("HostName=x.azure-devices.net;SharedAccessKeyName=a;SharedAccessKey=s3cret".to_owned()),
        _ => None,
    }
}

fn load_path(path: &Path) -> Result<Loaded, Vec<Diagnostic>> {
    load(&LoadOptions { paths: vec![path.to_owned()], environment: Arc::new(environment) })
}

/// Writes diagnostics plainly: place, message, the line, a caret, what else belongs to it.
fn plain(diagnostics: &[Diagnostic]) -> String {
    let mut text = String::new();
    for diagnostic in diagnostics {
        let severity = match diagnostic.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        for (index, label) in diagnostic.labels.iter().enumerate() {
            let position = label.source.position(label.span.start);
            let place = format!("{}:{}:{}", label.source.name(), position.line, position.column);
            match index {
                0 => writeln!(text, "{place}: {severity}: {}", diagnostic.message).expect("written"),
                _ => writeln!(text, "  {place}:").expect("written"),
            }
            let source = label.source.text();
            assert!(source.is_char_boundary(label.span.start) && source.is_char_boundary(label.span.end));
            let line = source.lines().nth(position.line - 1).unwrap_or_default();
            let line: String = line.chars().take(110).map(|c| if c.is_control() { '·' } else { c }).collect();
            let under = source[label.span.start..label.span.end].lines().next().unwrap_or_default().chars().count();
            let carets = "^".repeat(under.clamp(1, 112_usize.saturating_sub(position.column).max(1)));
            let margin = " ".repeat((position.column - 1).min(112));
            writeln!(text, "    {line}\n    {}", format!("{margin}{carets} {}", label.text).trim_end())
                .expect("written");
        }
        if diagnostic.labels.is_empty() {
            writeln!(text, "{severity}: {}", diagnostic.message).expect("written");
        }
        for help in &diagnostic.help {
            writeln!(text, "  help: {help}").expect("written");
        }
    }
    text
}

/// Writes what a fleet comes to; devices of one body together.
fn resolved(loaded: &Loaded) -> String {
    let declarations = &loaded.declarations;
    let mut text = String::new();
    let mut line = |line: String| match line.char_indices().nth(200) {
        Some((end, _)) if !line.contains('\n') => text.push_str(&(line[..end].to_owned() + "…\n")),
        _ => text.push_str(&(line + "\n")),
    };
    line(format!("fleet {}", declarations.fleet));
    if let Some(hub) = &declarations.hub {
        line(format!("hub {hub}"));
    }
    line(format!("missing {:?}, ownership {:?}", declarations.missing, declarations.ownership));
    let mut bodies: Vec<(&Arc<Body>, Vec<String>)> = Vec::new();
    for (id, declaration) in &declarations.twins {
        let name = format!("{id} ({})", declaration.origin);
        match bodies.iter_mut().find(|(body, _)| Arc::ptr_eq(body, &declaration.body)) {
            Some((_, ids)) => ids.push(name),
            None => bodies.push((&declaration.body, vec![name])),
        }
    }
    for (body, ids) in bodies {
        match ids.as_slice() {
            [first, .., last] if ids.len() > 4 => line(format!("\n{first} … {last}: {} devices", ids.len())),
            _ => line(format!("\n{}", ids.join(", "))),
        }
        for leaf in &body.leaves {
            let value = leaf.value.as_ref().map_or_else(|| "absent".to_owned(), ToString::to_string);
            line(format!("  {} = {value}  [{:?}]", leaf.path, leaf.origin));
        }
    }
    for check in &declarations.checks {
        line(format!("\ncheck {} ({:?}, within {:?})", check.name, check.severity, check.within));
        line(format!("  {}", check.query.text()));
        line(match &check.expect {
            Expectation::Share { bound, of } => format!("  Share {bound:?} of {}", of.text()),
            expectation => format!("  {expectation:?}"),
        });
    }
    if !loaded.warnings.is_empty() {
        line(format!("\n{}", plain(&loaded.warnings)));
    }
    text
}

/// Compares with the snapshot beside each manifest of a folder.
fn each(folder: &str, say: impl Fn(&Path) -> String) -> usize {
    let mut entries: Vec<_> = std::fs::read_dir(data(folder))
        .expect("a folder of manifests")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.is_dir() || path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    entries.sort();
    let mut settings = insta::Settings::new();
    settings.set_snapshot_path(data(folder));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for path in &entries {
            let name = path.file_stem().expect("a name").to_string_lossy();
            insta::assert_snapshot!(&*name, say(path));
        }
    });
    entries.len()
}

#[test]
fn bad_manifests_are_explained() {
    let count = each("bad", |path| {
        let Err(found) = load_path(path) else { panic!("{} is good", path.display()) };
        assert!(found.iter().any(Diagnostic::is_error), "{}", path.display());
        let text = plain(&found);
        assert!(!text.contains("s3cret"), "{text}");
        assert!(!text.contains(env!("CARGO_MANIFEST_DIR")), "{text}");
        text
    });
    assert!(count >= 60, "{count} bad manifests");
}

#[test]
fn good_manifests_are_resolved() {
    let count = each("good", |path| {
        let loaded = load_path(path).unwrap_or_else(|found| panic!("{}", plain(&found)));
        resolved(&loaded)
    });
    assert!(count >= 1, "{count} good manifests");
}
