//! Sealgate, a stateless Backend-for-Frontend (RFC 10017 §6.1).
//!
//! It logs the users of a single-page app in with OpenID Connect, seals their tokens into an encrypted cookie, and
//! proxies API calls with the access token attached. Nothing is stored on the server.
//!
//! The modules are listed from the top down; imports point down only, and `tests/conventions.rs` keeps it so.

pub mod cli;
pub mod server;

pub mod management;
pub mod tls;

pub mod telemetry;

pub mod demo;

pub mod config;

pub mod web;

pub mod proxy;

pub mod refresh;

pub mod session;

pub mod oidc;

pub mod seal;

pub mod keyring;

pub mod aead;

pub mod certificates;

pub mod base64url;
pub mod clock;
pub mod file_watch;
pub mod metrics;
pub mod origin;
pub mod return_url;
pub mod secret;
