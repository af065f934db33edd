//! The recipes of `deploy/`, used as they are written: balancers in front of real replicas, and the files for containers
//! and services.
//!
//! What is replaced in a recipe is listed in `balancer.rs` and nowhere else.

mod balancer;
mod behaviour;
mod files;
mod forward_auth;
mod site;
#[path = "../support/support.rs"]
mod support;
