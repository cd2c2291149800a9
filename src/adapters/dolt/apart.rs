//! A native backup that is made beside a running server, by a process of its own.
//!
//! The server's own backup holds the lock of the database's chunks while it reads them: with 12,000
//! rows and their history a write waited 3 s. Files of a database are immutable but for the journal,
//! which only grows, and the manifest, which names the others. So an image of them is a database as
//! it stood: the manifest is taken first, then what it names, the journal up to where it was.

use std::fs;
use std::io;
use std::path::Path;

use crate::adapters::dolt::DoltError;
use crate::adapters::dolt::Site;
use crate::adapters::dolt::repair;
use crate::adapters::files;

/// The file of a chunk store that is appended to; the others never change.
const JOURNAL: &str = "vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv";
/// The file that names the others of a chunk store.
const MANIFEST: &str = "manifest";
/// The chunk stores of a database. What leaves the first one is in the second one by then.
const STORES: [&str; 2] = ["noms", "noms/oldgen"];
/// Length of a file's name in a manifest.
const NAME_LEN: usize = 32;

/// Brings a database of a running server into a native backup, a file URL. What comes of it is read
/// back by who asked; a database whose history is written again meanwhile may fail.
///
/// # Errors
/// The files cannot be read or copied, or the program says no.
pub fn back_up(site: &Site, database: &Path, url: &str) -> Result<(), DoltError> {
    let work = site.dir.join("backup").join(database.file_name().unwrap_or_default());
    files::remove_all(&work).map_err(DoltError::io(&work))?;
    let (home, image) = (work.join("home"), work.join("image"));
    repair::make_home(&home)?;
    let done = take(&database.join(".dolt"), &image.join(".dolt"))
        .map_err(DoltError::io(database))
        .and_then(|()| repair::run(site, &home, &image, &["backup", "sync-url", url]));
    files::remove_all(&work).map_err(DoltError::io(&work))?;
    let output = done?;
    if output.status.success() {
        return Ok(());
    }
    Err(DoltError::BackUp(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}

/// Takes the image of a database's inner directory.
fn take(from: &Path, to: &Path) -> io::Result<()> {
    files::private_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    for store in STORES {
        let (from, to) = (from.join(store), to.join(store));
        let manifest = match fs::read_to_string(from.join(MANIFEST)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other?,
        };
        files::private_dir(&to)?;
        let names: Vec<&str> = manifest.split(':').filter(|part| part.len() == NAME_LEN).collect();
        for entry in fs::read_dir(&from)? {
            let name = entry?.file_name();
            let Some(text) = name.to_str() else { continue };
            let (from, to) = (from.join(&name), to.join(&name));
            let stem = text.split('.').next().unwrap_or_default();
            if !names.contains(&stem) {
                continue;
            }
            // On another file system there are no links.
            if stem == JOURNAL || fs::hard_link(&from, &to).is_err() {
                fs::copy(&from, &to)?;
            }
        }
        fs::write(to.join(MANIFEST), manifest)?;
    }
    Ok(())
}
