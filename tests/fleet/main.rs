//! Promise 2 under load and faults: nobody is logged out. Many replicas of the real binary behind a real HAProxy, the
//! certified `oidc-provider` in several strictnesses, and browsers that send bursts from several tabs.
//!
//! The figures that these tests print are kept in docs/operations-measured.md; `make soak` runs the long ones.

mod affinity;
mod balancer;
mod cluster;
mod crowd;
mod departures;
mod drain;
mod losses;
mod memory;
mod outage;
mod ring_folder;
mod rings;
mod round_robin;
mod skew;
mod soak;
#[path = "../support/support.rs"]
mod support;
mod tally;
mod visitor;
