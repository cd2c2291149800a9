//! Named points at which a build with the `failpoints` feature kills its own process.
//!
//! With `GT_FAILPOINTS=DIR` the process dies the first time that it reaches each point: the
//! point's marker in DIR says that it was reached. Points and names come from the op and effect
//! enums, so that a new op is covered by being one.

/// Dies here if this point has not been reached before.
#[cfg(feature = "failpoints")]
pub(super) fn hit(side: &str, kind: &str, name: &str) {
    use std::fs::OpenOptions;

    let Some(dir) = directory() else { return };
    let marker = dir.join(format!("{side}.{kind}.{name}"));
    let first = OpenOptions::new().write(true).create_new(true).open(marker);
    if first.is_ok() {
        let own = rustix::process::getpid();
        if rustix::process::kill_process(own, rustix::process::Signal::KILL).is_err() {
            std::process::abort();
        }
    }
}

#[cfg(feature = "failpoints")]
fn directory() -> Option<&'static std::path::PathBuf> {
    use std::sync::OnceLock;

    static DIRECTORY: OnceLock<Option<std::path::PathBuf>> = OnceLock::new();
    DIRECTORY.get_or_init(crate::adapters::failpoint_dir).as_ref()
}

/// Nothing, without the feature.
#[cfg(not(feature = "failpoints"))]
pub fn hit(_side: &str, _kind: &str, _name: &str) {}
