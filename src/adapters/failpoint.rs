//! Named points at which a build with the `failpoints` feature kills its own process.
//!
//! With `GT_FAILPOINTS=DIR` the process dies the first time that any process reaches a point: the
//! point's marker in DIR says that it was reached, and what it holds says who died there. Points
//! and names come from the op and effect enums, so that a new op is covered by being one.

use crate::model::ops::Op;

/// Dies here if no process has reached this point before.
#[cfg(feature = "failpoints")]
pub fn hit(side: &str, kind: &str, name: &str) {
    use std::fs::OpenOptions;
    use std::io::Write;

    let Some(dir) = directory() else { return };
    let marker = dir.join(format!("{side}.{kind}.{name}"));
    let Ok(mut first) = OpenOptions::new().write(true).create_new(true).open(marker) else {
        return;
    };
    let words: Vec<String> = std::env::args().collect();
    let own = rustix::process::getpid();
    let told = first.write_all(words.join(" ").as_bytes());
    let killed = rustix::process::kill_process(own, rustix::process::Signal::KILL);
    // Only reached when one of the two did not work.
    tracing::error!(?told, ?killed, "a failpoint could not end this process");
    std::process::abort();
}

#[cfg(feature = "failpoints")]
fn directory() -> Option<&'static std::path::PathBuf> {
    use std::path::PathBuf;
    use std::sync::OnceLock;

    static DIRECTORY: OnceLock<Option<PathBuf>> = OnceLock::new();
    DIRECTORY.get_or_init(|| std::env::var_os("GT_FAILPOINTS").map(PathBuf::from)).as_ref()
}

/// Nothing, without the feature.
#[cfg(not(feature = "failpoints"))]
pub fn hit(_side: &str, _kind: &str, _name: &str) {}

/// Does `commit` between the points before and after each of `ops`.
pub fn round<'a, T>(ops: impl Iterator<Item = &'a Op> + Clone, commit: impl FnOnce() -> T) -> T {
    ops.clone().for_each(|op| hit("before", "op", op.name()));
    let result = commit();
    ops.for_each(|op| hit("after", "op", op.name()));
    result
}
