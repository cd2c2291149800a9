//! A real `dolt sql-server` of its own: on a free port, over a directory of its own, with a user
//! and a password. It dies with its owner, by its own handle.

use std::fs;
use std::io::BufRead as _;
use std::io::BufReader;
use std::net::TcpListener;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::ChildStderr;
use std::process::Command;
use std::process::Stdio;
use std::sync::mpsc::Sender;
use std::sync::mpsc::channel;
use std::time::Duration;

use gastown::store::conn::Conn;
use gastown::store::served;
use gastown::store::server::DoltServer;
use gastown::store::server::Server;

/// Longest time that a server may take to open its door.
const START_WAIT: Duration = Duration::from_secs(60);
/// The words of its log that say so.
const READY: &str = "Server ready";
const USER: &str = "gt";
const PASSWORD: &str = "for tests";

/// A running server, or one that was killed and can be started again on the same port and data.
pub(crate) struct Dolt {
    dir: PathBuf,
    port: u16,
    child: Child,
}

impl Drop for Dolt {
    fn drop(&mut self) {
        self.kill9();
    }
}

/// The program that `GT_TEST_DOLT` names.
pub(crate) fn program() -> PathBuf {
    let path =
        std::env::var_os("GT_TEST_DOLT").expect("GT_TEST_DOLT names dolt: tools/dolt/build.sh");
    PathBuf::from(path)
}

/// A port that nobody listened on a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.local_addr().expect("a bound listener has an address").port()
}

/// Where a server of this kind listens.
pub(crate) fn address(port: u16) -> Server {
    Server {
        host: "127.0.0.1".to_owned(),
        port,
        user: USER.to_owned(),
        password: PASSWORD.to_owned(),
        database: String::new(),
        tls: false,
    }
}

impl Dolt {
    /// Starts a server over `dir`, which is made where it is missing, and gives it its user.
    pub(crate) fn start(dir: &Path) -> Self {
        let (dir, port) = (dir.to_owned(), free_port());
        prepare(&dir, port);
        let child = launch(&dir);
        let dolt = Self { dir, port, child };
        if DoltServer::connect(&dolt.address()).is_ok() {
            // An earlier server over the same directory has given it.
            return dolt;
        }
        let root = Server { user: "root".to_owned(), ..dolt.address() };
        let mut admin = DoltServer::connect(&root).expect("root can connect");
        for sql in [
            format!("CREATE USER '{USER}'@'%' IDENTIFIED BY '{PASSWORD}'"),
            format!("GRANT ALL ON *.* TO '{USER}'@'%' WITH GRANT OPTION"),
            "DROP USER 'root'@'localhost'".to_owned(),
        ] {
            admin.execute(&sql, &[]).expect(&sql);
        }
        dolt
    }

    /// Where it listens, whether or not it runs.
    pub(crate) fn address(&self) -> Server {
        address(self.port)
    }

    /// The directory of its databases.
    #[allow(dead_code, reason = "of use to measurements, not to every test")]
    pub(crate) fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// The process.
    #[allow(dead_code, reason = "of use to measurements, not to every test")]
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills it at once, and waits until the kernel has taken it away.
    pub(crate) fn kill9(&mut self) {
        // Only this child; one that is gone already is what is wanted.
        self.child.kill().ok();
        self.child.wait().ok();
    }

    /// Starts it again on the same port and data.
    pub(crate) fn restart(&mut self) {
        self.kill9();
        self.child = launch(&self.dir);
    }
}

fn prepare(dir: &Path, port: u16) {
    let home = dir.join("home/.dolt");
    fs::create_dir_all(&home).expect("the server's home can be made");
    fs::create_dir_all(dir.join("data")).expect("its data directory can be made");
    let quiet = r#"{"versioncheck.disabled":"true","metrics.disabled":"true"}"#;
    fs::write(home.join("config_global.json"), quiet).expect("its home can be written");
    let at = dir.display();
    let config = format!(
        "log_level: info\nbehavior:\n  auto_gc_behavior:\n    enable: false\n\
         listener:\n  host: 127.0.0.1\n  port: {port}\n  max_connections: 200\n\
         data_dir: {at}/data\ncfg_dir: {at}/cfg\nprivilege_file: {at}/privileges.db\n"
    );
    fs::write(dir.join("config.yaml"), config).expect("its settings can be written");
}

fn launch(dir: &Path) -> Child {
    // As before every start: a kill may have struck the making of a database.
    served::sweep(&dir.join("data")).expect("its data directory can be looked at");
    let mut child = Command::new(program())
        .args(["sql-server", "--config"])
        .arg(dir.join("config.yaml"))
        .current_dir(dir)
        .env("DOLT_ROOT_PATH", dir.join("home"))
        .env("DOLT_ROOT_PASSWORD", PASSWORD)
        .env("DOLT_DISABLE_EVENT_FLUSH", "1")
        .env("DOLT_GC_SAFEPOINT_CONTROLLER_CHOICE", "session_aware")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("dolt can be started");
    let words = child.stderr.take().expect("its words come by a pipe");
    let (ready, opened) = channel();
    std::thread::spawn(move || listen(words, &ready));
    let said = opened.recv_timeout(START_WAIT).unwrap_or_else(|_| "nothing".to_owned());
    if !said.contains(READY) {
        child.kill().ok();
        child.wait().ok();
        panic!("dolt in {} did not open its door; it said: {said}", dir.display());
    }
    child
}

/// Tells when the door is open, or what was said until the end; reads on, so that the pipe never
/// fills.
fn listen(words: ChildStderr, ready: &Sender<String>) {
    let mut said = String::new();
    for line in BufReader::new(words).lines().map_while(Result::ok) {
        if line.contains(READY) {
            ready.send(line).ok();
            said.clear();
        } else if said.len() < 4_000 {
            said.push_str(&line);
            said.push('\n');
        }
    }
    ready.send(said).ok();
}
