//! The server as its users meet it: the real binary behind real sockets, against the certified `oidc-provider`.
//!
//! One test binary, so that it links once. The files are named after what they look at; the tests are sentences.

mod application_tokens;
mod attacks;
mod audiences;
mod callback;
mod check_command;
mod compat;
mod conformance;
mod connections;
mod cookie_sizes;
mod csrf;
mod form_post;
mod forward_auth;
mod fronts;
mod initiate_login;
mod keys;
mod login;
mod logout;
mod management;
mod modes;
mod presets;
mod provider_down;
mod proxy;
mod refresh;
mod refusals;
mod rules;
mod secrets;
mod sessions;
mod shutdown;
mod signed_identity;
mod silent_login;
mod sites;
mod static_site;
mod step_up;
#[path = "../support/support.rs"]
mod support;
mod tampering;
mod tls;
mod userinfo;
mod websocket;
