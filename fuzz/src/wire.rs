//! What is inside the seal: any bytes decode or are refused, and what decodes encodes and decodes to the same.

use sealgate::session::Session;
use sealgate::session::login_transaction::LoginTransaction;
use sealgate::session::seen::Seen;
use sealgate::session::tombstone::Tombstone;

/// Reads the input as each kind of plaintext.
pub fn run(data: &[u8]) {
    if let Ok(session) = Session::decode(data) {
        assert!(Session::decode(&session.encode()).is_ok_and(|again| again == session), "{session:?}");
        let smaller = session.without_id_token();
        assert!(Session::decode(&smaller.encode()).is_ok_and(|again| again == smaller), "{smaller:?}");
        assert_eq!(smaller.claims(), session.claims());
    }
    if let Ok(transaction) = LoginTransaction::decode(data) {
        let again = LoginTransaction::decode(&transaction.encode());
        assert!(again.is_ok_and(|again| again == transaction), "{transaction:?}");
    }
    if let Ok(tombstone) = Tombstone::decode(data) {
        let again = Tombstone::decode(&tombstone.encode());
        assert!(again.is_ok_and(|again| again == tombstone), "{tombstone:?}");
    }
    if let Ok(seen) = Seen::decode(data) {
        assert!(Seen::decode(&seen.encode()).is_ok_and(|again| again == seen), "{seen:?}");
    }
}
