//! The reference page of the manifest, made from the fields.

use std::fmt::Write;

use crate::manifest::fields::{About, FIELDS, Shape};

/// Returns the tables of fields as Markdown: a heading and a table for each.
fn reference() -> String {
    let mut text = String::new();
    let mut of = "";
    for about in FIELDS {
        if about.of != of {
            of = about.of;
            write!(
                text,
                "\n## {}\n\n| field | type | without it | meaning | example |\n|---|---|---|---|---|\n",
                title(of)
            )
            .expect("a string takes all that is written to it");
        }
        text.push_str(&row(about));
    }
    text
}

fn title(of: &str) -> String {
    let mut chars = of.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

fn row(about: &About) -> String {
    let default = if about.default.is_empty() { "must be there" } else { about.default };
    // A bar would end the cell.
    let example = about.example.replace('|', "\\|");
    format!(
        "| `{}` | {} | {default} | {} | `{example}` |\n",
        about.name,
        kind(&about.shape),
        about.text.replace('|', "\\|")
    )
}

fn kind(shape: &Shape) -> String {
    match shape {
        Shape::Text(_) => "text".to_owned(),
        Shape::Words(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
        Shape::Boolean => "`true`, `false`".to_owned(),
        Shape::Count => "whole number".to_owned(),
        Shape::Amount => "number of twins, or a share as in `10%`".to_owned(),
        Shape::Time => "duration, as in `1m30s`".to_owned(),
        Shape::Path => "path".to_owned(),
        Shape::Section => "mapping of keys to values".to_owned(),
        Shape::Variables => "mapping of names to values".to_owned(),
        Shape::Expectation => "expectation".to_owned(),
        Shape::Table(table) => format!("mapping: {}", table.trim_matches('`')),
        Shape::Named(table) => format!("mapping of names, each {}", table.trim_matches('`')),
        Shape::List(item) => match item {
            Shape::Table(table) => format!("list, each {}", table.trim_matches('`')),
            item => format!("list, each a {}", kind(item)),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::manifest::fields::schema;

    #[test]
    fn every_field_that_is_read_is_described() {
        let read: BTreeSet<_> = schema::all_fields()
            .into_iter()
            .flat_map(|(of, names)| names.into_iter().map(move |name| (of, name)))
            .collect();
        let described: BTreeSet<_> = FIELDS.iter().map(|about| (about.of, about.name)).collect();
        assert_eq!(read, described);
        assert_eq!(described.len(), FIELDS.len(), "a field is described twice");
    }

    #[test]
    fn examples_are_yaml_of_their_field() {
        for about in FIELDS {
            let read: serde_yaml::Value = serde_yaml::from_str(about.example).expect(about.example);
            assert!(read.get(about.name).is_some(), "{}", about.example);
        }
    }

    #[test]
    fn the_reference_page_has_the_fields() {
        let page = include_str!("../../../docs/manifest.md");
        let (_, rest) = page.split_once("<!-- made from the fields in code: begin -->\n").expect("a mark");
        let (tables, _) = rest.split_once("<!-- made from the fields in code: end -->").expect("a mark");
        assert_eq!(tables.trim(), reference().trim(), "docs/manifest.md: put in what `manifest::reference` gives");
    }
}
