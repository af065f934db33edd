//! Which logins are being completed at this moment: a code is redeemed once, even when its callback comes twice at once.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::session::login_transaction::LoginTransaction;

/// The logins under completion in this replica.
#[derive(Default)]
pub struct Redemptions(Mutex<HashSet<String>>);

/// The right to complete one login; it ends with the drop.
pub struct Turn<'a> {
    all: &'a Redemptions,
    login: String,
}

impl Redemptions {
    /// The right to complete the login of `state`; none while another request has it.
    pub fn begin(&self, state: &str) -> Option<Turn<'_>> {
        // Not the state itself, which is secret.
        let login = LoginTransaction::name_suffix(state);
        let is_first = self.logins().insert(login.clone());
        // Only then a turn is made at all: its drop would end the other request's.
        is_first.then(|| Turn { all: self, login })
    }

    fn logins(&self) -> MutexGuard<'_, HashSet<String>> {
        // The set is whole between any two statements under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.all.logins().remove(&self.login);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_completed_by_one_request_at_a_time() {
        let redemptions = Redemptions::default();
        let first = redemptions.begin("state");
        assert!(first.is_some() && redemptions.begin("state").is_none());
        assert!(redemptions.begin("another").is_some());
        drop(first);
        assert!(redemptions.begin("state").is_some());
    }
}
