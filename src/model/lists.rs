//! Lists that stand in one cell.

use serde::Deserialize;
use serde::Serialize;

use super::ids::BeadId;
use super::merge::GateResult;
use super::value::json_cell;

/// A list of ids in one cell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ids(pub Vec<BeadId>);
json_cell!(Ids);

/// Gate answers in one cell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Results(pub Vec<GateResult>);
json_cell!(Results);
