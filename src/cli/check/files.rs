//! Who may read and change the files that the configuration names.
//!
//! That others can read a secret is found while the configuration is read, and that they can read the key ring, by
//! reading it. Here is the rest: who could replace them, and whether the web server would hand them out.

use std::fs::{self, File, Metadata};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::{Report, Subject, Verdict};
use crate::config::Config;
use crate::web::static_site::StaticSettings;

const OTHERS_READ: u32 = 0o004;
const OTHERS_WRITE: u32 = 0o002;
/// In a folder with this bit only its owner can replace a file (`/tmp`).
const STICKY: u32 = 0o1000;
const PERMISSIONS: u32 = 0o7777;

pub(super) fn check(subject: &Subject<'_>, report: &mut Report) {
    let config = &subject.loaded.config;
    for file in &subject.loaded.secret_files {
        private_file(subject, &file.key, &file.path, report);
    }
    replaceable(subject, "keys.ring", &config.ring, report);
    for (key, path) in tls_keys(&subject.loaded.config) {
        replaceable(subject, &key, path, report);
    }
    subject.each_site(report, |site, report| {
        if let Some(StaticSettings::Folder { root, .. }) = &site.static_site {
            static_root(subject, root, report);
        }
    });
}

fn private_file(subject: &Subject<'_>, key: &str, path: &Path, report: &mut Report) {
    replaceable(subject, key, path, report);
    if let Some(mode) = mode(path).filter(|mode| mode & (OTHERS_READ | OTHERS_WRITE) == 0) {
        report.ok(key, format!("{} is not for others (mode {mode:04o})", path.display()));
    }
}

/// Whoever can write a file, or its folder, can put another in its place.
fn replaceable(subject: &Subject<'_>, key: &str, path: &Path, report: &mut Report) {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let is_open = |path: &Path| mode(path).is_some_and(|mode| mode & OTHERS_WRITE != 0 && mode & STICKY == 0);
    for path in [path, folder].into_iter().filter(|path| is_open(path)) {
        let shown = path.display();
        let message = format!("{shown} can be changed by every user of this machine; run `chmod o-w {shown}`");
        report.add(subject.loaded, Verdict::Warning, key, message);
    }
}

fn static_root(subject: &Subject<'_>, root: &Path, report: &mut Report) {
    const KEY: &str = "static.root";
    let index = root.join("index.html");
    let unreadable = [fs::read_dir(root).map(drop).err().map(|error| (root, error))]
        .into_iter()
        .chain([File::open(&index).map(drop).err().map(|error| (index.as_path(), error))])
        .flatten();
    let mut is_readable = true;
    for (path, error) in unreadable {
        is_readable = false;
        let message = format!("{} cannot be read: {error}; let this user read it", path.display());
        report.add(subject.loaded, Verdict::Error, KEY, message);
    }
    replaceable(subject, KEY, &index, report);
    let config = &subject.loaded.config;
    let secrets = subject.loaded.secret_files.iter().map(|file| &file.path);
    let keys: Vec<_> = tls_keys(config).collect();
    let served: Vec<_> = subject
        .files
        .iter()
        .chain([&config.ring])
        .chain(secrets)
        .chain(keys.iter().map(|(_, path)| *path))
        .filter(|path| lies_in(path, root))
        .collect();
    for path in &served {
        let message = format!("{} lies in {}, whose files everybody gets; move it out", path.display(), root.display());
        report.add(subject.loaded, Verdict::Error, KEY, message);
    }
    if is_readable && served.is_empty() {
        report.ok(KEY, format!("{} can be read, and holds none of our secrets", root.display()));
    }
}

/// The private keys of certificates, and the configuration's keys that name them.
fn tls_keys(config: &Config) -> impl Iterator<Item = (String, &PathBuf)> {
    let listener = config.server.tls.iter().map(|files| ("server.tls_key_file".to_owned(), &files.key));
    let routes = config.sites.iter().flat_map(|site| {
        site.routes.iter().enumerate().filter_map(|(index, route)| {
            let files = route.upstream_settings.tls.identity.as_ref()?;
            Some((site.key(&format!("routes[{index}].upstream_client_key_file")), &files.key))
        })
    });
    listener.chain(routes)
}

/// Whether the file lies below the folder, once all links are followed; a file that is not there lies nowhere.
fn lies_in(file: &Path, folder: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().ok();
    let places: Option<(PathBuf, PathBuf)> = real(file).zip(real(folder));
    places.is_some_and(|(file, folder)| file.starts_with(folder))
}

fn mode(path: &Path) -> Option<u32> {
    fs::metadata(path).ok().as_ref().map(Metadata::permissions).map(|permissions| permissions.mode() & PERMISSIONS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::check::tests::{Checked, Folder};

    #[test]
    fn a_private_secret_file_is_in_order() {
        Checked::new("", check).has(Verdict::Ok, "provider.client_secret_file", "is not for others (mode 0600)");
    }

    #[test]
    fn a_secret_or_a_ring_that_others_can_replace_is_a_warning() {
        let folder = Folder::new("");
        folder.set_mode("secret", 0o602);
        folder.set_mode("keys", 0o707);
        let checked = folder.check(check);
        checked.has(Verdict::Warning, "provider.client_secret_file", "secret can be changed by every user");
        checked.has(Verdict::Warning, "keys.ring", "keys can be changed by every user");
        folder.set_mode("keys", 0o1707);
        folder.check(check).has_none("keys.ring");
    }

    #[test]
    fn a_static_root_with_nothing_of_ours_is_in_order() {
        let folder = Folder::new("");
        folder.static_site("web");
        folder.check(check).has(Verdict::Ok, "static.root", "holds none of our secrets");
    }

    #[test]
    fn a_static_root_that_would_hand_out_our_secrets_is_an_error() {
        let folder = Folder::new("");
        folder.static_site(".");
        let checked = folder.check(check);
        for name in ["0.toml", "secret", "keys/ring.json"] {
            checked.has(Verdict::Error, "static.root", &format!("{name} lies in"));
        }
        let folder = Folder::new("");
        folder.static_site("web");
        std::os::unix::fs::symlink("..", folder.path("web/all")).expect("a link");
        folder.check(check).has(Verdict::Ok, "static.root", "can be read");
    }

    #[test]
    fn a_private_key_in_the_static_root_is_an_error() {
        let folder = Folder::new("");
        folder.static_site("web");
        std::fs::write(folder.path("web/tls.key"), "key").expect("the folder is ours");
        let (root, key) = (folder.path("web"), folder.path("web/tls.key"));
        folder.configure(&format!(
            "[server]\ntls_certificate_file = \"tls.crt\"\ntls_key_file = {key:?}\n[static]\nroot = {root:?}\n"
        ));
        folder.check(check).has(Verdict::Error, "static.root", "tls.key lies in");
    }

    #[test]
    fn a_static_root_that_anybody_can_change_is_a_warning() {
        let folder = Folder::new("");
        folder.static_site("web");
        folder.set_mode("web", 0o777);
        folder.check(check).has(Verdict::Warning, "static.root", "web can be changed by every user");
    }
}
