//! HAProxy, nginx and Envoy, each run with its recipe.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::{Child, Command};

/// A load balancer with recipes in `deploy/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Haproxy,
    Nginx,
    Envoy,
}

/// How a recipe chooses a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    Affinity,
    RoundRobin,
}

pub const KINDS: [Kind; 3] = [Kind::Haproxy, Kind::Nginx, Kind::Envoy];

/// What stands for the addresses and paths of a recipe.
#[derive(Clone, Debug)]
pub struct Places {
    /// `127.x.y.`, in place of `10.0.0.`.
    pub network: String,
    /// In place of 8080.
    pub port: u16,
    /// In place of 9090, which nginx does not ask.
    pub management_port: u16,
    /// 127.0.0.1 with this port, in place of every address with 443.
    pub https: u16,
    /// In place of 80.
    pub http: u16,
    /// A folder with `cert.pem`, `key.pem` and `both.pem`, where logs go too.
    pub folder: PathBuf,
}

impl Kind {
    /// The file of the recipe.
    pub fn recipe(self, choice: Choice) -> PathBuf {
        let choice = match choice {
            Choice::Affinity => "affinity",
            Choice::RoundRobin => "round-robin",
        };
        let name = match self {
            Self::Haproxy => format!("haproxy/sealgate-{choice}.cfg"),
            Self::Nginx => format!("nginx/sealgate-{choice}.conf"),
            Self::Envoy => format!("envoy/sealgate-{choice}.yaml"),
        };
        Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)
    }

    /// What is replaced: addresses, ports and paths, and in HAProxy whom it runs as, for that needs root.
    fn replacements(self, places: &Places) -> Vec<(String, String)> {
        let folder = places.folder.display();
        let mut all =
            vec![("10.0.0.".to_owned(), places.network.clone()), ("8080".to_owned(), places.port.to_string())];
        if self != Self::Nginx {
            all.push(("9090".to_owned(), places.management_port.to_string()));
        }
        let (https, http) = (places.https, places.http);
        all.extend(match self {
            Self::Haproxy => vec![
                ("bind :443".to_owned(), format!("bind 127.0.0.1:{https}")),
                ("bind :80".to_owned(), format!("bind 127.0.0.1:{http}")),
                ("/etc/haproxy/tls/app.example.com.pem".to_owned(), format!("{folder}/both.pem")),
                ("    user haproxy\n".to_owned(), String::new()),
                ("    group haproxy\n".to_owned(), String::new()),
                ("    chroot /var/lib/haproxy\n".to_owned(), String::new()),
            ],
            Self::Nginx => vec![
                ("listen 443".to_owned(), format!("listen 127.0.0.1:{https}")),
                ("listen 80;".to_owned(), format!("listen 127.0.0.1:{http};")),
                ("/etc/nginx/tls/app.example.com.crt".to_owned(), format!("{folder}/cert.pem")),
                ("/etc/nginx/tls/app.example.com.key".to_owned(), format!("{folder}/key.pem")),
                ("/var/log/nginx".to_owned(), folder.to_string()),
            ],
            Self::Envoy => vec![
                ("0.0.0.0, port_value: 443".to_owned(), format!("127.0.0.1, port_value: {https}")),
                ("0.0.0.0, port_value: 80}".to_owned(), format!("127.0.0.1, port_value: {http}}}")),
                ("port_value: 9901".to_owned(), "port_value: 0".to_owned()),
                ("/etc/envoy/tls/app.example.com.crt".to_owned(), format!("{folder}/cert.pem")),
                ("/etc/envoy/tls/app.example.com.key".to_owned(), format!("{folder}/key.pem")),
            ],
        });
        all
    }

    /// Writes the recipe with its replacements, and gives the file to start with.
    pub fn prepare(self, choice: Choice, places: &Places) -> PathBuf {
        let mut text = fs::read_to_string(self.recipe(choice)).expect("the recipe is there");
        for (from, to) in self.replacements(places) {
            assert!(text.contains(&from), "{}: nothing to replace for {from:?}", self.recipe(choice).display());
            text = text.replace(&from, &to);
        }
        let file = places.folder.join(self.recipe(choice).file_name().expect("a file"));
        fs::write(&file, text).expect("the folder is ours");
        if self == Self::Nginx { nginx_conf(&places.folder, &file) } else { file }
    }

    /// The command that checks a configuration.
    pub fn check(self, file: &Path) -> Command {
        let mut command = self.program();
        match self {
            Self::Haproxy => command.args(["-c", "-f"]),
            Self::Nginx => command.args(["-e", "stderr", "-t", "-c"]),
            Self::Envoy => command.args(["--mode", "validate", "-c"]),
        };
        command.arg(file);
        command
    }

    /// Starts it; it ends with the value. What it writes is in `balancer.log`.
    pub fn start(self, file: &Path, folder: &Path) -> Child {
        let mut command = self.program();
        match self {
            Self::Haproxy => command.args(["-db", "-f"]).arg(file),
            Self::Nginx => command.args(["-e", "stderr", "-c"]).arg(file),
            Self::Envoy => command.args(["--use-dynamic-base-id", "--concurrency", "2", "-c"]).arg(file),
        };
        let log = File::create(folder.join("balancer.log")).expect("the folder is ours");
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{self:?}: {error}; `make test` installs it"))
    }

    fn program(self) -> Command {
        let mut command = Command::new(match self {
            Self::Haproxy => PathBuf::from("haproxy"),
            Self::Nginx => PathBuf::from("nginx"),
            Self::Envoy => Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/.venv/bin/envoy"),
        });
        command.env("PATH", format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default()));
        command
    }
}

/// The recipe is for `conf.d`; this is the least that stands around it.
fn nginx_conf(folder: &Path, recipe: &Path) -> PathBuf {
    let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("{kind}_temp_path {}/{kind};\n", folder.display()))
        .collect();
    let text = format!(
        "daemon off; master_process off; pid {}/nginx.pid; error_log stderr warn;\nevents {{}}\nhttp {{\n{paths}include {};\n}}\n",
        folder.display(),
        recipe.display()
    );
    let file = folder.join("nginx.conf");
    fs::write(&file, text).expect("the folder is ours");
    file
}
