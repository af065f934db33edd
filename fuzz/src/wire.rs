//! What is inside the seal: any bytes decode or are refused, and what decodes encodes and decodes to the same.

use sealgate::session::login_transaction::LoginTransaction;
use sealgate::session::seen::Seen;
use sealgate::session::tombstone::Tombstone;
use sealgate::session::{Session, WriteFormat};

/// Reads the input as each kind of plaintext.
pub fn run(data: &[u8]) {
    if let Ok(session) = Session::decode(data.to_vec()) {
        let smaller = session.without_id_token();
        assert_eq!(smaller.claims(), session.claims());
        for session in [session, smaller] {
            for format in [WriteFormat::Plain, WriteFormat::Zstd1] {
                let again = Session::decode(session.encode(format)).expect("what was written is read");
                // Members of later releases may move between the two maps of a compressed payload.
                let same = again.encode(WriteFormat::Plain) == session.encode(WriteFormat::Plain);
                assert!(same, "{session:?} as {format:?}");
            }
        }
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
