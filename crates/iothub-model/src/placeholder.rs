//! What a pipeline or a shell was to replace, and did not: `$(NAME)`, `${{ … }}`, `%NAME%`.
//!
//! Azure Pipelines leaves a macro as it is when there is no variable of the name, so that a value arrives that is none.

use std::fmt;

/// A placeholder in a value, and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placeholder<'t> {
    text: &'t str,
    syntax: Syntax,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Syntax {
    /// `$(NAME)`
    Macro,
    /// `$[ … ]`
    Runtime,
    /// `${{ … }}`
    Expression,
    /// `%NAME%`
    Percent,
    /// `$NAME`, `${NAME}`
    Shell,
}

impl<'t> Placeholder<'t> {
    /// Finds the placeholder that a value is, or that a value of one word has in it as `$(NAME)` or `${{ … }}`.
    pub fn of_value(value: &'t str) -> Option<Self> {
        let value = value.trim();
        let found = Self::first_in(value)?;
        let is_word = !value.contains(char::is_whitespace) && found.syntax == Syntax::Macro;
        (found.text == value || is_word || found.syntax == Syntax::Expression).then_some(found)
    }

    /// Finds the first placeholder in a text that can have no `$` or `%` of its own, as a connection string.
    pub fn first_in(text: &'t str) -> Option<Self> {
        let starts = text.char_indices().filter(|(_, c)| matches!(c, '$' | '%'));
        starts.into_iter().find_map(|(start, _)| at_start(&text[start..]))
    }

    /// Returns it as it is written.
    pub fn text(self) -> &'t str {
        self.text
    }

    /// Says what to do.
    pub fn advice(self) -> String {
        let name = self.text.trim_matches(|c: char| "$(){}[]% ".contains(c));
        match self.syntax {
            Syntax::Macro => format!(
                "Azure Pipelines leaves `{}` as it is when the job has no variable `{name}`: set it, or link its variable group, and map a \
                 secret into the step under `env:`",
                self.text
            ),
            Syntax::Runtime => "Azure Pipelines replaces `$[ … ]` in `variables` and conditions alone: write `$(NAME)` in a step".to_owned(),
            Syntax::Expression => {
                "`${{ … }}` is replaced in workflow files alone: give the value to the step under `env:`, and write `${env.NAME}` in a manifest"
                    .to_owned()
            }
            Syntax::Percent => "cmd.exe leaves `%NAME%` as it is when the variable is not set, and no other shell replaces it: write \
                                `$NAME` there, and set the variable"
                .to_owned(),
            Syntax::Shell => {
                "a shell replaces it outside of single quotes alone; no file of a pipeline does, but in a script".to_owned()
            }
        }
    }
}

/// `` `$(NAME)`, which Azure Pipelines did not replace ``
impl fmt::Display for Placeholder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = match self.syntax {
            Syntax::Macro | Syntax::Runtime => "Azure Pipelines",
            Syntax::Expression => "the pipeline",
            Syntax::Percent | Syntax::Shell => "the shell",
        };
        write!(f, "`{}`, which {who} did not replace", self.text)
    }
}

fn at_start(text: &str) -> Option<Placeholder<'_>> {
    let between = |open: &str, close: &str, is_name: fn(&str) -> bool| {
        let inner = text.strip_prefix(open)?;
        let end = inner.find(close)?;
        let name = &inner[..end];
        is_name(name).then(|| &text[..open.len() + end + close.len()])
    };
    let found = |text, syntax| Placeholder { text, syntax };
    if let Some(text) = between("${{", "}}", |_| true) {
        return Some(found(text, Syntax::Expression));
    }
    if let Some(text) = between("$(", ")", is_name) {
        return Some(found(text, Syntax::Macro));
    }
    if let Some(text) = between("$[", "]", |_| true) {
        return Some(found(text, Syntax::Runtime));
    }
    if let Some(text) = between("${", "}", is_shell_name) {
        return Some(found(text, Syntax::Shell));
    }
    if let Some(text) = between("%", "%", is_shell_name) {
        return Some(found(text, Syntax::Percent));
    }
    let name = text.strip_prefix('$')?;
    let end = name.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(name.len());
    is_shell_name(&name[..end]).then(|| found(&text[..=end], Syntax::Shell))
}

/// Names of Azure's variables have points, too.
fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
}

fn is_shell_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_were_not_replaced() {
        for (value, found) in [
            ("$(HUB)", Some("$(HUB)")),
            (" $(Build.SourceBranchName) ", Some("$(Build.SourceBranchName)")),
            ("$(HUB).azure-devices.net", Some("$(HUB)")),
            ("${{ secrets.HUB }}", Some("${{ secrets.HUB }}")),
            ("a ${{ secrets.HUB }} b", Some("${{ secrets.HUB }}")),
            ("$[variables.x]", Some("$[variables.x]")),
            ("%HUB%", Some("%HUB%")),
            ("$HUB", Some("$HUB")),
            ("${HUB}", Some("${HUB}")),
            ("echo $(date) now", None),
            ("$(date +%s)", None),
            ("costs $5", None),
            ("$5", None),
            ("100%", None),
            ("5% of 10%", None),
            ("say $HOME", None),
            ("", None),
            ("$", None),
            ("é$(X", None),
        ] {
            assert_eq!(Placeholder::of_value(value).map(Placeholder::text), found, "{value}");
        }
        let found = Placeholder::first_in("HostName=$(HUB);SharedAccessKeyName=x").map(Placeholder::text);
        assert_eq!(found, Some("$(HUB)"));
        assert_eq!(Placeholder::first_in("HostName=h;SharedAccessKey=AA/+=="), None);
    }
}
