//! Faults of the network between hosts.

mod copies;
mod degrade;
mod nft;
mod packet;
mod partition;
mod queue;

pub(super) use degrade::Degrade;
pub(super) use partition::Partition;
