//! What a person sees: lines, and on a terminal a status line that is drawn over.

use crate::cli::render;
use crate::config::env;
use crate::messages::door::DoorError;

/// Back to the start of the line, and nothing on it.
const CLEAR: &str = "\r\x1b[K";

/// The demo's output.
pub(super) struct Screen {
    terminal: bool,
    status: String,
}

impl Screen {
    /// A screen for this process's standard output.
    pub(super) fn open() -> Self {
        Self { terminal: env::is_terminal(), status: String::new() }
    }

    /// A line that stays.
    pub(super) fn line(&mut self, text: &str) {
        self.put(text);
    }

    /// A line of progress.
    pub(super) fn note(&mut self, text: &str) {
        self.put(&format!("   {text}"));
    }

    /// How far it is; only on a terminal.
    pub(super) fn progress(&mut self, text: &str) {
        if self.terminal && self.status != text {
            text.clone_into(&mut self.status);
            report(render::raw(&format!("{CLEAR}[{text}]")));
        }
    }

    fn put(&mut self, text: &str) {
        let clear = if self.terminal { CLEAR } else { "" };
        report(render::line(&format!("{clear}{text}")));
        if self.terminal && !self.status.is_empty() {
            report(render::raw(&format!("[{}]", self.status)));
        }
    }

    /// The status line goes.
    pub(super) fn close(&mut self) {
        if self.terminal && !self.status.is_empty() {
            self.status.clear();
            report(render::raw(CLEAR));
        }
    }
}

/// A screen that cannot be written to does not stop the town.
fn report(printed: Result<u8, DoorError>) {
    if let Err(error) = printed {
        tracing::warn!(%error, "cannot print");
    }
}
