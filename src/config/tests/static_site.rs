//! The single-page app's sections.

use serde_json::json;

use super::*;

const LOOPBACK: &str = "http://127.0.0.1:8080";

fn on_loopback(more: &str) -> Fixture {
    Fixture::new(&[&format!("{}{more}", MINIMAL.replace("https://app.example.com", LOOPBACK))])
}

#[test]
fn a_dev_server_is_for_loopback_and_takes_the_place_of_the_root() {
    const DEV: &str = "[static]\ndev_server = \"http://127.0.0.1:5173\"\n";
    let finding = extended(DEV).only_finding();
    assert!(finding.contains("static.dev_server: is for development"), "{finding}");
    let loaded = on_loopback(DEV).load().expect("a valid configuration");
    assert!(matches!(loaded.config.sites[0].static_site, Some(StaticSettings::DevServer(_))));
    assert!(loaded.warnings.iter().any(|finding| finding.key == "static.dev_server"), "{:?}", loaded.warnings);
}

#[test]
fn a_section_with_neither_root_nor_dev_server_lacks_one() {
    let finding = extended("[static]\n").only_finding();
    assert!(finding.contains("static.root: is missing; set it, for example root = \"web/dist\""), "{finding}");
}

#[test]
fn the_app_s_settings_are_strings_numbers_and_booleans() {
    let settings = "[spa_settings]\ntitle = \"Orders\"\nfactor = 1.5\npage_size = 20\nbeta = true\n";
    let fixture = extended(settings).with("SEALGATE__SPA_SETTINGS__BETA", "false");
    let expected = json!({"beta": false, "factor": 1.5, "page_size": 20, "title": "Orders"});
    assert_eq!(serde_json::Value::Object(fixture.config().spa_settings), expected);
    let finding = extended("[spa_settings]\nlist = [1]\n").only_finding();
    assert!(finding.contains("spa_settings.list: must be a string, a number or a boolean, not a list"), "{finding}");
}

#[test]
fn a_setting_with_the_name_of_a_secret_is_doubted() {
    let finding = extended("[spa_settings]\nclient_secret = \"hunter2\"\n").only_finding();
    assert!(finding.contains("spa_settings.client_secret: is public") && !finding.contains("hunter2"), "{finding}");
}

#[test]
fn a_header_can_be_changed_and_left_out() {
    let config = extended("[security_headers]\nreferrer_policy = \"\"\nx_content_type_options = \"other\"\n").config();
    let value =
        |name: &str| config.security_headers.others.iter().find(|(known, _)| known == name).map(|(_, v)| v.as_str());
    assert_eq!((value("referrer-policy"), value("x-content-type-options")), (Some(""), Some("other")));
    assert_eq!(value("cross-origin-opener-policy"), Some("same-origin"));
    assert!(config.security_headers.content_security_policy.contains("script-src 'nonce-{nonce}';"));
    assert!(extended("[security_headers]\nreferrer_policy = \"a\\nb\"\n").only_finding().contains("visible ASCII"));
}

#[test]
fn mistakes_in_templates_are_findings() {
    let fixture = extended("");
    fixture.write("page.html", "{{ titel }}");
    let fixture =
        Fixture { environment: vec![("SEALGATE__PAGES__TEMPLATES".into(), fixture.folder.path().into())], ..fixture };
    let finding = fixture.only_finding();
    assert!(finding.contains("pages.templates: the template page.html, line 1: undefined value"), "{finding}");
}
