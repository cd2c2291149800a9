//! Which SQL a person may send: one statement that only reads, or one that changes rows of one
//! table.
//!
//! The text is cut into words without an engine. Where the two engines would cut it differently
//! (backslashes in strings, `#`, `--` without a space, `/*!`), it is refused: nothing may hide.

/// Words that do something: none of them may stand bare in a statement that reads.
const DOING: &[&str] = &[
    "alter",
    "analyze",
    "attach",
    "begin",
    "call",
    "commit",
    "create",
    "deallocate",
    "delete",
    "detach",
    "do",
    "drop",
    "edit",
    "execute",
    "fts3_tokenizer",
    "get_lock",
    "grant",
    "handler",
    "insert",
    "install",
    "into",
    "kill",
    "load",
    "load_extension",
    "load_file",
    "lock",
    "merge",
    "optimize",
    "pragma",
    "prepare",
    "purge",
    "readfile",
    "reindex",
    "release",
    "release_lock",
    "rename",
    "reset",
    "revoke",
    "rollback",
    "savepoint",
    "set",
    "sleep",
    "start",
    "truncate",
    "unlock",
    "update",
    "use",
    "vacuum",
    "writefile",
    "benchmark",
];

/// What a statement that reads may begin with.
const READING: &[&str] = &["select", "with", "values", "explain", "show", "describe", "desc"];

/// Functions and tables of the engine itself that only read.
const OWN: &[&str] = &[
    "dolt_branches",
    "dolt_commit_ancestors",
    "dolt_commits",
    "dolt_conflicts",
    "dolt_constraint_violations",
    "dolt_diff",
    "dolt_diff_stat",
    "dolt_diff_summary",
    "dolt_docs",
    "dolt_engine_stats",
    "dolt_hashof",
    "dolt_hashof_catalog",
    "dolt_hashof_db",
    "dolt_hashof_index",
    "dolt_hashof_table",
    "dolt_ignore",
    "dolt_log",
    "dolt_merge_base",
    "dolt_merge_status",
    "dolt_patch",
    "dolt_remote_branches",
    "dolt_remotes",
    "dolt_schema_diff",
    "dolt_schemas",
    "dolt_status",
    "dolt_tags",
    "dolt_version",
];

/// Beginnings of the engine's own tables that are there once for each table.
const OWN_BY_TABLE: &[&str] = &[
    "dolt_at_",
    "dolt_blame_",
    "dolt_commit_diff_",
    "dolt_conflicts_",
    "dolt_constraint_violations_",
    "dolt_diff_",
    "dolt_history_",
];

/// One piece of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// A bare word, in small letters.
    Word(String),
    /// A text in quotes of any kind, without them.
    Quoted(String),
    /// Anything else but blanks and comments.
    Sign(char),
}

/// A statement that changes rows of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change<'a> {
    /// The statement, without what follows it.
    pub text: &'a str,
    /// The table, in small letters.
    pub table: String,
}

/// The one statement of a text, if it only reads.
///
/// # Errors
/// Why it may not be sent, in words.
pub fn one_read(text: &str) -> Result<&str, String> {
    let (text, tokens) = one(text)?;
    let Some(Token::Word(first)) = tokens.first() else {
        return Err("a statement begins with a word".to_owned());
    };
    if !READING.contains(&first.as_str()) {
        return Err(format!("'{first}' does not read: {} do", READING.join(", ")));
    }
    for (at, token) in tokens.iter().enumerate() {
        let calls = tokens.get(at + 1) == Some(&Token::Sign('('));
        match token {
            // What explains a statement may run it; only what reads is left.
            Token::Word(word) if word == "analyze" && first == "explain" && at == 1 => {}
            Token::Word(word) if word == "replace" && !calls => return Err(does(word)),
            Token::Word(word) if DOING.contains(&word.as_str()) => return Err(does(word)),
            Token::Word(word) | Token::Quoted(word) => own(word)?,
            Token::Sign(_) => {}
        }
    }
    Ok(text)
}

/// The one statement of a text, if it inserts, updates, replaces or deletes rows of one table.
///
/// # Errors
/// Why it may not be sent, in words.
pub fn one_change(text: &str) -> Result<Change<'_>, String> {
    let (text, tokens) = one(text)?;
    let word = |at: usize| match tokens.get(at) {
        Some(Token::Word(word)) => word.as_str(),
        _ => "",
    };
    let (verb, at) = match (word(0), word(1)) {
        ("insert" | "replace", "into") | ("delete", "from") => (word(0), 2),
        ("update", _) => ("update", 1),
        (first, _) => {
            return Err(format!(
                "'{first}' is not understood here: use INSERT INTO, REPLACE INTO, UPDATE or \
                 DELETE FROM with one table"
            ));
        }
    };
    let table = match tokens.get(at) {
        Some(Token::Word(name) | Token::Quoted(name)) => name.to_ascii_lowercase(),
        _ => return Err(format!("'{verb}' names no table")),
    };
    let one_table = match (verb, tokens.get(at + 1)) {
        ("update", Some(Token::Word(next))) => next == "set",
        ("delete", None) => true,
        ("delete", Some(Token::Word(next))) => ["where", "order", "limit"].contains(&next.as_str()),
        ("insert" | "replace", Some(Token::Sign('('))) => true,
        ("insert" | "replace", Some(Token::Word(next))) => {
            ["values", "select", "with"].contains(&next.as_str())
        }
        _ => false,
    };
    if !one_table {
        return Err(format!(
            "'{verb}' takes one table here, by its bare name: '{table}' and no more"
        ));
    }
    for (place, token) in tokens.iter().enumerate().skip(at + 1) {
        let calls = tokens.get(place + 1) == Some(&Token::Sign('('));
        match token {
            Token::Word(word) if word == "set" && verb == "update" => {}
            Token::Word(word) if word == "replace" && calls => {}
            Token::Word(word) if word == "replace" || DOING.contains(&word.as_str()) => {
                return Err(does(word));
            }
            Token::Word(word) | Token::Quoted(word) => own(word)?,
            Token::Sign(_) => {}
        }
    }
    Ok(Change { text, table })
}

fn does(word: &str) -> String {
    format!("'{word}' does something; if it is a name, put it in quotes: `{word}`")
}

/// Refuses what the engine has of its own that does not only read.
fn own(word: &str) -> Result<(), String> {
    let word = word.to_ascii_lowercase();
    let known = OWN.contains(&word.as_str())
        || OWN_BY_TABLE.iter().any(|start| word.len() > start.len() && word.starts_with(start));
    if word.starts_with("dolt_") && !known {
        return Err(format!("'{word}' may change the database: only what reads is allowed here"));
    }
    Ok(())
}

/// The one statement of a text without its end, and its pieces.
fn one(text: &str) -> Result<(&str, Vec<Token>), String> {
    let pieces = pieces(text)?;
    let end = pieces.iter().find(|(_, token)| *token == Token::Sign(';'));
    let end = end.map_or(text.len(), |(at, _)| *at);
    if pieces.iter().any(|(at, token)| *at > end && *token != Token::Sign(';')) {
        return Err("one statement at a time".to_owned());
    }
    let tokens: Vec<Token> =
        pieces.into_iter().filter(|(at, _)| *at < end).map(|(_, token)| token).collect();
    if tokens.is_empty() {
        return Err("there is no statement".to_owned());
    }
    Ok((text[..end].trim(), tokens))
}

/// The pieces of a text with the place of each in bytes.
fn pieces(text: &str) -> Result<Vec<(usize, Token)>, String> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        let start = at;
        if first.is_whitespace() {
            at += first.len_utf8();
        } else if let Some(comment) = rest.strip_prefix("--") {
            if comment.starts_with(|next: char| !next.is_whitespace()) {
                return Err("'--' without a space is read in two ways: write '- -' or '-- '".into());
            }
            at += rest.find('\n').unwrap_or(rest.len());
        } else if let Some(comment) = rest.strip_prefix("/*") {
            if comment.starts_with(['!', '+']) {
                return Err("a comment that the engine reads is not allowed".to_owned());
            }
            let end = comment.find("*/").ok_or("a comment does not end")?;
            at += end + 4;
        } else if matches!(first, '\'' | '"' | '`') {
            let (inside, length) = quoted(rest, first)?;
            at += length;
            found.push((start, Token::Quoted(inside)));
        } else if first == '#' || first == '?' || first == '[' || first == '\\' || first == '\0' {
            return Err(format!("'{first}' is not understood here"));
        } else if is_word(first) {
            let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            at += length;
            found.push((start, Token::Word(rest[..length].to_ascii_lowercase())));
        } else {
            at += first.len_utf8();
            found.push((start, Token::Sign(first)));
        }
    }
    Ok(found)
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

/// What stands between quotes, in which the quote itself stands twice; and how long it all is.
fn quoted(text: &str, quote: char) -> Result<(String, usize), String> {
    let mut inside = String::new();
    let mut all = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = all.next() {
        if c == '\\' && quote != '`' {
            return Err("a backslash in quotes is read in two ways: leave it out".to_owned());
        }
        if c != quote {
            inside.push(c);
        } else if all.peek().is_some_and(|(_, next)| *next == quote) {
            all.next();
            inside.push(quote);
        } else {
            return Ok((inside, at + 1));
        }
    }
    Err(format!("a text in {quote} does not end"))
}

#[cfg(test)]
mod tests {
    use super::one_change;
    use super::one_read;

    #[test]
    fn one_statement_that_reads_may_be_sent() {
        for text in [
            "SELECT * FROM beads",
            " select 'a;b -- c', \"x\"\"y\" from `update`; ",
            "WITH x AS (SELECT 1) SELECT * FROM x; -- done",
            "/* why */ VALUES (1, 2)",
            "explain query plan select 1",
            "SELECT replace(title, 'a', 'b') FROM beads",
            "select dolt_hashof('HEAD'), dolt_version()",
            "select * from dolt_diff_beads",
            "SHOW TABLES",
            "describe beads",
        ] {
            assert!(one_read(text).is_ok(), "{text}: {:?}", one_read(text));
        }
        assert_eq!(one_read(" select 1 ;; "), Ok("select 1"));
    }

    #[test]
    fn what_may_do_something_is_refused() {
        for text in [
            "",
            ";",
            "-- nothing",
            "select 1; select 2",
            "select 1; drop table beads",
            "UPDATE beads SET title = ''",
            "with x as (select 1) delete from beads",
            "explain analyze delete from beads",
            "select dolt_commit('-Am', 'x')",
            "select `dolt_reset`('--hard')",
            "select \"DOLT_GC\"()",
            "select * from beads into outfile '/tmp/x'",
            "select load_file('/etc/passwd')",
            "pragma table_info(beads)",
            "call dolt_reset('--hard')",
            "select 1 --1, dolt_gc()",
            "select 'a\\'; drop table beads; --'",
            "select 1 # x",
            "select 1 /*! ; drop table beads */",
            "select /* open",
            "select 'open",
            "replace into beads values (1)",
            "select 1 from beads for update",
            "attach 'x' as y",
        ] {
            assert!(one_read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_change_is_of_one_table() {
        let table = |text| one_change(text).map(|change| change.table);
        assert_eq!(table("UPDATE Beads SET title = 'x' WHERE id = 'a'"), Ok("beads".into()));
        assert_eq!(
            table("insert into `labels` (bead, label) values ('a', 'b');"),
            Ok("labels".into())
        );
        assert_eq!(
            table("delete from comments where bead in (select id from beads)"),
            Ok("comments".into())
        );
        assert_eq!(table("update beads set title = replace(title, 'a', 'b')"), Ok("beads".into()));
        for text in [
            "delete from beads; delete from labels",
            "drop table beads",
            "insert into beads select * from dolt_at_beads('HEAD')  returning dolt_commit('-Am')",
            "update beads set title = 'x' into outfile 'y'",
            "alter table beads add column x int",
            "select 1",
        ] {
            assert!(one_change(text).is_err(), "{text}");
        }
    }
}
