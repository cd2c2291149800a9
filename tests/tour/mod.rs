//! The README's tour, run word for word in an empty directory.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;
use std::sync::mpsc;
use std::time::Duration;

use crate::support::processes;

/// Longest time for the whole tour.
const WITHIN: Duration = Duration::from_secs(180);

/// The one block of the tour.
fn tour() -> String {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = fs::read_to_string(readme).unwrap();
    let mut blocks = text.split("\n```sh\n").skip(1);
    let block = blocks.next().expect("the README has a block of shell");
    assert!(blocks.next().is_none(), "the tour is the README's one block of shell");
    block.split("\n```").next().unwrap().to_owned()
}

/// Takes the town down if the tour did not come to that.
struct Place {
    dir: PathBuf,
    _temp: tempfile::TempDir,
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.dir.join("tour/town/mayor/town.json").exists() {
            let down = Command::new(env!("CARGO_BIN_EXE_gt"))
                .arg("down")
                .current_dir(self.dir.join("tour/town"))
                .output();
            println!("{down:?}");
        }
    }
}

#[test]
fn the_readmes_tour_works_as_it_is_written() {
    let temp = tempfile::tempdir().unwrap();
    let place = Place { dir: fs::canonicalize(temp.path()).unwrap(), _temp: temp };
    let (home, dir) = (place.dir.join("home"), place.dir.join("tour"));
    fs::create_dir(&home).unwrap();
    fs::create_dir(&dir).unwrap();
    let bin = Path::new(env!("CARGO_BIN_EXE_gt")).parent().unwrap();
    assert_eq!(Path::new(env!("CARGO_BIN_EXE_bd")).parent().unwrap(), bin);
    let path = std::env::var("PATH").unwrap();
    let (mut reader, writer) = std::io::pipe().unwrap();
    let mut child = Command::new("sh")
        .args(["-eu", "-c", &tour()])
        .current_dir(&dir)
        .env_clear()
        .env("HOME", &home)
        .env("PATH", format!("{}:{path}", bin.display()))
        .stdin(Stdio::null())
        .stdout(writer.try_clone().unwrap())
        .stderr(writer)
        .spawn()
        .unwrap();
    let (send, ended) = mpsc::channel();
    std::thread::spawn(move || {
        let mut text = String::new();
        let read = reader.read_to_string(&mut text);
        send.send((text, read))
    });
    let Ok((text, read)) = ended.recv_timeout(WITHIN) else {
        child.kill().unwrap();
        panic!("the tour is not over after {} s", WITHIN.as_secs());
    };
    read.unwrap();
    let status = child.wait().unwrap();
    println!("{text}");
    assert!(status.success(), "{status}");

    let log = Command::new("git")
        .args(["log", "--format=%s", "main"])
        .current_dir(dir.join("app"))
        .output()
        .unwrap();
    let log = String::from_utf8(log.stdout).unwrap();
    for title in ["Say hello (ap-", "Answer the hello (ap-"] {
        assert!(log.contains(title), "{log}");
    }
    assert!(fs::read_dir(dir.join("app/work")).unwrap().count() >= 2);
    assert!(!dir.join("town/daemon/daemon.pid").exists());
    assert_eq!(processes::under(&dir), Vec::<String>::new(), "left behind");
}
