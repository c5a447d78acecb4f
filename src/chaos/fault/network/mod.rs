//! Faults of the network between hosts.

mod nft;
mod partition;

pub(super) use partition::Partition;
