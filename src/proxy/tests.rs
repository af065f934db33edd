//! The proxy between a client and an upstream that are both written by hand, byte for byte, over real sockets.

mod access;
mod connections;
mod harness;
mod health;
mod limits;
mod offline;
mod requests;
mod responses;
mod streaming;
mod tls;
mod upgrade;
