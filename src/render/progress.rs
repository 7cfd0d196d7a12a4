//! How far it is: a bar on a terminal, a plain line now and then anywhere else.

use std::io::Write;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::escape;
use super::number::grouped;
use super::style::Palette;
use iothub_model::duration;

/// How long a plain log stays silent.
const QUIET: Duration = Duration::from_secs(5);

/// Shows how far something is that takes long, until it is dropped.
pub struct Progress {
    counted: &'static str,
    done: usize,
    total: Option<usize>,
    note: String,
    kind: ProgressKind,
}

enum ProgressKind {
    Bar(ProgressBar),
    Lines { begun: Instant, last: Instant, log: Box<dyn Write + Send> },
}

/// Lets the bar move while nothing is counted. The bar's own thread would have the stack that `RUST_MIN_STACK` says.
fn tick(bar: &ProgressBar) {
    const STACK: usize = 1 << 20;
    let bar = bar.downgrade();
    let ticking = move || {
        while let Some(bar) = bar.upgrade().filter(|bar| !bar.is_finished()) {
            bar.tick();
            drop(bar);
            std::thread::sleep(Duration::from_millis(120));
        }
    };
    // Without the thread the bar still moves with the count.
    _ = std::thread::Builder::new().name("progress".to_owned()).stack_size(STACK).spawn(ticking);
}

impl Progress {
    /// Starts to show a count (`twins read`): on stderr when it is a terminal, else as lines in `log`.
    pub fn start(
        counted: &'static str,
        total: Option<usize>,
        on_terminal: bool,
        palette: Palette,
        log: Box<dyn Write + Send>,
    ) -> Self {
        let kind = if on_terminal {
            let target = ProgressDrawTarget::stderr_with_hz(10);
            let bar = ProgressBar::with_draw_target(total.map(|total| total as u64), target);
            bar.set_style(bar_style(total.is_some(), palette));
            bar.set_message(counted);
            tick(&bar);
            ProgressKind::Bar(bar)
        } else {
            let now = Instant::now();
            ProgressKind::Lines { begun: now, last: now, log }
        };
        Self { counted, done: 0, total, note: String::new(), kind }
    }

    /// Returns the bar, for those who write on the same terminal.
    pub fn bar(&self) -> Option<&ProgressBar> {
        match &self.kind {
            ProgressKind::Bar(bar) => Some(bar),
            ProgressKind::Lines { .. } => None,
        }
    }

    /// Says that so many are done in all.
    pub fn done(&mut self, done: usize) {
        self.done = done;
        match &mut self.kind {
            ProgressKind::Bar(bar) => bar.set_position(done as u64),
            ProgressKind::Lines { .. } => self.line_if_due(),
        }
    }

    /// Adds one to what is done.
    pub fn step(&mut self) {
        self.done(self.done + 1);
    }

    /// Says something beside the count, such as what is waited for.
    pub fn note(&mut self, note: &str) {
        self.note = escape::line(note).into_owned();
        match &self.kind {
            ProgressKind::Bar(bar) => bar.set_message(format!("{}  {}", self.counted, self.note)),
            ProgressKind::Lines { .. } => self.line_if_due(),
        }
    }

    fn line_if_due(&mut self) {
        let ProgressKind::Lines { begun, last, log } = &mut self.kind else { return };
        let now = Instant::now();
        if now.duration_since(*last) >= QUIET {
            *last = now;
            let line = line(self.counted, self.done, self.total, &self.note, now.duration_since(*begun));
            // Progress that cannot be shown is no reason to stop.
            _ = writeln!(log, "{line}");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let ProgressKind::Bar(bar) = &self.kind {
            bar.finish_and_clear();
        }
    }
}

fn bar_style(bounded: bool, palette: Palette) -> ProgressStyle {
    let template = match (bounded, palette.is_coloured()) {
        (true, true) => "{bar:24.cyan/dim} {human_pos}/{human_len} {wide_msg} {eta:.dim}",
        (true, false) => "{bar:24} {human_pos}/{human_len} {wide_msg} {eta}",
        (false, true) => "{spinner:.cyan} {human_pos} {wide_msg} {elapsed:.dim}",
        (false, false) => "{spinner} {human_pos} {wide_msg} {elapsed}",
    };
    ProgressStyle::with_template(template).expect("the templates above are well-formed").progress_chars("━╸─")
}

/// `twins read: 12,000 of 100,000 after 15 s`
fn line(counted: &str, done: usize, total: Option<usize>, note: &str, after: Duration) -> String {
    let of = total.map(|total| format!(" of {}", grouped(total))).unwrap_or_default();
    let note = if note.is_empty() { String::new() } else { format!(" ({note})") };
    format!("{counted}: {}{of} after {}{note}", grouped(done), duration::rounded(after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_lines() {
        assert_eq!(
            line("twins read", 12_000, Some(100_000), "", Duration::from_secs(15)),
            "twins read: 12,000 of 100,000 after 15 s"
        );
        assert_eq!(
            line("twins written", 7, None, "the hub asks for patience", Duration::from_secs(75)),
            "twins written: 7 after 1 min 15 s (the hub asks for patience)"
        );
    }

    #[test]
    fn what_is_over_soon_says_nothing() {
        let (mut read, write) = std::io::pipe().expect("a pipe");
        let mut progress = Progress::start("twins read", Some(3), false, Palette::PLAIN, Box::new(write));
        for _ in 0..3 {
            progress.step();
        }
        drop(progress);
        assert_eq!(std::io::read_to_string(&mut read).expect("what was written"), "");
    }

    #[test]
    fn bars_have_templates() {
        for bounded in [true, false] {
            for coloured in [true, false] {
                _ = bar_style(bounded, Palette::new(coloured));
            }
        }
    }
}
