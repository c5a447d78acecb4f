//! Faults of the network between hosts.

mod degrade;
mod nft;
mod partition;
mod queue;

pub(super) use degrade::Degrade;
pub(super) use partition::Partition;
