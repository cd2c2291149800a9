//! Which database an id lives in, and the nearest word to a mistyped one.

use crate::messages::door::DoorError;
use crate::model::ids::BeadId;
use crate::model::ids::Db;

/// Farthest word that is still suggested, in single-character changes.
const FAR: usize = 4;

/// The database whose prefix begins the id; of several, the longest.
#[must_use]
pub fn database<'a>(databases: &'a [(Db, String)], id: &BeadId) -> Option<&'a Db> {
    databases
        .iter()
        .filter(|(_, prefix)| {
            id.as_str().strip_prefix(prefix.as_str()).is_some_and(|rest| rest.starts_with('-'))
        })
        .max_by_key(|(_, prefix)| prefix.len())
        .map(|(db, _)| db)
}

/// As [`database`], with an error that names the prefixes there are.
///
/// # Errors
/// Code `not_found`.
pub fn route(databases: &[(Db, String)], id: &BeadId) -> Result<Db, DoorError> {
    database(databases, id).cloned().ok_or_else(|| {
        let known: Vec<String> =
            databases.iter().map(|(db, prefix)| format!("{prefix}- ({db})")).collect();
        DoorError::new("not_found", format!("no database has ids like '{id}'"))
            .hint(format!("known prefixes: {}", known.join(", ")))
    })
}

/// The known word that is nearest to a given one, if any is near. Of paths the last part is
/// compared too, so that a forgotten or mistyped middle does not matter.
#[must_use]
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let last = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
    let short = last(word);
    let near = |word: &str| FAR.min(word.chars().count().div_ceil(2)).max(1);
    let far = |candidate: &str| {
        let whole = Some(distance(word, candidate)).filter(|far| *far <= near(word));
        let ends = distance(&short, &last(candidate));
        let ends = Some(ends + 1).filter(|far| candidate.contains('/') && *far <= near(&short));
        whole.into_iter().chain(ends).min()
    };
    known
        .into_iter()
        .filter_map(|candidate| Some((far(candidate)?, candidate)))
        .min()
        .map(|(_, candidate)| candidate)
}

/// Insertions, removals and replacements that make one word the other; words are cut at 64.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().take(64).collect();
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::database;
    use super::distance;
    use super::nearest;
    use super::route;
    use crate::model::ids::Db;

    fn dbs() -> Vec<(Db, String)> {
        [("hq", "hq"), ("web", "web"), ("ui", "web-ui")]
            .map(|(db, prefix)| (Db::from(db), prefix.to_owned()))
            .to_vec()
    }

    #[test]
    fn the_longest_prefix_wins() {
        let dbs = dbs();
        let at = |id: &str| database(&dbs, &id.into()).map(Db::as_str);
        assert_eq!(at("web-abc"), Some("web"));
        assert_eq!(at("web-ui-abc.1"), Some("ui"));
        assert_eq!(at("webx-abc"), None);
        let error = route(&dbs, &"x-1".into()).unwrap_err();
        assert_eq!(
            error.hint.as_deref(),
            Some("known prefixes: hq- (hq), web- (web), web-ui- (ui)")
        );
    }

    #[test]
    fn near_words_are_suggested() {
        assert_eq!(distance("kitten", "sitting"), 3);
        let known = ["mayor", "deacon", "gastown/polecats/alpha"];
        assert_eq!(nearest("myor", known), Some("mayor"));
        assert_eq!(nearest("alpha", known), Some("gastown/polecats/alpha"));
        assert_eq!(nearest("gastown/alhpa", known), Some("gastown/polecats/alpha"));
        assert_eq!(nearest("zzz", known), None);
    }
}
