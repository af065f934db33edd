//! The keys of `[[routes.rules]]`.

use super::{Form, KeyDefinition, Preset, SectionDefinition};

pub(super) const RULES: SectionDefinition = SectionDefinition {
    name: "routes.rules",
    form: Form::ListWithin,
    doc: "\
What a route asks of its users beyond that there are any; one table a rule. All rules that are for the request's
method must be kept; otherwise 403. Claims are the ID token's, or with auth = \"bearer\" the access token's. Values
are compared whole; of a claim that is a list, each element is one. Instead of a list write { any = [...] } or
{ all = [...] } where the other meaning is wanted.",
    keys: &[
        KeyDefinition {
            name: "methods",
            unit: "list of methods",
            preset: Preset::Default("[]"),
            doc: "The methods that the rule is for. Empty: all. One for GET is for HEAD too.",
        },
        KeyDefinition {
            name: "required_claims",
            unit: "table of claim = list of values",
            preset: Preset::Optional(r#"{ department = ["sales", "support"] }"#),
            doc: "\
Claims that the user must have, each with one of its values. A claim within another is named with dots, in quotes:
\"realm_access.roles\".",
        },
        KeyDefinition {
            name: "required_scopes",
            unit: "list of scopes",
            preset: Preset::Optional(r#"["orders.write"]"#),
            doc: "Scopes that the access token must have, all of them.",
        },
        KeyDefinition {
            name: "required_groups",
            unit: "list of texts",
            preset: Preset::Optional(r#"["staff"]"#),
            doc: "Groups of which the user must be in one (the claim that groups_claim names).",
        },
        KeyDefinition {
            name: "required_roles",
            unit: "list of texts",
            preset: Preset::Optional(r#"["editor", "admin"]"#),
            doc: "Roles of which the user must have one (the claim that roles_claim names).",
        },
    ],
};
