//! Nothing is lost: the real service is killed, its disk is full, its files are damaged.
//!
//! `WHORL_LOST_SEED` and `WHORL_LOST_ROUNDS` choose other moments, and more of them, for the kills.

mod damage;
mod disk;
mod full;
mod fuzz;
mod kills;
mod sent;
mod targets;
