//! What each soak may be told, and the help that says it. Anything else is refused before a soak
//! begins: a long one must not start because a word was misspelt.

use std::fmt::Write as _;

use crate::tools::Fallible;

/// What follows a flag.
#[derive(Clone, Copy)]
pub(crate) enum Takes {
    /// A whole number.
    Number,
    /// A directory, whose state stays there: the same command goes on where it stopped.
    Dir,
    /// One of these.
    One(&'static [&'static str]),
}

/// A flag and what follows it.
pub(crate) type Flag = (&'static str, Takes);

/// One soak.
pub(crate) struct Soak {
    pub(crate) name: &'static str,
    /// What it does, a line each.
    pub(crate) help: &'static [&'static str],
    pub(crate) flags: &'static [Flag],
    /// What stands by itself, if anything may.
    pub(crate) word: Option<&'static str>,
    pub(crate) run: fn() -> Fallible<bool>,
}

/// The flag and what it takes, as one writes it.
fn shown((name, takes): &Flag) -> String {
    match takes {
        Takes::Number => format!("{name} N"),
        Takes::Dir => format!("{name} DIR"),
        Takes::One(words) => format!("{name} {}", words.join("|")),
    }
}

/// What a soak does and takes.
pub(crate) fn help(soak: &Soak) -> String {
    let mut text = format!("{} {}\n", soak.name, soak.word.unwrap_or_default());
    for line in soak.help {
        writeln!(text, "    {line}").ok();
    }
    for flag in soak.flags {
        writeln!(text, "    {}", shown(flag)).ok();
    }
    text
}

/// Whether these words ask for help.
pub(crate) fn asks_for_help(words: &[String]) -> bool {
    words.iter().any(|word| word == "--help" || word == "-h" || word == "help")
}

/// Refuses what a soak cannot be told.
pub(crate) fn check(soak: &Soak, words: &[String]) -> Fallible<()> {
    let mut words = words.iter();
    let (mut seen, mut alone) = (Vec::new(), 0);
    while let Some(word) = words.next() {
        if !word.starts_with('-') {
            alone += 1;
            if soak.word.is_none() || alone > 1 {
                return Err(
                    format!("{} does not know '{word}'\n\n{}", soak.name, help(soak)).into()
                );
            }
            number(soak.word.unwrap_or_default(), word)?;
            continue;
        }
        let Some((name, takes)) = soak.flags.iter().find(|(name, _)| name == word) else {
            return Err(format!("{} has no flag '{word}'\n\n{}", soak.name, help(soak)).into());
        };
        if seen.contains(name) {
            return Err(format!("{name} is there twice").into());
        }
        seen.push(*name);
        let Some(value) = words.next() else {
            return Err(format!("{name} wants a word: {}", shown(&(*name, *takes))).into());
        };
        match takes {
            Takes::Number => {
                number(name, value)?;
            }
            Takes::Dir if value.starts_with('-') => {
                return Err(format!("{name} wants a directory, not '{value}'").into());
            }
            Takes::One(all) if !all.contains(&value.as_str()) => {
                return Err(format!("{name} is one of {}, not '{value}'", all.join(", ")).into());
            }
            Takes::Dir | Takes::One(_) => {}
        }
    }
    Ok(())
}

/// A flag's number.
pub(crate) fn number(name: &str, text: &str) -> Fallible<u64> {
    text.parse().map_err(|_| format!("{name} wants a whole number, not '{text}'").into())
}
