//! One daemon to a town; started, stopped and killed as often as one likes.

use std::fs;
use std::process::Command;

use crate::cli::desk::Desk;
use crate::support::processes;

/// A town that goes down when the test ends.
struct Up(Desk);

impl Drop for Up {
    fn drop(&mut self) {
        println!("{}", self.0.gt("town", &["down"]).out);
    }
}

/// The daemon's process, as its own file says.
fn pid(desk: &Desk) -> String {
    desk.read("town/daemon/daemon.pid").trim().to_owned()
}

fn holder(desk: &Desk) -> String {
    format!("process {} (daemon)", pid(desk))
}

#[test]
fn a_second_daemon_says_who_has_the_town() {
    let up = Up(Desk::town());
    let desk = &up.0;
    let said = desk.gt("town", &["up"]).ok();
    assert!(said.contains("the town is up"), "{said}");
    let first = pid(desk);
    let error = desk.gt("town", &["daemon", "run"]).refused(4);
    assert!(error.contains(&holder(desk)), "{error}");
    let said = desk.gt("town", &["up"]).ok();
    assert!(said.contains(&format!("up already (process {first})")), "{said}");
    assert_eq!(pid(desk), first, "the second one left the first one's file alone");
    desk.gt("town", &["status"]).ok();
    let error = desk.gt(".", &["install", "town"]).refused(4);
    assert!(error.contains(&holder(desk)), "{error}");
    assert!(desk.gt("town", &["down"]).ok().contains("the town is down"));
    assert!(desk.gt("town", &["down"]).ok().contains("not running"));
    assert_eq!(processes::under(&desk.path("town")), Vec::<String>::new());
}

#[test]
fn a_killed_daemon_is_started_again() {
    let up = Up(Desk::town());
    let desk = &up.0;
    desk.gt("town", &["up"]).ok();
    desk.gt("town", &["mail", "send", "overseer", "-s", "kept", "-m", "words"]).ok();
    let first = pid(desk);
    let killed = Command::new("kill").args(["-9", &first]).status().unwrap();
    assert!(killed.success());
    // Its socket and its file are still there; the lock went with the process.
    assert!(desk.path("town/daemon/daemon.pid").exists());
    let said = desk.gt("town", &["up"]).ok();
    assert!(said.contains("the town is up (process"), "{said}");
    assert_ne!(pid(desk), first);
    let inbox = desk.json("town", &["mail", "inbox", "overseer", "--json"]);
    assert_eq!(inbox[0]["subject"], "kept");
    desk.gt("town", &["down"]).ok();
    assert!(fs::metadata(desk.path("town/daemon/daemon.pid")).is_err());
}
