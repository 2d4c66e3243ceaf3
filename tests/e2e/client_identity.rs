//! What upstreams are told of client certificates, what clients can't say in their place, and the signature.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::{Arc, Mutex};

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::support::{
    Answer, Flux, Peer, Pki, Running, Wanted, certificate, exchange, folder, run, set_mode, wait,
};

/// An origin that keeps every byte, in the case it came in.
struct Verbatim {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Verbatim {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, seen) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
        let kept = Arc::clone(&seen);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let kept = Arc::clone(&kept);
                std::thread::spawn(move || {
                    let mut buffer = [0; 8192];
                    let mut got: Vec<u8> = Vec::new();
                    while let Ok(read @ 1..) = stream.read(&mut buffer) {
                        got.extend_from_slice(&buffer[..read]);
                        kept.lock().unwrap().extend_from_slice(&buffer[..read]);
                        let chunked = got.windows(8).any(|window| window.eq_ignore_ascii_case(b"chunked\r"));
                        let end: &[u8] = if chunked { b"0\r\n" } else { b"\r\n\r\n" };
                        if got.windows(end.len()).any(|window| window == end) && got.ends_with(b"\r\n\r\n") {
                            got.clear();
                            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
                        }
                    }
                });
            }
        });
        Self { address, seen }
    }

    /// Everything since it was last taken.
    fn take(&self) -> String {
        let bytes =
            wait(|| Some(std::mem::take(&mut *self.seen.lock().unwrap())).filter(|bytes| !bytes.is_empty()));
        String::from_utf8_lossy(&bytes.expect("the origin saw nothing")).into_owned()
    }
}

/// The value of a field, which stands there once.
fn field(head: &str, name: &str) -> Option<String> {
    let mut values = head.lines().filter_map(|line| line.split_once(": "));
    let mut values = values.by_ref().filter(|(field, _)| field.eq_ignore_ascii_case(name));
    let value = values.next().map(|(_, value)| value.to_owned());
    assert!(values.next().is_none(), "{name} twice in {head}");
    value
}

fn flux(origin: SocketAddr, pki: &Pki, identity: &str, upstream: &str) -> Flux {
    let rest = format!(
        "[[tls.certificates]]\nname = \"a\"\ncert = \"a.pem\"\nkey = \"a.key\"\n\
         [[upstreams]]\nname = \"app\"\nservers = [\"{origin}\"]\n{upstream}\n\
         [[vhosts]]\nhosts = [\"a.test\"]\nclient_auth = {{ mode = \"optional\", ca = \"ca.pem\", verify_depth = 2 }}\n\
         client_identity = {identity}\n\
         routes = [\n{{ path = \"/\", upstream = \"app\" }},\n\
         {{ path = \"/untold\", upstream = \"app\", client_identity = \"off\" }},\n\
         {{ path = \"/lax\", upstream = \"app\", underscores_in_headers = \"pass\" }},\n\
         {{ path = \"/said\", upstream = \"app\", headers = {{ Client-Cert = \"*\" }}, rewrite = {{ add_prefix = \"/believed\" }} }},\n\
         {{ path = \"/said\", upstream = \"app\" }},\n]\n\
         [[vhosts]]\nhosts = [\"b.test\"]\nroutes = [{{ path = \"/\", upstream = \"app\" }}]\n"
    );
    let flux = Flux::server("http = [\"127.0.0.1:0\"]\nhttps = [\"127.0.0.1:0\"]", &rest);
    certificate(flux.dir.path(), "a", &["a.test", "b.test"]);
    flux.file("ca.pem", pki.pem().as_bytes())
}

fn get(flux: &Running, folder: &Path, name: Option<&str>, path: &str, more: &[&str]) -> String {
    let port = flux.https().port();
    let (url, resolve) = (format!("https://a.test:{port}{path}"), format!("a.test:{port}:127.0.0.1"));
    let ca = flux.dir.path().join("a.pem");
    let mut args = vec!["-sS", "--max-time", "20", "--cacert", ca.to_str().unwrap(), "--resolve", &resolve];
    args.extend(["-o", "/dev/null", "-w", "%{http_code}"]);
    let file = |kind: &str| name.map(|name| folder.join(format!("{name}.{kind}")));
    let (cert, key) = (file("pem"), file("key"));
    if let (Some(cert), Some(key)) = (&cert, &key) {
        args.extend(["--cert", cert.to_str().unwrap(), "--key", key.to_str().unwrap()]);
    }
    args.extend(more);
    args.push(&url);
    String::from_utf8(crate::support::curl(&args[1..])).unwrap()
}

/// A client below an intermediate CA, and the DER of both in base64.
fn chain(root: &Pki, folder: &Path) -> [String; 2] {
    let between = root.below("between");
    let wanted = Wanted::client("/O=Acme, Inc./CN=Zo\u{eb}", "DNS:c.test,URI:spiffe://test/c");
    let (cert, _) = between.certify(folder, "client", wanted);
    let (leaf, above) = (std::fs::read_to_string(&cert).unwrap(), between.pem());
    std::fs::write(&cert, format!("{leaf}{above}")).unwrap();
    [leaf, above].map(|pem| pem.lines().filter(|line| !line.starts_with("-----")).collect())
}

const ALL: &str = "{ headers = [\"client-cert\", \"client-cert-chain\"], subject_header = \"x-subject\", \
    san_header = \"x-san\", fingerprint_header = \"x-print\" }";

#[test]
fn tells_the_upstream_who_the_client_is() {
    let (origin, root, dir) = (Verbatim::start(), Pki::root("root"), folder());
    let [leaf, above] = chain(&root, dir.path());
    let flux = flux(origin.address, &root, ALL, "").start();
    for version in ["--http1.1", "--http2"] {
        assert_eq!(get(&flux, dir.path(), Some("client"), "/", &[version]), "200");
        let head = origin.take();
        assert_eq!(field(&head, "client-cert"), Some(format!(":{leaf}:")), "{head}");
        assert_eq!(field(&head, "client-cert-chain"), Some(format!(":{above}:")));
        assert_eq!(field(&head, "x-subject").as_deref(), Some("CN=Zo\\C3\\AB,O=Acme\\, Inc."));
        assert_eq!(field(&head, "x-san").as_deref(), Some("\"DNS:c.test\", \"URI:spiffe://test/c\""));
        let file = dir.path().join("client.pem");
        let digest = ["x509", "-noout", "-fingerprint", "-sha256", "-in", file.to_str().unwrap()];
        let digest = String::from_utf8(run("openssl", "openssl", &digest).stdout).unwrap();
        let digest = digest.trim().split_once('=').unwrap().1.replace(':', "").to_lowercase();
        assert_eq!(field(&head, "x-print"), Some(digest));
    }
    for (name, path) in [(None, "/"), (Some("client"), "/untold")] {
        assert_eq!(get(&flux, dir.path(), name, path, &[]), "200");
        let head = origin.take().to_lowercase();
        assert!(!head.contains("client-cert") && !head.contains("x-subject"), "{head}");
    }
}

#[test]
fn nobody_says_it_in_the_proxy_s_place() {
    let (origin, root, dir) = (Verbatim::start(), Pki::root("root"), folder());
    let [leaf, _] = chain(&root, dir.path());
    let flux = flux(origin.address, &root, ALL, "").start();
    let forged = [
        "-H",
        "Client-Cert: :Zm9yZ2Vk:",
        "-H",
        "CLIENT_CERT: :Zm9yZ2Vk:",
        "-H",
        "client_cert-chain: :Zm9yZ2Vk:",
        "-H",
        "Client-Cert-Chain: :Zm9yZ2Vk:",
        "-H",
        "X-Subject: Zm9yZ2Vk",
        "-H",
        "x_san: Zm9yZ2Vk",
    ];
    for path in ["/", "/lax", "/untold"] {
        for version in ["--http1.1", "--http2"] {
            for name in [None, Some("client")] {
                assert_eq!(get(&flux, dir.path(), name, path, &[&forged[..], &[version]].concat()), "200");
                let head = origin.take();
                assert!(!head.contains("Zm9yZ2Vk"), "{path} {version} {name:?}: {head}");
            }
        }
    }
    // Nominated as hop-by-hop, ours stays (CVE-2025-66491 and its like).
    let nominated = ["--http1.1", "-H", "Connection: client-cert, Client-Cert-Chain, x-subject"];
    assert_eq!(get(&flux, dir.path(), Some("client"), "/", &nominated), "200");
    let head = origin.take();
    assert_eq!(field(&head, "client-cert"), Some(format!(":{leaf}:")), "{head}");
    assert!(field(&head, "x-subject").is_some(), "{head}");
    // No route believes it either.
    assert_eq!(get(&flux, dir.path(), None, "/said", &forged), "200");
    assert!(origin.take().starts_with("GET /said "));
    // Over plain HTTP, to a vhost that asks nobody, and in a trailer.
    for host in ["a.test", "b.test"] {
        let head =
            format!("GET / HTTP/1.1\r\nHost: {host}\r\nClient-Cert: :Zm9yZ2Vk:\r\nConnection: close\r\n\r\n");
        assert_eq!(exchange(flux.http(), &head).status, 200);
        assert!(!origin.take().contains("Zm9yZ2Vk"), "{host}");
        let trailer = format!(
            "POST / HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\nTrailer: Client-Cert\r\n\
             Connection: close\r\n\r\n1\r\nx\r\n0\r\nClient-Cert: :Zm9yZ2Vk:\r\n\r\n"
        );
        let _ = exchange(flux.http(), &trailer);
        let seen = origin.take();
        assert!(!seen.contains("Zm9yZ2Vk"), "{host}: {seen}");
    }
}

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn signed(origin: SocketAddr, pki: &Pki, upstream: &str) -> Flux {
    let identity = "{ headers = [\"client-cert\"], fingerprint_header = \"x-print\", \
        sign_key_file = \"identity.key\", key_id = \"edge-1\" }";
    let flux = flux(origin, pki, identity, upstream).file("identity.key", format!("{SECRET}\n").as_bytes());
    set_mode(&flux.dir.path().join("identity.key"), 0o600);
    flux
}

/// As an application would verify it, from the request alone (RFC 9421 section 3.2).
fn verify(request: &str, authority: &str) -> Result<Vec<String>, String> {
    let (line, _) = request.split_once("\r\n").unwrap();
    let [method, target, _] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let input = field(request, "signature-input").ok_or("no input")?;
    let parameters = input.strip_prefix("fluxheim=").ok_or("no member")?.to_owned();
    let inner = parameters[1..].split(')').next().unwrap();
    let names: Vec<_> = inner.split(' ').map(|name| name.trim_matches('"').to_owned()).collect();
    let value = |name: &String| match name.as_str() {
        "@method" => method.to_owned(),
        "@authority" => authority.to_owned(),
        "@path" => path.to_owned(),
        "@query" => format!("?{query}"),
        name => field(request, name).unwrap(),
    };
    let lines: String = names.iter().map(|name| format!("\"{name}\": {}\n", value(name))).collect();
    let base = format!("{lines}\"@signature-params\": {parameters}");
    let signature = field(request, "signature").unwrap();
    let tag = STANDARD.decode(signature.strip_prefix("fluxheim=:").unwrap().trim_end_matches(':')).unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    hmac::verify(&key, base.as_bytes(), &tag).map_err(|_| base)?;
    let created: u64 =
        parameters.split("created=").nth(1).unwrap().split(';').next().unwrap().parse().unwrap();
    let now =
        std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap().as_secs();
    assert!(
        now - created < 60 && parameters.contains(";keyid=\"edge-1\";alg=\"hmac-sha256\""),
        "{parameters}"
    );
    Ok(names)
}

#[test]
fn signs_what_it_says_so_that_an_upstream_can_tell() {
    let (origin, root, dir) = (Verbatim::start(), Pki::root("root"), folder());
    chain(&root, dir.path());
    let flux = signed(origin.address, &root, "").start();
    let port = flux.https().port();
    let forged = [
        "-H",
        "Signature: fluxheim=:AAAA:",
        "-H",
        "signature_input: x",
        "-H",
        "Signature-Input: fluxheim=()",
    ];
    for version in ["--http1.1", "--http2"] {
        let more = [&forged[..], &[version]].concat();
        assert_eq!(get(&flux, dir.path(), Some("client"), "/x/%7e?a=1", &more), "200");
        let request = origin.take();
        let names = verify(&request, &format!("a.test:{port}")).unwrap();
        assert_eq!(names, ["@method", "@authority", "@path", "@query", "client-cert", "x-print"]);
        assert!(verify(&request.replace("a=1", "a=2"), &format!("a.test:{port}")).is_err());
        assert!(
            verify(
                &request.replacen("client-cert: :MII", "client-cert: :MIJ", 1).replacen(
                    "Client-Cert: :MII",
                    "Client-Cert: :MIJ",
                    1
                ),
                &format!("a.test:{port}")
            )
            .is_err()
        );
    }
    // Who shows nothing is signed for as one who shows nothing.
    assert_eq!(get(&flux, dir.path(), None, "/", &[]), "200");
    let names = verify(&origin.take(), &format!("a.test:{port}")).unwrap();
    assert_eq!(names, ["@method", "@authority", "@path", "@query"]);
    assert!(!flux.said().contains(SECRET));
}

#[test]
fn signs_over_http_2_too() {
    let (root, dir) = (Pki::root("root"), folder());
    chain(&root, dir.path());
    let origin = Peer::start(Answer::Http2, None);
    let flux = signed(origin.address, &root, "protocol = \"h2c\"").start();
    assert_eq!(get(&flux, dir.path(), Some("client"), "/", &["-H", "Client-Cert: :Zm9yZ2Vk:"]), "200");
    let head = origin.requests().concat();
    assert!(head.contains("\"signature-input\": \"fluxheim=("), "{head}");
    assert!(head.contains("\"client-cert\": \":m") && head.contains("\"signature\": \"fluxheim=:"), "{head}");
    assert!(!head.contains("zm9yz2vk"), "{head}");
}

#[test]
fn nothing_goes_out_unsigned_instead() {
    let (origin, root) = (Verbatim::start(), Pki::root("root"));
    for (secret, mode, said) in [("short", 0o600, "32"), (SECRET, 0o644, "0644"), ("", 0o600, "identity.key")]
    {
        let flux = signed(origin.address, &root, "");
        let file = flux.dir.path().join("identity.key");
        std::fs::write(&file, secret).unwrap();
        set_mode(&file, mode);
        let output = flux.run_to_end();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(78), "{stderr}");
        assert!(stderr.contains(said) && stderr.contains("identity.key"), "{stderr}");
    }
}
