//! A pod of the Deployment as it is written, played on Docker.
//!
//! Owns the translation: which field becomes which option of `docker run`, volumes as the kubelet lays them
//! out, probes and hooks run as written. A field that it does not know fails the test: nothing of the
//! manifest may go unplayed.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::claim::Claim;
use crate::docker::{Container, Network, docker, image, set_mode, try_docker};
use crate::kubelet::SecretVolume;

/// The objects of one variant of the manifests.
pub(crate) struct Manifests(Vec<Value>);

impl Manifests {
    /// Rendered with this pair as its Secret.
    pub(crate) fn render(cert: &[u8], key: &[u8]) -> Self {
        let files = TempDir::new().unwrap();
        std::fs::write(files.path().join("tls.crt"), cert).unwrap();
        std::fs::write(files.path().join("tls.key"), key).unwrap();
        Self(rendered(&["tls-from-files", "--files", files.path().to_str().unwrap()]))
    }

    /// Another variant, and the Secret that its user makes.
    pub(crate) fn render_with_secret(variant: &str, cert: &[u8], key: &[u8]) -> Self {
        let mut manifests = Self::render_alone(variant);
        manifests.0.extend(Self::render(cert, key).0.into_iter().filter(|thing| thing["kind"] == "Secret"));
        manifests
    }

    /// Another variant, and nothing beside it.
    pub(crate) fn render_alone(variant: &str) -> Self {
        Self(rendered(&[variant]))
    }

    /// What its user edits: a file of the configuration.
    pub(crate) fn configure(&mut self, file: &str, text: &str) {
        self.config()[file] = text.into();
    }

    /// The configuration as it is shipped.
    pub(crate) fn configuration(&mut self) -> String {
        self.config()["fluxheim.toml"].as_str().unwrap().to_owned()
    }

    fn config(&mut self) -> &mut Value {
        let map = self.0.iter_mut().find(|thing| thing["kind"] == "ConfigMap");
        &mut map.expect("no ConfigMap")["data"]
    }

    fn of(&self, kind: &str, name: &str) -> &Value {
        let found = self.0.iter().find(|thing| thing["kind"] == kind && thing["metadata"]["name"] == name);
        found.unwrap_or_else(|| panic!("no {kind} named {name}"))
    }

    /// What pods are made from.
    pub(crate) fn pod_spec(&self) -> &Value {
        &self.of("Deployment", "fluxheim")["spec"]["template"]["spec"]
    }

    pub(crate) fn strategy(&self) -> &Value {
        &self.of("Deployment", "fluxheim")["spec"]["strategy"]
    }

    pub(crate) fn replicas(&self) -> u64 {
        self.of("HorizontalPodAutoscaler", "fluxheim")["spec"]["minReplicas"].as_u64().unwrap()
    }

    /// The files of a ConfigMap or Secret; none of one that may be missing, and is.
    fn files(&self, kind: &str, name: &str, optional: bool) -> Vec<(String, Vec<u8>)> {
        let missing = !self.0.iter().any(|thing| thing["kind"] == kind && thing["metadata"]["name"] == name);
        if optional && missing {
            return Vec::new();
        }
        let object = self.of(kind, name);
        let files = object["data"].as_object().unwrap().iter();
        let content = |text: &str| {
            if kind == "ConfigMap" { text.as_bytes().to_vec() } else { base64(text) }
        };
        files.map(|(file, text)| (file.clone(), content(text.as_str().unwrap()))).collect()
    }
}

fn rendered(arguments: &[&str]) -> Vec<Value> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/kubernetes");
    let output = Command::new(script).arg("render").args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// RFC 4648, as openssl reads it.
fn base64(text: &str) -> Vec<u8> {
    let mut child = Command::new("base64")
        .arg("-d")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    child.wait_with_output().unwrap().stdout
}

/// The volumes of pods on one node, which the kubelet keeps.
pub(crate) struct Node {
    volumes: Vec<(String, SecretVolume)>,
    claims: Vec<(String, Claim)>,
    _folder: TempDir,
}

impl Node {
    /// The volumes of `spec`, filled with what `manifests` hold.
    pub(crate) fn new(spec: &Value, manifests: &Manifests) -> Self {
        let folder = TempDir::new().unwrap();
        set_mode(folder.path(), 0o755);
        let group = u32::try_from(spec["securityContext"]["fsGroup"].as_u64().unwrap()).unwrap();
        let is_claim =
            |volume: &&Value| volume["persistentVolumeClaim"].is_object() || volume["ephemeral"].is_object();
        let (claims, files): (Vec<_>, Vec<_>) =
            spec["volumes"].as_array().unwrap().iter().partition(is_claim);
        let claims = claims.into_iter().map(|volume| {
            if let Some(claimed) = volume["persistentVolumeClaim"]["claimName"].as_str() {
                manifests.of("PersistentVolumeClaim", claimed);
            }
            let name = volume["name"].as_str().unwrap().to_owned();
            let claim = Claim::new(&folder.path().join(&name));
            (name, claim)
        });
        let claims = claims.collect();
        let volumes = files.into_iter().map(|volume| {
            let name = volume["name"].as_str().unwrap().to_owned();
            let (kind, source, mode) = match (&volume["configMap"], &volume["secret"]) {
                (map, Value::Null) => ("ConfigMap", map["name"].as_str().unwrap(), &map["defaultMode"]),
                (_, secret) => ("Secret", secret["secretName"].as_str().unwrap(), &secret["defaultMode"]),
            };
            // pkg/volume/volume_linux.go: with an fsGroup, what is read-only is also its group's to read.
            let mode = u32::try_from(mode.as_u64().unwrap_or(0o644)).unwrap() | 0o440;
            let files = manifests.files(kind, source, volume["secret"]["optional"] == true);
            let files: Vec<_> = files.iter().map(|(file, content)| (file.as_str(), &content[..])).collect();
            let place = folder.path().join(&name);
            std::fs::create_dir(&place).unwrap();
            (name, SecretVolume::new(&place, mode, group, &files))
        });
        Self { volumes: volumes.collect(), claims, _folder: folder }
    }

    pub(crate) fn claim(&self, name: &str) -> &Claim {
        &self.claims.iter().find(|(other, _)| other == name).unwrap_or_else(|| panic!("no claim {name}")).1
    }

    /// What the kubelet does for each pod anew; volumes of files are already as it leaves them.
    fn mount_claims(&self, spec: &Value) {
        let context = &spec["securityContext"];
        let group = u32::try_from(context["fsGroup"].as_u64().unwrap()).unwrap();
        for (_, claim) in &self.claims {
            claim.mount(group, context["fsGroupChangePolicy"].as_str().unwrap_or("Always"));
        }
    }

    /// Where a mount comes from, and whether it can be written to.
    fn mount(&self, mount: &Value) -> String {
        assert_keys(mount, &["name", "mountPath", "readOnly"]);
        let (name, at) = (mount["name"].as_str().unwrap(), mount["mountPath"].as_str().unwrap());
        if mount["readOnly"] == true {
            return format!("--volume={}:{at}:ro", self.volume(name).path("").display());
        }
        format!("--volume={}:{at}", self.claim(name).path("").display())
    }

    pub(crate) fn volume(&self, name: &str) -> &SecretVolume {
        &self.volumes.iter().find(|(other, _)| other == name).unwrap_or_else(|| panic!("no volume {name}")).1
    }
}

/// One running pod.
pub(crate) struct Pod<'a> {
    pub(crate) container: Container,
    /// By its init containers.
    pub(crate) said: String,
    spec: &'a Value,
}

impl<'a> Pod<'a> {
    /// Init containers one after the other, then the proxy, until its startup probe holds.
    pub(crate) fn start(spec: &'a Value, node: &Node, network: &Network) -> Self {
        assert_keys(spec, POD_KEYS);
        node.mount_claims(spec);
        let mut all_said = String::new();
        for init in spec["initContainers"].as_array().unwrap() {
            let options = options(spec, init, node, network);
            let options: Vec<_> = options.iter().map(String::as_str).collect();
            let args = strings(&init["args"]);
            let args: Vec<_> = args.iter().map(String::as_str).collect();
            let output = try_docker(&[&["run", "--rm"], &options[..], &[&image()], &args].concat());
            let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{}: {said}", init["name"]);
            all_said += &said;
        }
        let proxy = &spec["containers"][0];
        let options = options(spec, proxy, node, network);
        let args = strings(&proxy["args"]);
        let container = Container::run_with(
            &options.iter().map(String::as_str).collect::<Vec<_>>(),
            &args.iter().map(String::as_str).collect::<Vec<_>>(),
        );
        let pod = Self { container, said: all_said, spec };
        let startup = &proxy["startupProbe"];
        let tries = startup["failureThreshold"].as_u64().unwrap();
        for _ in 0..tries {
            if pod.probe("startupProbe") {
                return pod;
            }
            std::thread::sleep(seconds(&startup["periodSeconds"]));
        }
        panic!("never started:\n{}", pod.container.logs())
    }

    /// Whether a probe holds, as it is written.
    pub(crate) fn probe(&self, name: &str) -> bool {
        let probe = &self.spec["containers"][0][name];
        assert_keys(probe, &["httpGet", "exec", "periodSeconds", "timeoutSeconds", "failureThreshold"]);
        if probe["exec"].is_object() {
            return self.exec(&probe["exec"]["command"]);
        }
        let get = &probe["httpGet"];
        self.get(self.port(get["port"].as_str().unwrap()), get["path"].as_str().unwrap())
    }

    fn exec(&self, command: &Value) -> bool {
        let command = strings(command);
        self.said_by(&command.iter().map(String::as_str).collect::<Vec<_>>()).is_ok()
    }

    /// `kubectl exec`: what it printed, or what it complained of.
    pub(crate) fn said_by(&self, command: &[&str]) -> Result<String, String> {
        let output = try_docker(&[&["exec", &self.container.0], command].concat());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    fn get(&self, port: u16, path: &str) -> bool {
        let timeout = Duration::from_secs(1);
        let Ok(mut stream) = TcpStream::connect_timeout(&(self.container.address(), port).into(), timeout)
        else {
            return false;
        };
        stream.set_read_timeout(Some(timeout)).unwrap();
        let asked = write!(stream, "GET {path} HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n");
        let mut answer = String::new();
        asked.is_ok() && stream.read_to_string(&mut answer).is_ok() && answer.starts_with("HTTP/1.1 200")
    }

    /// The number of a named port.
    pub(crate) fn port(&self, name: &str) -> u16 {
        let ports = self.spec["containers"][0]["ports"].as_array().unwrap();
        let port = ports.iter().find(|port| port["name"] == name).unwrap_or_else(|| panic!("no port {name}"));
        u16::try_from(port["containerPort"].as_u64().unwrap()).unwrap()
    }

    /// The preStop hook, SIGTERM, and SIGKILL when the grace period is over; what it took, and the exit code.
    pub(crate) fn terminate(&self) -> (Duration, i32) {
        let began = Instant::now();
        let grace = seconds(&self.spec["terminationGracePeriodSeconds"]);
        let hook = &self.spec["containers"][0]["lifecycle"]["preStop"];
        assert_keys(hook, &["exec"]);
        assert!(self.exec(&hook["exec"]["command"]), "the preStop hook failed");
        let left = grace.saturating_sub(began.elapsed()).as_secs().to_string();
        docker(&["stop", "-t", &left, &self.container.0]);
        (began.elapsed(), self.container.exit_code())
    }
}

const POD_KEYS: &[&str] = &[
    "serviceAccountName",
    "automountServiceAccountToken",
    "enableServiceLinks",
    "terminationGracePeriodSeconds",
    "securityContext",
    "topologySpreadConstraints",
    "initContainers",
    "containers",
    "volumes",
];

const CONTAINER_KEYS: &[&str] = &[
    "name",
    "image",
    "args",
    "ports",
    "securityContext",
    "resources",
    "startupProbe",
    "readinessProbe",
    "livenessProbe",
    "lifecycle",
    "volumeMounts",
];

/// Options of `docker run` for one container of the pod.
fn options(spec: &Value, container: &Value, node: &Node, network: &Network) -> Vec<String> {
    assert_keys(container, CONTAINER_KEYS);
    let (pod, own) = (&spec["securityContext"], &container["securityContext"]);
    assert_keys(
        pod,
        &["runAsNonRoot", "runAsUser", "runAsGroup", "fsGroup", "fsGroupChangePolicy", "seccompProfile"],
    );
    assert_keys(own, &["allowPrivilegeEscalation", "readOnlyRootFilesystem", "capabilities"]);
    // Docker's own filter is what a runtime's default is.
    assert_eq!(pod["seccompProfile"]["type"], "RuntimeDefault");
    let mut options = vec![
        format!("--network={}", network.0),
        format!("--user={}:{}", pod["runAsUser"], pod["runAsGroup"]),
        format!("--group-add={}", pod["fsGroup"]),
    ];
    if own["allowPrivilegeEscalation"] == false {
        options.push("--security-opt=no-new-privileges".to_owned());
    }
    if own["readOnlyRootFilesystem"] == true {
        options.push("--read-only".to_owned());
    }
    options.extend(strings(&own["capabilities"]["drop"]).iter().map(|name| format!("--cap-drop={name}")));
    let memory = container["resources"]["limits"]["memory"].as_str().unwrap().replace("Mi", "m");
    options.extend([format!("--memory={memory}"), format!("--memory-swap={memory}")]);
    for mount in container["volumeMounts"].as_array().unwrap() {
        options.push(node.mount(mount));
    }
    options
}

fn assert_keys(value: &Value, known: &[&str]) {
    let unknown: Vec<_> =
        value.as_object().unwrap().keys().filter(|key| !known.contains(&key.as_str())).collect();
    assert!(unknown.is_empty(), "not played here: {unknown:?}");
}

fn strings(value: &Value) -> Vec<String> {
    let entries = value.as_array().map(Vec::as_slice).unwrap_or_default();
    entries.iter().map(|entry| entry.as_str().unwrap().to_owned()).collect()
}

fn seconds(value: &Value) -> Duration {
    Duration::from_secs(value.as_u64().unwrap())
}
