//! An in-memory database with the same verbs, order and errors as a SQL one.
//!
//! Each table is a map from key to row plus one ordered set per secondary index. A transaction is
//! an undo log, so that rolling back costs what was changed and nothing else.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::ops::Bound;

use crate::model::table::Table;
use crate::model::tx::Scan;
use crate::model::tx::Tx;
use crate::model::tx::TxError;
use crate::model::value::Value;

type Cells = Vec<Value>;

/// A secondary index: its column positions and its entries (index columns, then key columns).
#[derive(Clone, Debug)]
struct Indexed {
    name: &'static str,
    columns: Vec<usize>,
    unique: bool,
    entries: BTreeSet<Cells>,
}

impl Indexed {
    /// The entry of a row: the index columns, then the key.
    fn entry(&self, row: &[Value], key: &[Value]) -> Cells {
        let mut entry = Cells::with_capacity(self.columns.len() + key.len());
        entry.extend(self.columns.iter().map(|&at| row[at].clone()));
        entry.extend_from_slice(key);
        entry
    }

    /// Whether another key already has this row's unique value. As in SQL, null equals nothing.
    fn taken(&self, row: &[Value], key: &[Value]) -> bool {
        if !self.unique || self.columns.iter().any(|&at| row[at] == Value::Null) {
            return false;
        }
        let width = self.columns.len();
        let value: Cells = self.columns.iter().map(|&at| row[at].clone()).collect();
        let bounds = (Bound::Included(value.as_slice()), Bound::Unbounded);
        self.entries
            .range::<[Value], _>(bounds)
            .take_while(|entry| entry[..width] == value[..])
            .any(|entry| entry[width..] != *key)
    }
}

/// One table's rows.
#[derive(Clone, Debug)]
struct Slot {
    table: &'static Table,
    key: Vec<usize>,
    rows: BTreeMap<Cells, Cells>,
    indexes: Vec<Indexed>,
}

impl Slot {
    fn new(table: &'static Table) -> Self {
        let indexes = table
            .indexes
            .iter()
            .map(|index| Indexed {
                name: index.name,
                columns: index.columns.iter().map(|name| table.position(name)).collect(),
                unique: index.unique,
                entries: BTreeSet::new(),
            })
            .collect();
        Self {
            table,
            key: table.key.iter().map(|name| table.position(name)).collect(),
            rows: BTreeMap::new(),
            indexes,
        }
    }

    fn key_of(&self, row: &[Value]) -> Result<Cells, TxError> {
        self.table.admit(row)?;
        Ok(self.key.iter().map(|&at| row[at].clone()).collect())
    }

    fn duplicate(&self, row: &[Value], key: &[Value]) -> Result<(), TxError> {
        if self.indexes.iter().any(|index| index.taken(row, key)) {
            return Err(TxError::Duplicate { table: self.table.name });
        }
        Ok(())
    }

    /// Sets or removes the row of a key, with its index entries; gives the row before.
    fn put(&mut self, key: &Cells, row: Option<Cells>) -> Option<Cells> {
        let before = match row {
            Some(row) => {
                for index in &mut self.indexes {
                    let entry = index.entry(&row, key);
                    index.entries.insert(entry);
                }
                match self.rows.get_mut(key) {
                    Some(place) => Some(std::mem::replace(place, row)),
                    None => self.rows.insert(key.clone(), row),
                }
            }
            None => self.rows.remove(key),
        };
        if let Some(old) = &before {
            let now = self.rows.get(key);
            for index in &mut self.indexes {
                let same =
                    now.is_some_and(|row| index.columns.iter().all(|&at| row[at] == old[at]));
                if !same {
                    let entry = index.entry(old, key);
                    index.entries.remove(&entry);
                }
            }
        }
        before
    }

    fn scan(&self, scan: &Scan) -> Result<Vec<Cells>, TxError> {
        let index = scan.index.map(|name| {
            let name = self.table.index_named(name).name;
            self.indexes.iter().find(|index| index.name == name).expect("made from the table")
        });
        let width = index.map_or(0, |index| index.columns.len());
        let columns = width + self.key.len();
        if scan.prefix.len() + usize::from(scan.after.is_some()) > columns {
            return Err(TxError::Engine(format!(
                "a scan of {} names more than its {columns} ordered columns",
                self.table.name
            )));
        }
        let range = Span::of(scan);
        let limit = scan.limit.unwrap_or(usize::MAX);
        Ok(match index {
            None => {
                let rows = self.rows.range::<[Value], _>(range.bounds());
                if scan.reverse {
                    rows.rev().take(limit).map(|(_, row)| row.clone()).collect()
                } else {
                    rows.take(limit).map(|(_, row)| row.clone()).collect()
                }
            }
            Some(index) => {
                let entries = index.entries.range::<[Value], _>(range.bounds());
                let row = |entry: &Cells| self.rows[&entry[width..]].clone();
                if scan.reverse {
                    entries.rev().take(limit).map(row).collect()
                } else {
                    entries.take(limit).map(row).collect()
                }
            }
        })
    }
}

/// The range of keys that a scan covers.
struct Span {
    low: Cells,
    high: Option<Cells>,
}

impl Span {
    fn of(scan: &Scan) -> Self {
        let mut low = scan.prefix.clone();
        low.extend(scan.after.as_ref().map(next));
        let high = scan.prefix.split_last().map(|(last, before)| {
            let mut high = before.to_vec();
            high.push(next(last));
            high
        });
        Self { low, high }
    }

    fn bounds(&self) -> (Bound<&[Value]>, Bound<&[Value]>) {
        let high = self.high.as_ref().map_or(Bound::Unbounded, |high| Bound::Excluded(&high[..]));
        (Bound::Included(&self.low), high)
    }
}

/// The least value greater than this one; every value has one.
fn next(value: &Value) -> Value {
    match value {
        Value::Null => Value::Int(i64::MIN),
        Value::Int(n) => n.checked_add(1).map_or_else(|| Value::Text(String::new()), Value::Int),
        Value::Text(text) => Value::Text(format!("{text}\0")),
    }
}

/// What one change replaced.
#[derive(Clone, Debug)]
struct Undo {
    slot: usize,
    key: Cells,
    before: Option<Cells>,
}

/// A place in the open transaction to which it can go back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(usize);

/// An in-memory database.
///
/// Outside [`MemoryDb::begin`] each change stands at once.
#[derive(Clone, Debug, Default)]
pub struct MemoryDb {
    slots: Vec<Slot>,
    /// Slot by the descriptor's address: one table may have several addresses.
    known: Vec<(usize, usize)>,
    undo: Vec<Undo>,
    open: bool,
}

impl MemoryDb {
    /// An empty database.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens a transaction; changes of one that was left open are undone first.
    pub fn begin(&mut self) {
        self.rollback();
        self.open = true;
    }

    /// Makes the changes stand; says whether there were any.
    pub fn commit(&mut self) -> bool {
        let changed = !self.undo.is_empty();
        self.undo.clear();
        self.open = false;
        changed
    }

    /// Undoes every change since [`MemoryDb::begin`].
    pub fn rollback(&mut self) {
        self.rollback_to(Mark(0));
        self.open = false;
    }

    /// Marks the present place of the open transaction.
    #[must_use]
    pub fn savepoint(&self) -> Mark {
        Mark(self.undo.len())
    }

    /// Undoes every change since the mark; later marks are void.
    pub fn rollback_to(&mut self, mark: Mark) {
        while self.undo.len() > mark.0 {
            let Some(undo) = self.undo.pop() else { break };
            self.slots[undo.slot].put(&undo.key, undo.before);
        }
    }

    /// Whether anything was changed since the mark.
    #[must_use]
    pub fn changed_since(&self, mark: Mark) -> bool {
        self.undo.len() > mark.0
    }

    /// Number of rows in a table.
    pub fn count(&mut self, table: &'static Table) -> usize {
        let slot = self.slot(table);
        self.slots[slot].rows.len()
    }

    fn slot(&mut self, table: &'static Table) -> usize {
        let address = std::ptr::from_ref(table).addr();
        if let Some((_, slot)) = self.known.iter().find(|(known, _)| *known == address) {
            return *slot;
        }
        let slot = self.slots.iter().position(|slot| slot.table.name == table.name);
        let slot = slot.unwrap_or_else(|| {
            self.slots.push(Slot::new(table));
            self.slots.len() - 1
        });
        self.known.push((address, slot));
        slot
    }

    fn put(&mut self, slot: usize, key: Cells, row: Option<Cells>) -> bool {
        let before = self.slots[slot].put(&key, row);
        let was = before.is_some();
        if self.open {
            self.undo.push(Undo { slot, key, before });
        }
        was
    }
}

impl Tx for MemoryDb {
    fn get(&mut self, table: &'static Table, key: &[Value]) -> Result<Option<Cells>, TxError> {
        let slot = self.slot(table);
        Ok(self.slots[slot].rows.get(key).cloned())
    }

    fn insert(&mut self, table: &'static Table, row: Cells) -> Result<(), TxError> {
        let slot = self.slot(table);
        let place = &self.slots[slot];
        let key = place.key_of(&row)?;
        if place.rows.contains_key(&key) {
            return Err(TxError::Duplicate { table: table.name });
        }
        place.duplicate(&row, &key)?;
        self.put(slot, key, Some(row));
        Ok(())
    }

    fn update(&mut self, table: &'static Table, row: Cells) -> Result<(), TxError> {
        let slot = self.slot(table);
        let place = &self.slots[slot];
        let key = place.key_of(&row)?;
        if !place.rows.contains_key(&key) {
            return Err(TxError::Missing { table: table.name });
        }
        place.duplicate(&row, &key)?;
        self.put(slot, key, Some(row));
        Ok(())
    }

    fn delete(&mut self, table: &'static Table, key: &[Value]) -> Result<bool, TxError> {
        let slot = self.slot(table);
        if !self.slots[slot].rows.contains_key(key) {
            return Ok(false);
        }
        Ok(self.put(slot, key.to_vec(), None))
    }

    fn scan(&mut self, table: &'static Table, scan: &Scan) -> Result<Vec<Cells>, TxError> {
        let slot = self.slot(table);
        self.slots[slot].scan(scan)
    }
}
