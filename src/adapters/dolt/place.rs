//! A server's own files: its configuration, its secret, and a home that is not the person's.

use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use crate::adapters::dolt::DoltError;
use crate::adapters::dolt::Site;
use crate::adapters::files;
use crate::adapters::token;

/// Switches off what would call home.
const QUIET: &str = "{\"metrics.disabled\":\"true\",\"versioncheck.disabled\":\"true\"}\n";
/// Most connections at once.
const CONNECTIONS_MAX: u32 = 200;

/// Makes the directories and writes the configuration.
pub(super) fn prepare(site: &Site) -> Result<(), DoltError> {
    let home = site.home();
    for dir in [&site.dir, &site.dir.join("cfg"), &home.join(".dolt"), &site.data] {
        files::private_dir(dir).map_err(DoltError::io(dir))?;
    }
    // The program writes it in its own way from then on.
    let global = home.join(".dolt").join("config_global.json");
    if !global.exists() {
        write(&global, QUIET)?;
    }
    write(&site.config_path(), &config(site))
}

/// Writes a file unless it says so already.
fn write(path: &Path, text: &str) -> Result<(), DoltError> {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    files::write_atomic(path, text.as_bytes(), 0o600).map_err(DoltError::io(path))
}

/// A text as YAML takes it: JSON is YAML, and `$` begins a variable.
fn quoted(path: &Path) -> String {
    serde_json::Value::from(path.display().to_string().replace('$', "$$")).to_string()
}

fn config(site: &Site) -> String {
    let cfg = site.dir.join("cfg");
    format!(
        "# Written by gt at every start of the server; change settings with 'gt config set store....'\n\
         log_level: warning\n\
         behavior:\n  auto_gc_behavior:\n    enable: false\n\
         listener:\n  host: 127.0.0.1\n  port: {port}\n  max_connections: {CONNECTIONS_MAX}\n\
         data_dir: {data}\n\
         cfg_dir: {cfg}\n\
         privilege_file: {privileges}\n\
         branch_control_file: {branches}\n\
         system_variables:\n  datadir: {data}\n  secure_file_priv: {nowhere}\n",
        port = site.port,
        data = quoted(&site.data),
        cfg = quoted(&cfg),
        privileges = quoted(&cfg.join("privileges.db")),
        branches = quoted(&cfg.join("branch_control.db")),
        nowhere = quoted(&site.dir.join("nowhere")),
    )
}

impl Site {
    pub(super) fn config_path(&self) -> PathBuf {
        self.dir.join("config.yaml")
    }

    /// Where Dolt finds its global configuration instead of in the person's home.
    fn home(&self) -> PathBuf {
        self.dir.join("root")
    }

    fn secret_path(&self) -> PathBuf {
        self.dir.join("secret")
    }

    fn user_path(&self) -> PathBuf {
        self.dir.join("user-made")
    }

    /// What every run of the program is told.
    #[must_use]
    pub fn own_env(&self) -> [(&'static str, std::ffi::OsString); 4] {
        [
            ("DOLT_ROOT_PATH", self.home().into_os_string()),
            ("HOME", self.home().into_os_string()),
            ("DOLT_DISABLE_EVENT_FLUSH", "1".into()),
            // Without it a garbage collection cuts every connection of the whole server.
            ("DOLT_GC_SAFEPOINT_CONTROLLER_CHOICE", "session_aware".into()),
        ]
    }

    /// The password of the server's users; made at the first start.
    ///
    /// # Errors
    /// It cannot be read or written.
    pub fn secret(&self) -> Result<String, DoltError> {
        if let Some(secret) = self.known_secret()? {
            return Ok(secret);
        }
        let path = self.secret_path();
        let fresh = token::random_secret().map_err(DoltError::io("/dev/urandom"))?;
        files::private_dir(&self.dir).map_err(DoltError::io(&self.dir))?;
        let own = self.dir.join(format!("secret.{}", std::process::id()));
        files::write_atomic(&own, fresh.as_bytes(), 0o600).map_err(DoltError::io(&own))?;
        // A link fails where a rename would replace: of two makers the first one's secret stays.
        let linked = fs::hard_link(&own, &path);
        fs::remove_file(&own).map_err(DoltError::io(&own))?;
        match linked {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(DoltError::io(&path)(error));
            }
            _ => {}
        }
        self.known_secret()?.ok_or_else(|| {
            DoltError::io(&path)(io::Error::new(io::ErrorKind::NotFound, "it was taken away"))
        })
    }

    /// The password, if there is one yet.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn known_secret(&self) -> Result<Option<String>, DoltError> {
        let path = self.secret_path();
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text.trim().to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(DoltError::io(&path)(error)),
        }
    }

    /// Whether the server's own user was made and its first one removed.
    #[must_use]
    pub fn has_user(&self) -> bool {
        self.user_path().is_file()
    }

    /// Writes down that it was.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn user_made(&self) -> Result<(), DoltError> {
        let path = self.user_path();
        files::write_atomic(&path, b"", 0o600).map_err(DoltError::io(&path))
    }
}
