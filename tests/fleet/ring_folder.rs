//! A folder with a key ring as Kubernetes mounts a secret: `ring.json` → `..data/ring.json`, `..data` → a folder with a
//! time in its name, and updates swap `..data`.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

/// The mounted ring of one replica.
pub fn mount(ring: &Path, folder: &Path, replica: usize) -> PathBuf {
    let mounted = folder.join(format!("mounted-{replica}"));
    fs::create_dir(&mounted).expect("a new folder");
    symlink("..data/ring.json", mounted.join("ring.json")).expect("a new link");
    update(&mounted, &fs::read(ring).expect("the ring is readable"));
    mounted.join("ring.json")
}

/// Brings that content as the kubelet does it: a new folder, and the link renamed over the old one.
pub fn update(mounted: &Path, content: &[u8]) {
    let versions = fs::read_dir(mounted).expect("a folder").count();
    let version = format!("..2026_11_23_{versions}");
    fs::create_dir(mounted.join(&version)).expect("a new folder");
    let file = mounted.join(&version).join("ring.json");
    fs::write(&file, content).expect("a new file");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o440)).expect("a file of ours");
    symlink(&version, mounted.join("..data_tmp")).expect("a new link");
    fs::rename(mounted.join("..data_tmp"), mounted.join("..data")).expect("a link of ours");
}
