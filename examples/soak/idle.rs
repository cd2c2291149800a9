//! An idle town: nothing starts, nothing is written.

use std::fs;
use std::time::Duration;
use std::time::Instant;

use crate::tools::Fallible;
use crate::tools::bytes_below;
use crate::tools::children;
use crate::tools::daemon_pid;
use crate::tools::forks;
use crate::tools::row;
use crate::tools::run;
use crate::tools::scratch;
use crate::tools::usage;

/// A finished demo, all timers on, five minutes: nothing starts, nothing is written.
pub(crate) fn idle() -> Fallible<bool> {
    let minutes: u64 = std::env::args().nth(2).map_or(Ok(5), |text| text.parse())?;
    let dir = scratch("idle")?;
    let keep = dir.join("demo");
    run(&dir, &["demo", "--keep", &keep.display().to_string()])?;
    let town = keep.join("town");
    run(&town, &["up"])?;
    let pid = daemon_pid(&town)?;
    // The start's own work (recovery, first patrols) is over when its first minute is; then the
    // dogs back up and archive what the demo wrote, once.
    std::thread::sleep(Duration::from_secs(120));
    let before = usage(pid)?;
    let bytes = bytes_below(&town.join(".dolt-data"))?;
    let forks = forks()?;
    let end = Instant::now() + Duration::from_secs(minutes * 60);
    let mut seen = 0;
    while Instant::now() < end {
        seen = seen.max(children(pid)?.len());
        std::thread::sleep(Duration::from_millis(500));
    }
    let after = usage(pid)?;
    let grown = bytes_below(&town.join(".dolt-data"))? - bytes;
    let cpu = (after.ticks - before.ticks) as f64 / 100.0 / (minutes as f64 * 60.0) * 100.0;
    println!("an idle town, {minutes} minutes");
    let mut good = row("processes of the daemon seen", &seen.to_string(), "0", seen == 0);
    good &= row("bytes appended under .dolt-data", &grown.to_string(), "0", grown == 0);
    good &= row("share of one core", &format!("{cpu:.3} %"), "below 1 %", cpu < 1.0);
    let mb = after.rss_kb as f64 / 1024.0;
    good &= row("daemon, resident", &format!("{mb:.1} MB"), "below 80 MB", mb < 80.0);
    let started = crate::tools::forks()?.saturating_sub(forks);
    println!("(processes and threads started on the whole machine meanwhile: {started})");
    run(&town, &["down"])?;
    fs::remove_dir_all(&dir)?;
    Ok(good)
}
