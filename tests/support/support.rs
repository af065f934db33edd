//! What every test here stands on: a real provider, a real upstream, a real Sealgate and a browser that can be looked
//! into. Nothing in here may know how Sealgate works inside, but `alone`, which seals a session itself.
//!
//! It is a module of every test binary that drives servers, by `#[path]`, and lies in a folder so that it is none itself.

#![allow(dead_code, unused_imports, reason = "each test binary uses its own part of it")]

pub mod alone;
pub mod app;
pub mod browser;
pub mod cookie_jar;
pub mod forward_front;
pub mod front;
pub mod ports;
pub mod provider;
pub mod quirky_provider;
pub mod recipe_host;
pub mod sealed;
pub mod sealgate;
pub mod upstream;
pub mod wait;
pub mod world;

pub use app::App;
pub use browser::{Browser, Reply};
pub use provider::{Provider, ProviderOptions};
pub use sealgate::{Sealgate, SealgateOptions};
pub use upstream::Upstream;
pub use wait::eventually;
pub use world::World;
