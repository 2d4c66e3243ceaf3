//! Docker as the tests use it: the image loaded once, containers and networks that clean up.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

#[path = "../fixtures.rs"]
mod fixtures;
pub(crate) use fixtures::{certificate, curl, run, set_mode};

pub(crate) const USER: u32 = 65532;

/// Where `scripts/build-image` leaves its work.
pub(crate) fn image_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/image")
}

/// Runs docker; fails the test when it fails.
pub(crate) fn docker(args: &[&str]) -> String {
    let output = try_docker(args);
    assert!(output.status.success(), "docker {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

pub(crate) fn try_docker(args: &[&str]) -> Output {
    Command::new("docker")
        .args(args)
        .output()
        .unwrap_or_else(|error| panic!("docker: {error}; install it with: apt-get install -y docker.io"))
}

/// The id of the image just built, loaded if the daemon has another or none.
pub(crate) fn image() -> String {
    let oci = image_folder().join("oci");
    let read = |path: PathBuf| -> Value {
        let text = std::fs::read(&path)
            .unwrap_or_else(|error| panic!("{}: {error}; run scripts/build-image", path.display()));
        serde_json::from_slice(&text).unwrap()
    };
    let blob = |digest: &Value| oci.join("blobs").join(digest.as_str().unwrap().replace(':', "/"));
    let index = read(oci.join("index.json"));
    let manifest = read(blob(&index["manifests"][0]["digest"]));
    let id = manifest["config"]["digest"].as_str().unwrap().to_owned();
    if !try_docker(&["image", "inspect", &id]).status.success() {
        docker(&["load", "-q", "-i", image_folder().join("fluxheim.tar").to_str().unwrap()]);
    }
    id
}

/// A name that no other test uses.
fn unique() -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    format!("fluxheim-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A bridge network; its gateway is the host.
pub(crate) struct Network(pub(crate) String);

impl Network {
    pub(crate) fn new() -> Self {
        let name = unique();
        docker(&["network", "create", &name]);
        Self(name)
    }

    pub(crate) fn gateway(&self) -> IpAddr {
        docker(&["network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}}", &self.0]).parse().unwrap()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = try_docker(&["network", "rm", &self.0]);
    }
}

/// A running or ended container.
pub(crate) struct Container(pub(crate) String);

impl Container {
    /// `docker run -d` with these options; no arguments to the image.
    pub(crate) fn run(options: &[&str]) -> Self {
        Self::run_with(options, &[])
    }

    /// The same with arguments to the image.
    pub(crate) fn run_with(options: &[&str], arguments: &[&str]) -> Self {
        Self::made(&["run", "-d"], options, arguments)
    }

    /// The same, not started yet.
    pub(crate) fn create(options: &[&str], arguments: &[&str]) -> Self {
        Self::made(&["create"], options, arguments)
    }

    fn made(how: &[&str], options: &[&str], arguments: &[&str]) -> Self {
        let (name, image) = (unique(), image());
        docker(&[how, &["--name", &name], options, &[&image], arguments].concat());
        Self(name)
    }

    pub(crate) fn inspect(&self, format: &str) -> String {
        docker(&["inspect", "-f", format, &self.0])
    }

    /// Its address on the only network it has.
    pub(crate) fn address(&self) -> IpAddr {
        self.inspect("{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}").parse().unwrap()
    }

    /// Everything it has printed.
    pub(crate) fn logs(&self) -> String {
        let output = try_docker(&["logs", &self.0]);
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    }

    /// The program's exit code, waited for.
    pub(crate) fn exit_code(&self) -> i32 {
        wait(|| (self.inspect("{{.State.Running}}") == "false").then_some(()))
            .unwrap_or_else(|| panic!("still running:\n{}", self.logs()));
        self.inspect("{{.State.ExitCode}}").parse().unwrap()
    }

    /// Waits until its log has `text`.
    pub(crate) fn wait_for(&self, text: &str) {
        wait(|| self.logs().contains(text).then_some(()))
            .unwrap_or_else(|| panic!("no {text:?} in:\n{}", self.logs()));
    }

    /// Pid 1 of the container, as the host sees it.
    pub(crate) fn init_pid(&self) -> u32 {
        self.inspect("{{.State.Pid}}").parse().unwrap()
    }

    /// The proxy, as the host sees it: the only child of pid 1.
    pub(crate) fn proxy_pid(&self) -> u32 {
        wait(|| children(self.init_pid()).first().copied()).expect("pid 1 has no child")
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = try_docker(&["rm", "-f", "-v", &self.0]);
    }
}

/// The children of a process, as the host sees them.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let list = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    list.split_whitespace().map(|child| child.parse().unwrap()).collect()
}

/// Polls until there is something, 30 seconds at most.
pub(crate) fn wait<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + Duration::from_secs(30);
    while Instant::now() < deadline {
        if let Some(found) = look() {
            return Some(found);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    None
}

/// A folder to mount as /etc/fluxheim: root's, readable by all, with `config` and a certificate
/// for each of `names`, keys at 0600 and the service user's.
pub(crate) fn mounted_config(config: &str, names: &[&str]) -> TempDir {
    let dir = TempDir::new().unwrap();
    set_mode(dir.path(), 0o755);
    std::fs::write(dir.path().join("fluxheim.toml"), config).unwrap();
    std::fs::create_dir(dir.path().join("tls")).unwrap();
    for name in names {
        owned_certificate(&dir.path().join("tls"), name);
    }
    dir
}

/// A certificate for `name`, its key the service user's.
fn owned_certificate(folder: &Path, name: &str) {
    let (_, key) = certificate(folder, name, &[name]);
    std::os::unix::fs::chown(&key, Some(USER), Some(USER)).unwrap_or_else(|error| {
        panic!("giving the key to the service user needs root ({error}): run the tests with sudo")
    });
}

/// `-v` option that mounts the folder where the image looks for its configuration.
pub(crate) fn volume(dir: &TempDir) -> String {
    format!("{}:/etc/fluxheim:ro", dir.path().display())
}
