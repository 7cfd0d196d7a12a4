//! The palette, by meaning. Colour only ever repeats what signs and words say already.

use std::fmt;

use anstyle::{AnsiColor, Style};

/// Paints text by what it means, or leaves it plain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Palette {
    coloured: bool,
}

/// A text with its style; pads as the text itself does.
#[derive(Clone, Copy, Debug)]
pub struct Painted<T> {
    style: Style,
    text: T,
}

impl<T: fmt::Display> fmt::Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.style == Style::new() {
            return self.text.fmt(f);
        }
        write!(f, "{}", self.style.render())?;
        self.text.fmt(f)?;
        write!(f, "{}", self.style.render_reset())
    }
}

macro_rules! meanings {
    ($($(#[$doc:meta])* $name:ident => $style:expr;)*) => {
        impl Palette {
            $(
                $(#[$doc])*
                pub fn $name<T: fmt::Display>(self, text: T) -> Painted<T> {
                    Painted { style: if self.coloured { $style } else { Style::new() }, text }
                }
            )*
        }
    };
}

const fn colour(colour: AnsiColor) -> Style {
    Style::new().fg_color(Some(anstyle::Color::Ansi(colour)))
}

meanings! {
    /// What comes to be.
    added => colour(AnsiColor::Green);
    /// What goes.
    removed => colour(AnsiColor::Red);
    /// What becomes something else.
    changed => colour(AnsiColor::Yellow);
    /// What differs inside a value that comes to be.
    added_part => colour(AnsiColor::Green).bold().underline();
    /// What differs inside a value that goes.
    removed_part => colour(AnsiColor::Red).bold().underline();
    /// What somebody else did.
    drift => colour(AnsiColor::Magenta);
    /// A path in a twin.
    path => Style::new().bold();
    /// A twin, or how many.
    twin => colour(AnsiColor::Cyan);
    /// A place in a file.
    origin => Style::new().dimmed();
    /// What is said by the way.
    aside => Style::new().dimmed();
    /// The title of a block.
    title => Style::new().bold();
    /// What is as it should be.
    good => colour(AnsiColor::Green).bold();
    /// What went wrong.
    error => colour(AnsiColor::Red).bold();
    /// What may be wrong.
    warning => colour(AnsiColor::Yellow).bold();
    /// What to do.
    hint => colour(AnsiColor::Cyan).bold();
}

impl Palette {
    /// Writes no escape sequence at all.
    pub const PLAIN: Self = Self { coloured: false };

    /// Paints, or not.
    pub fn new(coloured: bool) -> Self {
        Self { coloured }
    }

    /// Says whether it paints.
    pub fn is_coloured(self) -> bool {
        self.coloured
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paint_is_outside_the_padding_and_absent_when_plain() {
        assert_eq!(format!("[{:<4}]", Palette::PLAIN.error("no")), "[no  ]");
        assert_eq!(format!("[{:<4}]", Palette::new(true).path("no")), "[\u{1b}[1mno  \u{1b}[0m]");
    }
}
