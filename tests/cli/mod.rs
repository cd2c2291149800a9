//! The commands, as a person or an agent calls them.

mod gt;
