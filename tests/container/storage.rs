//! Keys as runtimes deliver them: the check as an initContainer, then the proxy, on the same mounts
//! and under the settings of a restricted pod.

use std::process::Output;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::docker::{Container, certificate, image, mounted_config, run, set_mode, try_docker, volume, wait};

#[path = "../kubelet.rs"]
mod kubelet;
use kubelet::{Mounted, SecretVolume};

const CONFIG: &str = r#"
[server]
https = ["0.0.0.0:8443"]
[hardening]
profile = "k8s-restricted"
[[tls.certificates]]
name = "site"
cert = "/run/tls/tls.crt"
key = "/run/tls/tls.key"
[[vhosts]]
hosts = ["a.test"]
certificate = "site"
[[vhosts.routes]]
path = "/"
static = "/srv/fluxheim"
"#;

/// What the Pod Security Standard *restricted* comes to under Docker, with an fsGroup.
const RESTRICTED: [&str; 8] = [
    "--user",
    "65532:65532",
    "--group-add",
    "2000",
    "--cap-drop",
    "ALL",
    "--read-only",
    "--security-opt=no-new-privileges",
];

/// A certificate and its key, as the files of a Secret of type kubernetes.io/tls.
fn pair(name: &str) -> (Vec<u8>, Vec<u8>) {
    let dir = TempDir::new().unwrap();
    let (cert, key) = certificate(dir.path(), "pair", &[name]);
    (std::fs::read(cert).unwrap(), std::fs::read(key).unwrap())
}

fn files((cert, key): &(Vec<u8>, Vec<u8>)) -> [(&'static str, &[u8]); 2] {
    [("tls.crt", cert), ("tls.key", key)]
}

/// A pod: its configuration, its Secret, and the options that both of its containers get.
struct Pod {
    config: TempDir,
    secret: SecretVolume,
    /// Unmounted before it is removed.
    _folder: TempDir,
}

impl Pod {
    fn new(mode: u32, gid: u32, files: &[(&str, &[u8])]) -> Self {
        let folder = TempDir::new().unwrap();
        set_mode(folder.path(), 0o755);
        let secret = SecretVolume::new(folder.path(), mode, gid, files);
        Self { config: mounted_config(CONFIG, &[]), secret, _folder: folder }
    }

    fn options(&self) -> Vec<String> {
        let secret = format!("{}:/run/tls:ro", self.secret.path("").display());
        let mounts = ["-v".to_owned(), volume(&self.config), "-v".to_owned(), secret];
        RESTRICTED.iter().map(|option| (*option).to_owned()).chain(mounts).collect()
    }

    /// The initContainer, to its end.
    fn check(&self, arguments: &[&str]) -> Output {
        check(&self.options(), arguments)
    }

    fn start(&self) -> Container {
        let options = self.options();
        Container::run(&options.iter().map(String::as_str).collect::<Vec<_>>())
    }
}

fn check(options: &[String], arguments: &[&str]) -> Output {
    let options: Vec<_> = options.iter().map(String::as_str).collect();
    let image = image();
    try_docker(&[&["run", "--rm"], &options[..], &[&image, "--check-tls-storage"], arguments].concat())
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// The names of the certificate that is served.
fn served(flux: &Container) -> String {
    let address = format!("{}:8443", flux.address());
    let script = format!(
        "openssl s_client -connect {address} -servername a.test </dev/null 2>/dev/null | openssl x509 -noout -ext subjectAltName"
    );
    String::from_utf8(run("sh", "dash", &["-c", &script]).stdout).unwrap()
}

#[test]
fn an_init_container_and_then_the_proxy_take_a_kubernetes_secret_and_its_rotation() {
    let first = pair("a.test");
    let pod = Pod::new(0o440, 2000, &files(&first));
    let checked = pod.check(&["--format", "json"]);
    assert_eq!(checked.status.code(), Some(0), "{}", told(&checked));
    let report: Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert!(report["identity"]["groups"].as_array().unwrap().contains(&2000.into()), "{report:#}");
    let delivered: Vec<_> = report["objects"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|object| object["seen"]["delivery"]["kind"].as_str())
        .collect();
    assert_eq!(delivered, ["kubernetes-volume", "kubernetes-volume"], "{report:#}");

    let flux = pod.start();
    flux.wait_for("listening");
    assert!(served(&flux).contains("DNS:a.test"), "{}", flux.logs());
    // Another pair in the same moment, and the old one gone: the new one is taken by itself.
    let second = pair("renewed.a.test");
    pod.secret.rotate(&files(&second));
    flux.wait_for("certificate replaced");
    assert!(served(&flux).contains("DNS:renewed.a.test"), "{}", flux.logs());
    assert!(flux.logs().contains("name-not-covered"), "it says what it is not for: {}", flux.logs());
    assert!(!flux.logs().contains("no inotify"), "{}", flux.logs());
    // Again and again: the folder of each is another one.
    for number in 0..5 {
        let name = format!("again-{number}.a.test");
        pod.secret.rotate(&files(&pair(&name)));
        let shown = wait(|| served(&flux).contains(&name).then_some(()));
        assert!(shown.is_some(), "{name}: {}", flux.logs());
    }
    // What a reload reads is the new one too.
    let last = pair("a.test");
    pod.secret.rotate(&files(&last));
    crate::docker::docker(&["kill", "-s", "HUP", &flux.0]);
    flux.wait_for("configuration reloaded");
    assert!(served(&flux).contains("DNS:a.test"), "{}", flux.logs());
    assert!(!flux.logs().contains("what can't be used"), "{}", flux.logs());
}

#[test]
fn both_containers_refuse_a_secret_whose_default_mode_was_left_alone() {
    let first = pair("a.test");
    let pod = Pod::new(0o644, 0, &files(&first));
    let checked = pod.check(&[]);
    assert_eq!(checked.status.code(), Some(78), "{}", told(&checked));
    let text = told(&checked);
    for part in ["[mode-too-open]", "defaultMode: 0400", "delivered as a Kubernetes volume"] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
    assert!(!text.contains("BEGIN"), "{text}");
    let flux = pod.start();
    assert_eq!(flux.exit_code(), 78);
    assert!(flux.logs().contains("defaultMode: 0400"), "{}", flux.logs());
}

#[test]
fn waits_for_a_secret_that_is_not_there_yet() {
    let first = pair("a.test");
    let pod = Pod::new(0o440, 2000, &[]);
    let options = pod.options();
    let started = Instant::now();
    let late = std::thread::scope(|scope| {
        let check = scope.spawn(|| check(&options, &["--wait", "25s"]));
        // It has looked at least once by then.
        std::thread::sleep(Duration::from_secs(2));
        assert!(!check.is_finished(), "it did not wait: {}", told(&check.join().unwrap()));
        pod.secret.fill(&files(&first));
        check.join().unwrap()
    });
    assert_eq!(late.status.code(), Some(0), "{}", told(&late));
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());

    let empty = Pod::new(0o440, 2000, &[]);
    let never = empty.check(&["--wait", "1s"]);
    assert_eq!(never.status.code(), Some(75), "{}", told(&never));
    assert!(told(&never).contains("[missing]"), "{}", told(&never));
    assert_eq!(empty.check(&[]).status.code(), Some(78), "without --wait");
    // What time does not mend is not waited for.
    let open = Pod::new(0o644, 0, &files(&first));
    let started = Instant::now();
    assert_eq!(open.check(&["--wait", "60s"]).status.code(), Some(78));
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

#[test]
fn a_check_that_waits_ends_when_it_is_told_to() {
    let pod = Pod::new(0o440, 2000, &[]);
    let options = pod.options();
    let options: Vec<_> = options.iter().map(String::as_str).collect();
    let waiting = Container::run_with(&options, &["--check-tls-storage", "--wait", "10m"]);
    wait(|| (waiting.inspect("{{.State.Running}}") == "true").then_some(())).unwrap();
    std::thread::sleep(Duration::from_secs(1));
    let started = Instant::now();
    crate::docker::docker(&["stop", "-t", "20", &waiting.0]);
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    assert_eq!(waiting.exit_code(), 143);
}

/// One file mounted alone from memory, at the path that Docker gives its secrets.
fn runtime_secret(mode: u32, uid: u32) -> (Mounted, TempDir, String) {
    let folder = TempDir::new().unwrap();
    set_mode(folder.path(), 0o755);
    let memory = Mounted::new(&["-t", "tmpfs", "-o", "mode=0755", "tmpfs"], folder.path().to_owned());
    let path = folder.path().join("key");
    std::fs::write(&path, b"not a key").unwrap();
    std::os::unix::fs::chown(&path, Some(uid), Some(uid)).unwrap();
    set_mode(&path, mode);
    let mount = format!("{}:/run/secrets/cache:ro", path.display());
    (memory, folder, mount)
}

#[test]
fn takes_a_docker_secret_and_warns_of_its_default_mode() {
    for (mode, uid, code, verdict) in [
        (0o400, 65532, 0, "ok"),
        (0o444, 0, 0, "warning"),
        (0o400, 0, 78, "refused"),
        (0o446, 0, 78, "refused"),
    ] {
        let (_memory, _folder, mount) = runtime_secret(mode, uid);
        let config = mounted_config("[server]\nhttp = [\"0.0.0.0:8080\"]\n", &[]);
        let options = ["-v".to_owned(), volume(&config), "-v".to_owned(), mount];
        let checked = check(&options, &["--also", "cache-key=/run/secrets/cache", "--format", "json"]);
        assert_eq!(checked.status.code(), Some(code), "{mode:o} {}", told(&checked));
        let report: Value = serde_json::from_slice(&checked.stdout).unwrap();
        let object = report["objects"].as_array().unwrap().last().unwrap();
        assert_eq!(object["verdict"], verdict, "{object:#}");
        if mode & 0o002 == 0 {
            assert_eq!(object["seen"]["delivery"]["kind"], "runtime-secret", "{object:#}");
        }
    }
}

#[test]
fn repairs_a_state_folder_of_its_own_and_says_so() {
    let folder = TempDir::new().unwrap();
    set_mode(folder.path(), 0o755);
    let state = folder.path().join("state");
    std::fs::create_dir_all(state.join("accounts")).unwrap();
    std::fs::write(state.join("accounts/key"), b"KEY").unwrap();
    for path in ["accounts/key", "accounts", ""] {
        std::os::unix::fs::chown(state.join(path), Some(65532), Some(65532)).unwrap();
    }
    set_mode(&state.join("accounts/key"), 0o664);
    let config = mounted_config("[server]\nhttp = [\"0.0.0.0:8080\"]\n", &[]);
    let mount = format!("{}:/var/lib/fluxheim", state.display());
    let options = ["-v".to_owned(), volume(&config), "-v".to_owned(), mount];
    let also = ["--also", "state-folder=/var/lib/fluxheim"];
    assert_eq!(check(&options, &also).status.code(), Some(78));
    let repaired = check(&options, &[&also[..], &["--repair"]].concat());
    assert_eq!(repaired.status.code(), Some(0), "{}", told(&repaired));
    for part in ["/var/lib/fluxheim: mode 0755 is 0700 now", "accounts/key: mode 0664 is 0600 now"] {
        assert!(told(&repaired).contains(part), "{part} is not in:\n{}", told(&repaired));
    }
    assert_eq!(check(&options, &also).status.code(), Some(0));
}

#[test]
fn both_programs_say_the_same() {
    let first = pair("a.test");
    let pod = Pod::new(0o644, 0, &files(&first));
    let image = image();
    for format in ["text", "json"] {
        let options = pod.options();
        let options: Vec<_> = options.iter().map(String::as_str).collect();
        let arguments =
            ["--check-tls-storage", "--format", format, "--also", "state-folder=/var/lib/fluxheim"];
        let by = |program: &str| {
            let call =
                [&["run", "--rm", "--entrypoint", program], &options[..], &[&image], &arguments].concat();
            try_docker(&call)
        };
        let (init, proxy) = (by("/fluxheim-init"), by("/fluxheim"));
        assert_eq!(told(&init), told(&proxy));
        assert_eq!((init.status.code(), proxy.status.code()), (Some(78), Some(78)));
        assert!(!init.stdout.is_empty());
    }
}
