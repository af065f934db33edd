//! The people who can sign in at the demo provider. Their passwords are public: the login page prints them.

/// One person, with the claims that an ID token will carry.
#[derive(Debug)]
pub struct User {
    /// The subject identifier: never changes and is never given to anybody else (OpenID Connect Core §2).
    pub sub: &'static str,
    /// What to type as the user name.
    pub username: &'static str,
    /// What to type as the password.
    pub password: &'static str,
    /// The full name.
    pub name: &'static str,
    /// The mail address.
    pub email: &'static str,
    /// The groups.
    pub groups: &'static [&'static str],
}

/// Everybody.
pub const USERS: [User; 2] = [
    User {
        sub: "demo-1815-ada",
        username: "ada",
        password: "lovelace",
        name: "Ada Lovelace",
        email: "ada@example.com",
        groups: &["engineering"],
    },
    User {
        sub: "demo-1906-grace",
        username: "grace",
        password: "hopper",
        name: "Grace Hopper",
        email: "grace@example.com",
        groups: &["engineering", "admins"],
    },
];

/// Who has this name and this password.
pub fn authenticate(username: &str, password: &str) -> Option<&'static User> {
    USERS.iter().find(|user| user.username == username.trim() && user.password == password)
}

/// Who has this subject identifier.
pub fn by_sub(sub: &str) -> Option<&'static User> {
    USERS.iter().find(|user| user.sub == sub)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_signs_in_with_the_own_password_only() {
        assert_eq!(authenticate("ada", "lovelace").map(|user| user.name), Some("Ada Lovelace"));
        assert!(authenticate("ada", "hopper").is_none());
        assert!(authenticate("ada", "").is_none());
        assert!(authenticate("charles", "babbage").is_none());
    }
}
