//! The door: who may ask what, and how a call travels.

mod desk;
mod door;
mod town;
