//! The component `storage` and the overlay `acme`: what ACME keeps on a claim, over the lives of pods.

use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::panic::AssertUnwindSafe;
use std::path::Path;

use tempfile::TempDir;

use crate::docker::{Network, USER, run, set_mode, wait};
use crate::pebble::Pebble;
use crate::pod::{Manifests, Node, Pod};
use crate::{HOST, application, get, pair};

/// The component, with what its user writes: a Secret, and `[acme]` in the configuration.
fn manifests(folder: &Path, pebble: &Pebble) -> Manifests {
    let (cert, key) = pair(folder, "pair");
    let mut manifests = Manifests::render_with_secret("storage", &cert, &key);
    let config = format!(
        "[server]\nhttp = [\"0.0.0.0:8080\"]\nhttps = [\"0.0.0.0:8443\"]\n\
         [acme]\ndirectory = \"{}\"\nca_file = \"ca.pem\"\nterms_of_service_agreed = true\n\
         [[vhosts]]\nhosts = [\"{HOST}\"]\ncertificate = \"acme\"\n\
         routes = [{{ path = \"/\", respond = {{ status = 200, body = \"application\" }} }}]\n\
         [metrics]\nlisten = [\"0.0.0.0:9090\"]\n",
        pebble.url()
    );
    manifests.configure("fluxheim.toml", &config);
    manifests.configure("ca.pem", &String::from_utf8(pebble.ca()).unwrap());
    manifests
}

/// What of the certificate that is shown tells it from all others.
fn shown(address: IpAddr, port: u16) -> String {
    let script = format!(
        "openssl s_client -connect {address}:{port} -servername {HOST} </dev/null 2>/dev/null | \
         openssl x509 -noout -subject -serial -fingerprint -sha256"
    );
    String::from_utf8(run("sh", "dash", &["-c", &script]).stdout).unwrap()
}

fn is_served(pod: &Pod<'_>, root: &Path) -> bool {
    get(pod.container.address(), pod.port("https"), root).as_deref() == Ok("application")
}

#[test]
fn accounts_and_certificates_on_a_claim_outlive_pods() {
    let (folder, network) = (TempDir::new().unwrap(), Network::new());
    let mut pebble = Pebble::start(network.gateway());
    let manifests = manifests(folder.path(), &pebble);
    let (spec, root) = (manifests.pod_spec(), pebble.root());
    let node = Node::new(spec, &manifests);
    let first = Pod::start(spec, &node, &network);
    assert!(first.said.contains("delivered as a writable claim with an fsGroup"), "{}", first.said);
    wait(|| is_served(&first, &root).then_some(()))
        .unwrap_or_else(|| panic!("no certificate:\n{}\n{}", first.container.logs(), pebble.said()));
    let certificate = shown(first.container.address(), first.port("https"));

    // Nobody else's to read, whatever the group of the claim may.
    let kept = node.claim("state").path(&format!("certificates/{HOST}"));
    let modes = || {
        let at = std::fs::metadata(&kept).unwrap();
        (at.mode() & 0o7777, at.uid())
    };
    assert_eq!(modes(), (0o600, USER), "{}", kept.display());

    // A rolling update with nobody to order from: the next pod starts while the first one serves, then it is alone.
    pebble.stop();
    let second = Pod::start(spec, &node, &network);
    assert_eq!(shown(second.container.address(), second.port("https")), certificate, "beside the first");
    let (_, code) = first.terminate();
    assert_eq!(code, 0, "{}", first.container.logs());
    assert!(is_served(&second, &root), "{}", second.container.logs());
    let (_, code) = second.terminate();
    assert_eq!(code, 0, "{}", second.container.logs());
    let third = Pod::start(spec, &node, &network);
    assert_eq!(shown(third.container.address(), third.port("https")), certificate, "after all others");
    assert_eq!(modes(), (0o600, USER), "another mount has opened {}", kept.display());
}

#[test]
fn a_claim_that_the_kubelet_leaves_to_root_is_refused_until_it_is_given_away() {
    let (folder, network) = (TempDir::new().unwrap(), Network::new());
    let pebble = Pebble::start(network.gateway());
    let manifests = manifests(folder.path(), &pebble);
    let spec = manifests.pod_spec();
    let node = Node::new(spec, &manifests);
    node.claim("state").has_no_group();
    let refused = std::panic::catch_unwind(AssertUnwindSafe(|| drop(Pod::start(spec, &node, &network))));
    let told = *refused.expect_err("it started").downcast::<String>().unwrap();
    assert!(told.contains("check-storage") && told.contains("[foreign-owner] /var/lib/fluxheim"), "{told}");
    // The two lines that it gives, as docs/kubernetes.md tells who may to do it.
    assert!(told.contains("fix: chown 65532:65532 /var/lib/fluxheim"), "{told}");
    assert!(told.contains("fix: chmod 0700 /var/lib/fluxheim"), "{told}");
    let root = node.claim("state").path("");
    std::os::unix::fs::chown(&root, Some(USER), Some(USER)).unwrap();
    set_mode(&root, 0o700);
    std::fs::remove_dir(root.join("lost+found")).unwrap();
    let pod = Pod::start(spec, &node, &network);
    assert!(!pod.said.contains("[fs-group]"), "{}", pod.said);
}

/// `fsGroupChangePolicy` left out, which means Always: the kubelet opens our own files to the group, at each mount.
#[test]
fn a_claim_that_each_mount_opens_is_taken_with_a_warning() {
    let (folder, network) = (TempDir::new().unwrap(), Network::new());
    let pebble = Pebble::start(network.gateway());
    let manifests = manifests(folder.path(), &pebble);
    let mut spec = manifests.pod_spec().clone();
    spec["securityContext"].as_object_mut().unwrap().remove("fsGroupChangePolicy");
    let (root, node) = (pebble.root(), Node::new(&spec, &manifests));
    let first = Pod::start(&spec, &node, &network);
    let served = wait(|| is_served(&first, &root).then_some(()));
    assert!(served.is_some(), "{}\n{}", first.container.logs(), pebble.said());
    let certificate = shown(first.container.address(), first.port("https"));
    assert_eq!(first.terminate().1, 0);

    let second = Pod::start(&spec, &node, &network);
    let kept = node.claim("state").path(&format!("certificates/{HOST}"));
    assert_eq!(std::fs::metadata(&kept).unwrap().mode() & 0o777, 0o660, "the kubelet did not open it");
    let said = &second.said;
    assert!(said.contains("[fs-group]") && said.contains("fsGroupChangePolicy: OnRootMismatch"), "{said}");
    assert_eq!(shown(second.container.address(), second.port("https")), certificate);
}

/// As it is shipped, but for the names of the host and of the authority.
#[test]
fn the_overlay_acme_needs_no_secret() {
    let network = Network::new();
    let (_app, _config) = application(&network);
    let pebble = Pebble::start(network.gateway());
    let mut manifests = Manifests::render_alone("acme");
    assert_eq!(manifests.strategy()["type"], "Recreate");
    let shipped = "directory = \"https://acme-v02.api.letsencrypt.org/directory\"";
    let ours = format!("directory = \"{}\"\nca_file = \"ca.pem\"", pebble.url());
    let config = manifests.configuration();
    assert!(config.contains(shipped) && config.contains("www.example.com"), "{config}");
    manifests.configure("fluxheim.toml", &config.replace(shipped, &ours).replace("www.example.com", HOST));
    manifests.configure("ca.pem", &String::from_utf8(pebble.ca()).unwrap());
    let (spec, root) = (manifests.pod_spec(), pebble.root());
    let node = Node::new(spec, &manifests);
    let pod = Pod::start(spec, &node, &network);
    let served = wait(|| is_served(&pod, &root).then_some(()));
    assert!(served.is_some(), "{}\n{}", pod.container.logs(), pebble.said());
}
