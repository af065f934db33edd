//! The configuration as serde reads it: every key optional, every value a [`Leaf`] of any type.
//!
//! Never leaves this folder; the typed configuration is made from it, with the defaults of the key definitions.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::leaf::Leaf;

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct RawConfig {
    pub(super) server: RawServer,
    pub(super) provider: Option<RawProvider>,
    pub(super) providers: Vec<RawProvider>,
    pub(super) session: RawSession,
    pub(super) csrf: RawCsrf,
    pub(super) keys: RawKeys,
    pub(super) routes: Vec<RawRoute>,
    pub(super) forward_auth: Option<RawForwardAuth>,
    pub(super) identity_jwt: Option<RawIdentityJwt>,
    #[serde(rename = "static")]
    pub(super) static_site: Option<RawStatic>,
    pub(super) security_headers: RawSecurityHeaders,
    /// Any names.
    pub(super) spa_settings: BTreeMap<String, Leaf>,
    pub(super) pages: RawPages,
    pub(super) log: RawLog,
    pub(super) sites: Vec<RawSite>,
}

/// What one site says; that of the short form is made from the top level.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct RawSite {
    pub(super) public_url: Option<Leaf>,
    pub(super) prefix: Option<Leaf>,
    pub(super) compat: Option<Leaf>,
    pub(super) compat_provider: Option<Leaf>,
    pub(super) provider: Option<RawProvider>,
    pub(super) providers: Vec<RawProvider>,
    pub(super) session: RawSession,
    pub(super) csrf: RawCsrf,
    pub(super) routes: Vec<RawRoute>,
    pub(super) forward_auth: Option<RawForwardAuth>,
    pub(super) identity_jwt: Option<RawIdentityJwt>,
    #[serde(rename = "static")]
    pub(super) static_site: Option<RawStatic>,
    pub(super) security_headers: RawSecurityHeaders,
    /// Any names.
    pub(super) spa_settings: BTreeMap<String, Leaf>,
    pub(super) pages: RawPages,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct RawServer {
    pub(super) listen: Option<Leaf>,
    pub(super) public_url: Option<Leaf>,
    pub(super) management_listen: Option<Leaf>,
    pub(super) prefix: Option<Leaf>,
    pub(super) compat: Option<Leaf>,
    pub(super) compat_provider: Option<Leaf>,
    pub(super) trusted_proxies: Option<Leaf>,
    pub(super) workers: Option<Leaf>,
    pub(super) public_health_path: Option<Leaf>,
    pub(super) tls_certificate_file: Option<Leaf>,
    pub(super) tls_key_file: Option<Leaf>,
    pub(super) client_timeout: Option<Leaf>,
    pub(super) keep_alive: Option<Leaf>,
    pub(super) drain_delay: Option<Leaf>,
    pub(super) drain_deadline: Option<Leaf>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct RawProvider {
    /// For one of several.
    pub(super) name: Option<Leaf>,
    pub(super) issuer: Option<Leaf>,
    pub(super) client_id: Option<Leaf>,
    pub(super) client_secret: Option<Leaf>,
    pub(super) client_secret_file: Option<Leaf>,
    pub(super) client_auth: Option<Leaf>,
    pub(super) client_key_file: Option<Leaf>,
    pub(super) client_key_id: Option<Leaf>,
    pub(super) client_assertion_algorithm: Option<Leaf>,
    pub(super) client_assertion_audience: Option<Leaf>,
    pub(super) scopes: Option<Leaf>,
    pub(super) pushed_authorization_requests: Option<Leaf>,
    pub(super) response_mode: Option<Leaf>,
    pub(super) prompt: Option<Leaf>,
    pub(super) max_age: Option<Leaf>,
    pub(super) acr_values: Option<Leaf>,
    pub(super) ui_locales: Option<Leaf>,
    pub(super) claims: Option<Leaf>,
    pub(super) resource: Option<Leaf>,
    pub(super) audience: Option<Leaf>,
    pub(super) authorization_parameters: Option<Leaf>,
    pub(super) ca_file: Option<Leaf>,
    pub(super) clock_skew: Option<Leaf>,
    pub(super) request_timeout: Option<Leaf>,
    pub(super) default_access_token_lifetime: Option<Leaf>,
    pub(super) id_token_algorithms: Option<Leaf>,
    pub(super) trusted_audiences: Option<Leaf>,
    pub(super) userinfo: Option<Leaf>,
    pub(super) passthrough_parameters: Option<Leaf>,
    pub(super) allowed_groups: Option<Leaf>,
    pub(super) allowed_email_domains: Option<Leaf>,
    pub(super) preset: Option<Leaf>,
    pub(super) allowed_tenants: Option<Leaf>,
    pub(super) groups_claim: Option<Leaf>,
    pub(super) logout_url: Option<Leaf>,
    pub(super) post_logout_redirect_uri: Option<Leaf>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct RawSession {
    pub(super) cookie_name: Option<Leaf>,
    pub(super) same_site: Option<Leaf>,
    pub(super) idle_timeout: Option<Leaf>,
    pub(super) absolute_timeout: Option<Leaf>,
    pub(super) refresh_before: Option<Leaf>,
    pub(super) persistent: Option<Leaf>,
    pub(super) user_format: Option<Leaf>,
    pub(super) anonymous_user_status: Option<Leaf>,
    pub(super) write_format: Option<Leaf>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct RawCsrf {
    pub(super) header: Option<Leaf>,
    pub(super) value: Option<Leaf>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct RawKeys {
    pub(super) ring: Option<Leaf>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct RawRoute {
    pub(super) path: Option<Leaf>,
    pub(super) upstream: Option<Leaf>,
    pub(super) auth: Option<Leaf>,
    pub(super) providers: Option<Leaf>,
    pub(super) csrf: Option<Leaf>,
    pub(super) on_signed_out: Option<Leaf>,
    pub(super) methods: Option<Leaf>,
    pub(super) forward_cookies: Option<Leaf>,
    pub(super) connect_timeout: Option<Leaf>,
    pub(super) first_byte_timeout: Option<Leaf>,
    pub(super) idle_timeout: Option<Leaf>,
    pub(super) balance: Option<Leaf>,
    pub(super) eject_after: Option<Leaf>,
    pub(super) eject_for: Option<Leaf>,
    pub(super) max_connections: Option<Leaf>,
    pub(super) max_waiting: Option<Leaf>,
    pub(super) keep_alive: Option<Leaf>,
    pub(super) upstream_ca_file: Option<Leaf>,
    pub(super) upstream_client_certificate_file: Option<Leaf>,
    pub(super) upstream_client_key_file: Option<Leaf>,
    pub(super) upstream_server_name: Option<Leaf>,
    pub(super) health_path: Option<Leaf>,
    pub(super) health_interval: Option<Leaf>,
    pub(super) health_timeout: Option<Leaf>,
    pub(super) health_failures: Option<Leaf>,
    pub(super) health_successes: Option<Leaf>,
    pub(super) host: Option<Leaf>,
    pub(super) host_override: Option<Leaf>,
    pub(super) strip_prefix: Option<Leaf>,
    pub(super) replace_prefix: Option<Leaf>,
    pub(super) max_body_size: Option<Leaf>,
    pub(super) groups_claim: Option<Leaf>,
    pub(super) roles_claim: Option<Leaf>,
    pub(super) header_preset: Option<Leaf>,
    pub(super) headers: Option<Leaf>,
    pub(super) token: Option<Leaf>,
    pub(super) scopes: Option<Leaf>,
    pub(super) resource: Option<Leaf>,
    pub(super) audience: Option<Leaf>,
    pub(super) identity_jwt: Option<Leaf>,
    pub(super) identity_jwt_audience: Option<Leaf>,
    pub(super) issuers: Vec<RawIssuer>,
    pub(super) rules: Vec<RawRule>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct RawIssuer {
    pub(super) issuer: Option<Leaf>,
    pub(super) audience: Option<Leaf>,
    pub(super) algorithms: Option<Leaf>,
    pub(super) required_scopes: Option<Leaf>,
    pub(super) required_claims: Option<Leaf>,
    pub(super) clock_skew: Option<Leaf>,
    pub(super) jwks_uri: Option<Leaf>,
    pub(super) require_at_jwt: Option<Leaf>,
    pub(super) ca_file: Option<Leaf>,
    pub(super) introspection: Option<Leaf>,
    pub(super) client_id: Option<Leaf>,
    pub(super) client_secret: Option<Leaf>,
    pub(super) client_secret_file: Option<Leaf>,
    pub(super) introspection_cache: Option<Leaf>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct RawRule {
    pub(super) methods: Option<Leaf>,
    pub(super) required_claims: Option<Leaf>,
    pub(super) required_scopes: Option<Leaf>,
    pub(super) required_groups: Option<Leaf>,
    pub(super) required_roles: Option<Leaf>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct RawForwardAuth {
    pub(super) proxy: Option<Leaf>,
    pub(super) secret: Option<Leaf>,
    pub(super) secret_file: Option<Leaf>,
    pub(super) csrf: Option<Leaf>,
    pub(super) access_token: Option<Leaf>,
    pub(super) forward_cookies: Option<Leaf>,
    pub(super) header_preset: Option<Leaf>,
    pub(super) headers: Option<Leaf>,
    pub(super) groups_claim: Option<Leaf>,
    pub(super) roles_claim: Option<Leaf>,
    pub(super) identity_jwt: Option<Leaf>,
    pub(super) identity_jwt_audience: Option<Leaf>,
    pub(super) rules: Vec<RawRule>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct RawIdentityJwt {
    pub(super) signing_key_file: Option<Leaf>,
    pub(super) verification_keys_file: Option<Leaf>,
    pub(super) header: Option<Leaf>,
    pub(super) lifetime: Option<Leaf>,
    pub(super) claims: Option<Leaf>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct RawStatic {
    pub(super) root: Option<Leaf>,
    pub(super) immutable_paths: Option<Leaf>,
    pub(super) dev_server: Option<Leaf>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct RawSecurityHeaders {
    pub(super) content_security_policy: Option<Leaf>,
    pub(super) strict_transport_security: Option<Leaf>,
    pub(super) referrer_policy: Option<Leaf>,
    pub(super) permissions_policy: Option<Leaf>,
    pub(super) cross_origin_opener_policy: Option<Leaf>,
    pub(super) cross_origin_resource_policy: Option<Leaf>,
    pub(super) x_content_type_options: Option<Leaf>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct RawPages {
    pub(super) templates: Option<Leaf>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct RawLog {
    pub(super) format: Option<Leaf>,
    pub(super) level: Option<Leaf>,
    pub(super) access_buffer: Option<Leaf>,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fmt;

    use serde::de::{Deserializer, Error, Visitor};
    use serde::forward_to_deserialize_any;

    use super::*;
    use crate::config::definitions::{Form, SECTIONS, of_site, site_sections};

    /// Hands out, as an error, the names of the fields that a derived struct reads.
    struct FieldsProbe;

    #[derive(Debug)]
    struct Fields(Vec<&'static str>);

    impl fmt::Display for Fields {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{:?}", self.0)
        }
    }

    impl std::error::Error for Fields {}

    impl Error for Fields {
        fn custom<T: fmt::Display>(_: T) -> Self {
            Self(Vec::new())
        }
    }

    impl<'de> Deserializer<'de> for FieldsProbe {
        type Error = Fields;

        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Fields> {
            Err(Fields(Vec::new()))
        }

        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            fields: &'static [&'static str],
            _: V,
        ) -> Result<V::Value, Fields> {
            Err(Fields(fields.to_vec()))
        }

        forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
            newtype_struct seq tuple tuple_struct map enum identifier ignored_any
        }
    }

    fn fields<'de, T: Deserialize<'de>>() -> BTreeSet<&'static str> {
        match T::deserialize(FieldsProbe) {
            Ok(_) => BTreeSet::new(),
            Err(Fields(fields)) => fields.into_iter().collect(),
        }
    }

    /// Without the sections that stand in it.
    fn own(fields: BTreeSet<&'static str>) -> BTreeSet<&'static str> {
        let (sections, own) = fields.into_iter().partition::<BTreeSet<_>, _>(|name| of_site(name));
        assert_eq!(sections, site_sections().map(|section| section.name).collect());
        own
    }

    #[test]
    fn the_definitions_name_exactly_the_keys_that_are_read() {
        let read = [
            ("server", fields::<RawServer>()),
            ("provider", &fields::<RawProvider>() - &BTreeSet::from(["name"])),
            ("session", fields::<RawSession>()),
            ("csrf", fields::<RawCsrf>()),
            ("keys", fields::<RawKeys>()),
            ("routes", fields::<RawRoute>()),
            ("routes.issuers", fields::<RawIssuer>()),
            ("routes.rules", fields::<RawRule>()),
            ("forward_auth", fields::<RawForwardAuth>()),
            ("forward_auth.rules", fields::<RawRule>()),
            ("identity_jwt", fields::<RawIdentityJwt>()),
            ("static", fields::<RawStatic>()),
            ("security_headers", fields::<RawSecurityHeaders>()),
            // Any names, so that there are none to define.
            ("spa_settings", BTreeSet::new()),
            ("pages", fields::<RawPages>()),
            ("log", fields::<RawLog>()),
            ("sites", own(fields::<RawSite>())),
            // The rest is that of [provider].
            ("providers", BTreeSet::from(["name"])),
        ];
        let outermost = SECTIONS.iter().filter(|section| section.form != Form::ListWithin);
        assert_eq!(fields::<RawConfig>(), outermost.map(|section| section.name).collect());
        assert_eq!(read.len(), SECTIONS.len());
        for (name, fields) in read {
            let section = SECTIONS.iter().find(|section| section.name == name).expect("compared above");
            let within = SECTIONS.iter().filter_map(|other| other.name.strip_prefix(name)?.strip_prefix('.'));
            assert_eq!(fields, section.keys.iter().map(|key| key.name).chain(within).collect(), "[{name}]");
        }
    }
}
