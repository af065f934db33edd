//! The tokens of a session, taken apart for compression: whatever a provider issues comes back to the byte.

use std::sync::LazyLock;

use sealgate::secret::{AccessToken, IdToken, RefreshToken};
use sealgate::session::{Session, WriteFormat};

use super::vectors::{NOW, vectors};

static SESSION: LazyLock<Session> = LazyLock::new(|| {
    let pinned = vectors().into_iter().find(|vector| vector.name == "session").expect("it is pinned");
    Session::decode(pinned.plaintext()).expect("a session")
});

/// Reads the input as three tokens, a line each; what is not UTF-8 is replaced.
pub fn run(data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n').map(|line| String::from_utf8_lossy(line).into_owned());
    let mut token = || lines.next().unwrap_or_default();
    let mut access_token = SESSION.access_tokens[0].clone();
    access_token.token = AccessToken::new(token());
    let (refresh_token, id_token) = (RefreshToken::new(token()), IdToken::new(token()));
    let session = SESSION.refreshed(access_token, Some(refresh_token), Some(id_token), NOW);
    let again = Session::decode(session.encode(WriteFormat::Zstd1)).expect("what was written is read");
    // In this order: the second read looks at what the first one left.
    assert_eq!(again.access_tokens[0].token.expose(), session.access_tokens[0].token.expose());
    assert!(again.refresh_token() == session.refresh_token() && again.id_token() == session.id_token());
    assert!(again == session);
}
