//! Cells: the three kinds of value that both engines store, and how Rust types become one.
//!
//! Text enums are stored by their seed names, structured states as JSON text, times as integer
//! milliseconds since the Unix epoch. This file knows nothing about SQL.

use std::fmt;

use serde::Deserialize;
use serde::Serialize;

/// One stored value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Value {
    /// Absent.
    Null,
    /// A 64-bit integer; booleans are 0 and 1.
    Int(i64),
    /// UTF-8 text.
    Text(String),
}

/// Most characters of a [`Kind::Key`] text.
pub const KEY_MAX: usize = 255;

/// How a column is declared by an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 64-bit integer.
    Int,
    /// Short text that may stand in a key or an index: at most 255 characters.
    Key,
    /// Text of any length.
    Text,
}

/// A stored cell that does not have the shape its column promises.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stored value {found:?} is not a {wanted}")]
pub struct BadCell {
    /// What the column should hold.
    pub wanted: &'static str,
    /// What was found.
    pub found: Value,
}

/// A type that fits in one column.
pub trait Cell: Sized {
    /// The column's declaration.
    const KIND: Kind;
    /// Whether the column may be null.
    const NULLABLE: bool = false;
    /// The stored form.
    fn to_value(&self) -> Value;
    /// The typed form.
    ///
    /// # Errors
    /// [`BadCell`] when the value was not written by this type.
    fn from_value(value: Value) -> Result<Self, BadCell>;
}

impl Cell for i64 {
    const KIND: Kind = Kind::Int;
    fn to_value(&self) -> Value {
        Value::Int(*self)
    }
    fn from_value(value: Value) -> Result<Self, BadCell> {
        match value {
            Value::Int(n) => Ok(n),
            found => Err(BadCell { wanted: "integer", found }),
        }
    }
}

impl Cell for bool {
    const KIND: Kind = Kind::Int;
    fn to_value(&self) -> Value {
        Value::Int(i64::from(*self))
    }
    fn from_value(value: Value) -> Result<Self, BadCell> {
        i64::from_value(value).map(|n| n != 0)
    }
}

impl Cell for String {
    const KIND: Kind = Kind::Text;
    fn to_value(&self) -> Value {
        Value::Text(self.clone())
    }
    fn from_value(value: Value) -> Result<Self, BadCell> {
        match value {
            Value::Text(text) => Ok(text),
            found => Err(BadCell { wanted: "text", found }),
        }
    }
}

impl<T: Cell> Cell for Option<T> {
    const KIND: Kind = T::KIND;
    const NULLABLE: bool = true;
    fn to_value(&self) -> Value {
        self.as_ref().map_or(Value::Null, Cell::to_value)
    }
    fn from_value(value: Value) -> Result<Self, BadCell> {
        match value {
            Value::Null => Ok(None),
            other => T::from_value(other).map(Some),
        }
    }
}

/// A short name that may stand in a key: at most 255 characters, never empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Name(pub String);

impl Name {
    /// The text of the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for Name {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<String> for Name {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl Cell for Name {
    const KIND: Kind = Kind::Key;
    fn to_value(&self) -> Value {
        Value::Text(self.0.clone())
    }
    fn from_value(value: Value) -> Result<Self, BadCell> {
        String::from_value(value).map(Self)
    }
}

/// Makes a newtype over text that is stored as a short key.
macro_rules! key_type {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            /// The text of the id.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text)
            }
        }

        impl $crate::model::value::Cell for $name {
            const KIND: $crate::model::value::Kind = $crate::model::value::Kind::Key;
            fn to_value(&self) -> $crate::model::value::Value {
                $crate::model::value::Value::Text(self.0.clone())
            }
            fn from_value(
                value: $crate::model::value::Value,
            ) -> Result<Self, $crate::model::value::BadCell> {
                <String as $crate::model::value::Cell>::from_value(value).map(Self)
            }
        }
    };
}

/// Makes a closed enum that is stored, printed and parsed by fixed words.
macro_rules! text_enum {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[$vmeta])* #[serde(rename = $text)] $variant),+
        }

        impl $name {
            /// Every variant, in declaration order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The stored and printed word.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text),+
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::model::value::UnknownWord;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    _ => Err($crate::model::value::UnknownWord {
                        kind: stringify!($name),
                        word: text.to_owned(),
                        known: &[$($text),+],
                    }),
                }
            }
        }

        impl $crate::model::value::Cell for $name {
            const KIND: $crate::model::value::Kind = $crate::model::value::Kind::Key;
            fn to_value(&self) -> $crate::model::value::Value {
                $crate::model::value::Value::Text(self.as_str().to_owned())
            }
            fn from_value(
                value: $crate::model::value::Value,
            ) -> Result<Self, $crate::model::value::BadCell> {
                let text = <String as $crate::model::value::Cell>::from_value(value)?;
                text.parse().map_err(|_| $crate::model::value::BadCell {
                    wanted: stringify!($name),
                    found: $crate::model::value::Value::Text(text),
                })
            }
        }
    };
}

/// Stores a serde type as JSON text.
macro_rules! json_cell {
    ($name:ty) => {
        impl $crate::model::value::Cell for $name {
            const KIND: $crate::model::value::Kind = $crate::model::value::Kind::Text;
            fn to_value(&self) -> $crate::model::value::Value {
                let text = serde_json::to_string(self).expect("plain data always serializes");
                $crate::model::value::Value::Text(text)
            }
            fn from_value(
                value: $crate::model::value::Value,
            ) -> Result<Self, $crate::model::value::BadCell> {
                let text = <String as $crate::model::value::Cell>::from_value(value)?;
                serde_json::from_str(&text).map_err(|_| $crate::model::value::BadCell {
                    wanted: stringify!($name),
                    found: $crate::model::value::Value::Text(text),
                })
            }
        }
    };
}

pub(crate) use json_cell;
pub(crate) use key_type;
pub(crate) use text_enum;

/// A word that is not one of a closed set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown {kind} '{word}'; known: {}", known.join(", "))]
pub struct UnknownWord {
    /// The set's name.
    pub kind: &'static str,
    /// What was given.
    pub word: String,
    /// What would have been accepted.
    pub known: &'static [&'static str],
}
