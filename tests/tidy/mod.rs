//! Rules that no compiler knows: rooms, lengths, words, lock file, documents.

mod docs;
mod lengths;
mod rooms;
mod source;
mod words;
