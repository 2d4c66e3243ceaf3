//! The Deployment and its Secret as they are written, played on Docker: init container, probes, hooks, rotation of
//! the Secret, termination, and a rolling update under load. Needs root, Docker and the image of `scripts/build-image`.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests write their own fixtures; a failure here fails the test, which is the point"
)]

mod balancer;
mod claim;
#[path = "../container/docker.rs"]
#[allow(dead_code, unused_imports, reason = "shared with the container tests, which need more of it")]
mod docker;
#[path = "../kubelet.rs"]
#[allow(dead_code, reason = "shared with tests that need more of it")]
mod kubelet;
mod pebble;
mod pod;
mod state;

use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use balancer::Balancer;
use docker::{Container, Network, certificate, mounted_config, volume, wait};
use pod::{Manifests, Node, Pod};
use tempfile::TempDir;

const HOST: &str = "www.example.test";

/// The application: the name that the ConfigMap gives it, in the pods' own name service.
fn application(network: &Network) -> (Container, TempDir) {
    let page = "[server]\nhttp = [\"0.0.0.0:80\"]\n[[vhosts]]\nhosts = [\"*\"]\n[[vhosts.routes]]\npath = \"/\"\nrespond = \
                { status = 200, body = \"application\" }\n";
    let config = mounted_config(page, &[]);
    let network = format!("--network={}", network.0);
    let mount = volume(&config);
    let options = [&network, "--network-alias=app.default.svc.cluster.local", "-v", &mount];
    (Container::run(&options), config)
}

fn pair(folder: &Path, file: &str) -> (Vec<u8>, Vec<u8>) {
    let (cert, key) = certificate(folder, file, &[HOST]);
    (std::fs::read(cert).unwrap(), std::fs::read(key).unwrap())
}

/// What a client gets from `address`; the error is curl's.
fn get(address: IpAddr, port: u16, ca: &Path) -> Result<String, String> {
    let connect = format!("{HOST}:443:{address}:{port}");
    let output = Command::new("curl")
        .args([
            "--silent",
            "--show-error",
            "--fail",
            "--max-time",
            "10",
            "--connect-to",
            &connect,
            "--cacert",
        ])
        .arg(ca)
        .arg(format!("https://{HOST}/"))
        .output()
        .unwrap_or_else(|error| panic!("curl: {error}; install it with: apt-get install -y curl"));
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

#[test]
fn a_pod_starts_serves_takes_a_renewed_secret_and_ends_in_its_grace_period() {
    let folder = TempDir::new().unwrap();
    let (cert, key) = pair(folder.path(), "first");
    let manifests = Manifests::render(&cert, &key);
    let network = Network::new();
    let (_app, _config) = application(&network);
    let node = Node::new(manifests.pod_spec(), &manifests);
    let pod = Pod::start(manifests.pod_spec(), &node, &network);
    assert!(pod.probe("readinessProbe") && pod.probe("livenessProbe"), "{}", pod.container.logs());
    let (address, port) = (pod.container.address(), pod.port("https"));
    let first = folder.path().join("first.pem");
    assert_eq!(get(address, port, &first).as_deref(), Ok("application"), "{}", pod.container.logs());

    // cert-manager writes the Secret, the kubelet the volume; nobody tells the proxy.
    let (cert, key) = pair(folder.path(), "second");
    node.volume("tls").rotate(&[("tls.crt", &cert), ("tls.key", &key)]);
    let second = folder.path().join("second.pem");
    let renewed = wait(|| get(address, port, &second).is_ok().then_some(()));
    assert!(renewed.is_some(), "the renewed pair is not served:\n{}", pod.container.logs());
    assert!(get(address, port, &first).is_err(), "the old pair is still served");

    let (took, code) = pod.terminate();
    assert_eq!(code, 0, "{}", pod.container.logs());
    let within = Duration::from_secs(manifests.pod_spec()["terminationGracePeriodSeconds"].as_u64().unwrap());
    assert!(took < within, "{took:?}");
}

#[test]
fn a_pod_whose_secret_others_can_read_is_stopped_by_its_init_container() {
    let folder = TempDir::new().unwrap();
    let (cert, key) = pair(folder.path(), "pair");
    let manifests = Manifests::render(&cert, &key);
    let network = Network::new();
    let mut spec = manifests.pod_spec().clone();
    // As it is when the line was left out.
    for volume in spec["volumes"].as_array_mut().unwrap() {
        if let Some(secret) = volume.get_mut("secret") {
            secret["defaultMode"] = 0o644.into();
        }
    }
    let node = Node::new(&spec, &manifests);
    let refused = std::panic::catch_unwind(|| Pod::start(&spec, &node, &network).container.logs());
    let told = *refused.expect_err("it started").downcast::<String>().unwrap();
    assert!(told.contains("check-storage") && told.contains("defaultMode: 0400"), "{told}");
}

/// `--wait` of the init container, with the time that a test has for it.
fn waiting(spec: &serde_json::Value, time: &str) -> serde_json::Value {
    let mut spec = spec.clone();
    let args = spec["initContainers"][0]["args"].as_array_mut().unwrap();
    let at = args.iter().position(|arg| arg == "--wait").expect("the init container does not wait");
    args[at + 1] = time.into();
    spec
}

#[test]
fn a_pod_without_its_secret_says_what_is_missing() {
    let manifests = Manifests::render_alone("base");
    let (network, spec) = (Network::new(), waiting(manifests.pod_spec(), "2s"));
    let node = Node::new(&spec, &manifests);
    let refused = std::panic::catch_unwind(AssertUnwindSafe(|| drop(Pod::start(&spec, &node, &network))));
    let told = *refused.expect_err("it started").downcast::<String>().unwrap();
    assert!(told.contains("check-storage") && told.contains("[missing] /etc/fluxheim-tls/tls"), "{told}");
}

#[test]
fn a_pod_that_comes_before_its_secret_starts_when_it_is_there() {
    let folder = TempDir::new().unwrap();
    let (cert, key) = pair(folder.path(), "late");
    let manifests = Manifests::render_alone("base");
    let (network, spec) = (Network::new(), manifests.pod_spec());
    let (_app, _config) = application(&network);
    let node = Node::new(spec, &manifests);
    let pod = std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_secs(3));
            node.volume("tls").fill(&[("tls.crt", &cert), ("tls.key", &key)]);
        });
        Pod::start(spec, &node, &network)
    });
    let answer = get(pod.container.address(), pod.port("https"), &folder.path().join("late.pem"));
    assert_eq!(answer.as_deref(), Ok("application"), "{}", pod.container.logs());
}

/// The overlay that is there to be copied, as it is.
#[test]
fn a_pod_of_the_example_answers_to_ctl() {
    let folder = TempDir::new().unwrap();
    let (cert, key) = pair(folder.path(), "pair");
    let manifests = Manifests::render_with_secret("example", &cert, &key);
    let (network, spec) = (Network::new(), manifests.pod_spec());
    let node = Node::new(spec, &manifests);
    let pod = Pod::start(spec, &node, &network);
    assert!(pod.said.contains("[fs-group] /run/fluxheim"), "{}", pod.said);
    let status = pod.said_by(&["/fluxheim", "ctl", "status"]).unwrap();
    assert!(status.contains("ready"), "{status}");
    let upstreams = pod.said_by(&["/fluxheim", "ctl", "upstreams", "list"]).unwrap();
    assert!(upstreams.contains("shop"), "{upstreams}");
    let socket = std::fs::metadata(node.claim("admin").path("admin.sock")).unwrap();
    assert_eq!((socket.mode() & 0o777, socket.uid()), (0o600, docker::USER));
}

/// Clients on new connections, through a load balancer that follows readiness, while both pods are replaced.
#[test]
fn a_rolling_update_loses_no_request() {
    let folder = TempDir::new().unwrap();
    let (cert, key) = pair(folder.path(), "pair");
    let manifests = Manifests::render(&cert, &key);
    assert_eq!(manifests.strategy()["rollingUpdate"]["maxUnavailable"], 0);
    assert_eq!(manifests.strategy()["rollingUpdate"]["maxSurge"], 1);
    let (network, node) = (Network::new(), Node::new(manifests.pod_spec(), &manifests));
    let (_app, _config) = application(&network);
    let spec = manifests.pod_spec();
    let mut pods: Vec<_> = (0..manifests.replicas()).map(|_| Pod::start(spec, &node, &network)).collect();
    let balancer = Balancer::start();
    balancer.follow(&pods);
    let ca = folder.path().join("pair.pem");
    let (stop, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    let lost = std::thread::scope(|scope| {
        let client = || {
            let mut lost = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                match get([127, 0, 0, 1].into(), balancer.port, &ca) {
                    Ok(body) if body == "application" => drop(answered.fetch_add(1, Ordering::Relaxed)),
                    other => lost.push(format!("{other:?}")),
                }
            }
            lost
        };
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(client)).collect();
        for at in 0..pods.len() {
            let more = Pod::start(spec, &node, &network);
            let ready = wait(|| more.probe("readinessProbe").then_some(()));
            ready.expect("the new pod does not get ready");
            let old = std::mem::replace(&mut pods[at], more);
            // Until then both are asked.
            // The cluster takes it out of the endpoints while it ends, some seconds late.
            let ended = scope.spawn(move || (old.terminate().1, old.container.logs()));
            std::thread::sleep(Duration::from_secs(3));
            balancer.follow(&pods);
            let (code, logs) = ended.join().unwrap();
            assert_eq!(code, 0, "{logs}");
        }
        stop.store(true, Ordering::Relaxed);
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect::<Vec<_>>()
    });
    let answered = answered.load(Ordering::Relaxed);
    assert!(lost.is_empty(), "{} of {answered}: {lost:#?}", lost.len());
    assert!(answered > 50, "{answered}");
}
