//! Synthetic tokens in the shapes of six providers: the claim names, value formats and lengths that their
//! documentation shows; every identifier, signature and opaque token random, from a seed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// What a login brings.
pub struct Sample {
    /// The provider's product name.
    pub provider: &'static str,
    /// The issuer.
    pub issuer: String,
    /// Our client identifier there.
    pub client_id: String,
    /// The granted scopes.
    pub scope: String,
    /// The access token.
    pub access_token: String,
    /// The refresh token.
    pub refresh_token: String,
    /// The ID token.
    pub id_token: String,
}

/// Makes one sample from a seed.
pub type Maker = fn(&mut Random) -> Sample;

/// The six, in the order of the documentation's table.
pub const PROVIDERS: [Maker; 6] = [entra_id, keycloak, auth0, okta, google, cognito];

/// Random values that are the same for the same seed, on every machine and with every release of every crate
/// (SplitMix64).
pub struct Random(u64);

impl Random {
    /// Begins at `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[usize::try_from(self.below(from.len() as u64)).unwrap_or(0)]
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next().to_le_bytes()[0]).collect()
    }

    fn text(&mut self, alphabet: &[u8], length: usize) -> String {
        (0..length).map(|_| char::from(alphabet[self.below(alphabet.len() as u64) as usize])).collect()
    }

    pub fn base64url(&mut self, characters: usize) -> String {
        self.text(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", characters)
    }

    fn alphanumeric(&mut self, characters: usize) -> String {
        self.text(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", characters)
    }

    fn lower(&mut self, characters: usize) -> String {
        self.text(b"abcdefghijklmnopqrstuvwxyz0123456789", characters)
    }

    fn digits(&mut self, characters: usize) -> String {
        self.text(b"0123456789", characters)
    }

    fn hex(&mut self, characters: usize) -> String {
        self.text(b"0123456789abcdef", characters)
    }

    fn uuid(&mut self) -> String {
        let groups = [self.hex(8), self.hex(4), format!("4{}", self.hex(3)), format!("a{}", self.hex(3)), self.hex(12)];
        groups.join("-")
    }

    fn now(&mut self) -> u64 {
        1_795_000_000 + self.below(30_000_000)
    }

    fn person(&mut self) -> Person {
        let given =
            self.pick(&["Ada", "Grace", "Edsger", "Barbara", "Donald", "Margaret", "Radia", "Niklaus", "Frances"]);
        let family = self.pick(&["Lovelace", "Hopper", "Dijkstra", "Liskov", "Knuth", "Hamilton", "Perlman", "Wirth"]);
        let company = self.pick(&["contoso", "fabrikam", "northwind", "initech", "umbrella", "wayne-industries"]);
        Person { given, family, company }
    }
}

struct Person {
    given: &'static str,
    family: &'static str,
    company: &'static str,
}

impl Person {
    fn name(&self) -> String {
        format!("{} {}", self.given, self.family)
    }

    fn user_name(&self) -> String {
        format!("{}.{}", self.given, self.family).to_lowercase()
    }

    fn email(&self) -> String {
        format!("{}@{}.com", self.user_name(), self.company)
    }
}

const RS256: usize = 256;

fn jwt(header: &Value, payload: &Value, signature: &[u8]) -> String {
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    format!(
        "{}.{}.{}",
        encode(header.to_string().as_bytes()),
        encode(payload.to_string().as_bytes()),
        encode(signature)
    )
}

fn entra_id(random: &mut Random) -> Sample {
    let (tenant, client, api, object) = (random.uuid(), random.uuid(), random.uuid(), random.uuid());
    let (now, person, kid, session) = (random.now(), random.person(), random.base64url(27), random.uuid());
    let issuer = format!("https://login.microsoftonline.com/{tenant}/v2.0");
    let groups: Vec<String> = (0..3).map(|_| random.uuid()).collect();
    let rh = format!("1.A{}.", random.base64url(46));
    let header = json!({"typ": "JWT", "alg": "RS256", "kid": kid});
    let access = json!({
        "aud": api, "iss": issuer, "iat": now, "nbf": now, "exp": now + 4_871, "acct": 0, "acr": "1",
        "aio": random.base64url(68), "amr": ["pwd", "mfa"], "azp": client, "azpacr": "1",
        "email": person.email(), "family_name": person.family, "given_name": person.given,
        "groups": groups, "name": person.name(), "oid": object,
        "preferred_username": person.email(), "rh": rh, "roles": ["Orders.Read", "Orders.Approve"],
        "scp": "Orders.Read Orders.Write access_as_user", "sid": session, "sub": random.base64url(43), "tid": tenant,
        "uti": random.base64url(22), "ver": "2.0", "xms_ftd": random.base64url(44),
    });
    let id = json!({
        "aud": client, "iss": issuer, "iat": now, "nbf": now, "exp": now + 3_900, "aio": random.base64url(112),
        "email": person.email(), "name": person.name(), "nonce": random.base64url(43),
        "oid": object, "preferred_username": person.email(), "rh": rh, "sid": session,
        "sub": random.base64url(43), "tid": tenant, "uti": random.base64url(22), "ver": "2.0",
    });
    Sample {
        provider: "Entra ID",
        scope: format!("openid profile offline_access api://{api}/Orders.Read api://{api}/Orders.Write"),
        access_token: jwt(&header, &access, &random.bytes(RS256)),
        refresh_token: format!("1.A{}.{}", random.base64url(46), random.base64url(900)),
        id_token: jwt(&header, &id, &random.bytes(RS256)),
        issuer,
        client_id: client,
    }
}

fn keycloak(random: &mut Random) -> Sample {
    let (now, person, kid, session) = (random.now(), random.person(), random.base64url(43), random.uuid());
    let issuer = format!("https://sso.{}.com/realms/{}", person.company, person.company);
    let (client, subject) = ("spa-bff".to_owned(), random.uuid());
    let header = json!({"alg": "RS256", "typ": "JWT", "kid": kid});
    let scope = "openid offline_access email profile";
    let profile = |claims: &mut Value| {
        for (name, value) in [
            ("email_verified", json!(true)),
            ("name", json!(person.name())),
            ("preferred_username", json!(person.user_name())),
            ("given_name", json!(person.given)),
            ("family_name", json!(person.family)),
            ("email", json!(person.email())),
        ] {
            claims[name] = value;
        }
    };
    let mut access = json!({
        "exp": now + 300, "iat": now, "auth_time": now - 1, "jti": format!("onrtac:{}", random.uuid()), "iss": issuer, "aud": ["orders-api", "account"],
        "sub": subject, "typ": "Bearer", "azp": client, "sid": session, "acr": "1",
        "allowed-origins": [format!("https://app.{}.com", person.company)],
        "realm_access": {"roles": [format!("default-roles-{}", person.company), "offline_access", "uma_authorization", "order-manager"]},
        "resource_access": {
            "orders-api": {"roles": ["orders-read", "orders-write"]},
            "account": {"roles": ["manage-account", "manage-account-links", "view-profile"]},
        },
        "scope": scope,
    });
    profile(&mut access);
    let mut id = json!({
        "exp": now + 300, "iat": now, "auth_time": now - 1, "jti": random.uuid(), "iss": issuer, "aud": client,
        "sub": subject, "typ": "ID", "azp": client, "nonce": random.base64url(43), "sid": session,
        "at_hash": random.base64url(22), "acr": "1",
    });
    profile(&mut id);
    let refresh_header = json!({"alg": "HS512", "typ": "JWT", "kid": random.uuid()});
    let refresh = json!({
        "exp": now + 1_800, "iat": now, "jti": random.uuid(), "iss": issuer, "aud": issuer, "sub": subject, "typ": "Offline",
        "azp": client, "sid": session, "scope": format!("{scope} web-origins acr roles basic"),
    });
    Sample {
        provider: "Keycloak",
        scope: scope.to_owned(),
        access_token: jwt(&header, &access, &random.bytes(RS256)),
        refresh_token: jwt(&refresh_header, &refresh, &random.bytes(64)),
        id_token: jwt(&header, &id, &random.bytes(RS256)),
        issuer,
        client_id: client,
    }
}

fn auth0(random: &mut Random) -> Sample {
    let (now, person, kid, client) = (random.now(), random.person(), random.base64url(21), random.alphanumeric(32));
    let issuer = format!("https://{}.eu.auth0.com/", person.company);
    let subject = format!("auth0|{}", random.hex(24));
    let header = json!({"alg": "RS256", "typ": "JWT", "kid": kid});
    let scope = "openid profile email offline_access read:orders write:orders";
    let access = json!({
        "iss": issuer, "sub": subject, "aud": [format!("https://api.{}.com", person.company), format!("{issuer}userinfo")],
        "iat": now, "exp": now + 86_400, "scope": scope, "azp": client,
        "permissions": ["read:orders", "write:orders"],
    });
    let id = json!({
        "given_name": person.given, "family_name": person.family,
        "nickname": person.user_name(), "name": person.name(),
        "picture": format!("https://s.gravatar.com/avatar/{}?s=480&r=pg&d=https%3A%2F%2Fcdn.auth0.com%2Favatars%2Fal.png", random.hex(32)),
        "updated_at": format!("2026-11-{:02}T{:02}:{:02}:{:02}.{:03}Z", 1 + random.below(28), random.below(24), random.below(60), random.below(60), random.below(1000)),
        "email": person.email(), "email_verified": true, "iss": issuer, "aud": client, "sub": subject,
        "iat": now, "exp": now + 36_000, "sid": random.base64url(32), "nonce": random.base64url(43),
    });
    Sample {
        provider: "Auth0",
        scope: scope.to_owned(),
        access_token: jwt(&header, &access, &random.bytes(RS256)),
        refresh_token: format!("v1.M{}", random.base64url(64)),
        id_token: jwt(&header, &id, &random.bytes(RS256)),
        issuer,
        client_id: client,
    }
}

fn okta(random: &mut Random) -> Sample {
    let (now, person, kid) = (random.now(), random.person(), random.base64url(43));
    let issuer = format!("https://{}.okta.com/oauth2/default", person.company);
    let (client, user) = (format!("0oa{}", random.alphanumeric(17)), format!("00u{}", random.alphanumeric(17)));
    let scope = "offline_access openid profile email";
    let access = json!({
        "ver": 1, "jti": format!("AT.{}.oar{}", random.base64url(43), random.alphanumeric(17)), "iss": issuer,
        "aud": "api://default", "iat": now, "exp": now + 3_600, "cid": client, "uid": user,
        "scp": ["offline_access", "openid", "profile", "email"], "auth_time": now - 2, "sub": person.email(),
        "groups": ["Everyone", "Order Managers"],
    });
    let id = json!({
        "sub": user, "name": person.name(), "email": person.email(), "ver": 1, "iss": issuer, "aud": client,
        "iat": now, "exp": now + 3_600, "jti": format!("ID.{}", random.base64url(43)), "amr": ["mfa", "otp", "pwd"],
        "idp": format!("00o{}", random.alphanumeric(17)), "nonce": random.base64url(43),
        "preferred_username": person.email(), "auth_time": now - 2, "at_hash": random.base64url(22),
    });
    Sample {
        provider: "Okta",
        scope: scope.to_owned(),
        access_token: jwt(
            &json!({"kid": kid, "typ": "application/okta-internal-at+jwt", "alg": "RS256"}),
            &access,
            &random.bytes(RS256),
        ),
        refresh_token: random.base64url(43),
        id_token: jwt(&json!({"kid": kid, "alg": "RS256"}), &id, &random.bytes(RS256)),
        issuer,
        client_id: client,
    }
}

fn google(random: &mut Random) -> Sample {
    let (now, person, subject) = (random.now(), random.person(), format!("1{}", random.digits(20)));
    let client = format!("{}-{}.apps.googleusercontent.com", random.digits(12), random.lower(32));
    let id = json!({
        "iss": "https://accounts.google.com", "azp": client, "aud": client, "sub": subject,
        "hd": format!("{}.com", person.company), "email": person.email(), "email_verified": true,
        "at_hash": random.base64url(22), "nonce": random.base64url(43), "name": person.name(),
        "picture": format!("https://lh3.googleusercontent.com/a/ACg8oc{}=s96-c", random.base64url(48)),
        "given_name": person.given, "family_name": person.family, "iat": now, "exp": now + 3_599,
    });
    Sample {
        provider: "Google",
        issuer: "https://accounts.google.com".to_owned(),
        scope: "openid https://www.googleapis.com/auth/userinfo.email https://www.googleapis.com/auth/userinfo.profile"
            .to_owned(),
        access_token: format!("ya29.a0{}", random.base64url(211)),
        refresh_token: format!("1//0{}", random.base64url(99)),
        id_token: jwt(&json!({"alg": "RS256", "kid": random.hex(40), "typ": "JWT"}), &id, &random.bytes(RS256)),
        client_id: client,
    }
}

fn cognito(random: &mut Random) -> Sample {
    let (now, person, subject, client) = (random.now(), random.person(), random.uuid(), random.lower(26));
    let region = random.pick(&["eu-central-1", "us-east-1", "eu-west-1", "us-west-2", "ap-southeast-2"]);
    let issuer = format!("https://cognito-idp.{region}.amazonaws.com/{region}_{}", random.alphanumeric(9));
    let (origin, event) = (random.uuid(), random.uuid());
    let access = json!({
        "sub": subject, "cognito:groups": ["order-managers", "staff"], "iss": issuer, "version": 2, "client_id": client,
        "origin_jti": origin, "event_id": event, "token_use": "access",
        "scope": "openid profile email orders/read orders/write", "auth_time": now, "exp": now + 3_600, "iat": now,
        "jti": random.uuid(), "username": subject,
    });
    let id = json!({
        "at_hash": random.base64url(22), "sub": subject, "cognito:groups": ["order-managers", "staff"],
        "email_verified": true, "iss": issuer, "cognito:username": subject, "given_name": person.given,
        "nonce": random.base64url(43), "origin_jti": origin, "aud": client, "event_id": event, "token_use": "id",
        "auth_time": now, "name": person.name(), "exp": now + 3_600, "iat": now, "family_name": person.family,
        "jti": random.uuid(), "email": person.email(),
    });
    let part = |bytes: Vec<u8>| URL_SAFE_NO_PAD.encode(bytes);
    let jwe_header = json!({"cty": "JWT", "enc": "A256GCM", "alg": "RSA-OAEP"});
    let refresh_token = [
        URL_SAFE_NO_PAD.encode(jwe_header.to_string()),
        part(random.bytes(256)),
        part(random.bytes(12)),
        part(random.bytes(900)),
        part(random.bytes(16)),
    ]
    .join(".");
    Sample {
        provider: "Cognito",
        scope: "openid profile email orders/read orders/write".to_owned(),
        access_token: jwt(&json!({"kid": part(random.bytes(32)) , "alg": "RS256"}), &access, &random.bytes(RS256)),
        refresh_token,
        id_token: jwt(&json!({"kid": part(random.bytes(32)), "alg": "RS256"}), &id, &random.bytes(RS256)),
        issuer,
        client_id: client,
    }
}
