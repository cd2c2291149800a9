//! Demos whose daemon is killed at seeded moments.

use std::fs;

use crate::tools::Fallible;
use crate::tools::run;
use crate::tools::scratch;

/// Ten demos, in each the daemon is killed at ten seeded moments.
pub(crate) fn kills() -> Fallible<bool> {
    let mut good = true;
    for seed in 1..=10_u64 {
        let dir = scratch(&format!("kills-{seed}"))?;
        let seed = seed.to_string();
        let text = run(&dir, &["demo", "--kills", "10", "--seed", &seed, "--json"]);
        let last = text.map(|text| text.lines().last().unwrap_or_default().to_owned());
        match last {
            Ok(line) => println!("seed {seed:<3} {line}"),
            Err(error) => {
                good = false;
                println!("seed {seed:<3} SHORT {error}");
            }
        }
        fs::remove_dir_all(&dir)?;
    }
    Ok(good)
}
