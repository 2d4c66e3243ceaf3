//! TLS as real clients see it.

use std::io::{Read, Write};

use crate::support::{Flux, Nginx, certificate, curl, request, rsa_certificate, run, set_mode, tls};

fn two_names() -> (Flux, Nginx) {
    let nginx = Nginx::serving(&[("hello", b"hello over tls")]);
    let rest = format!(
        "[[tls.certificates]]\nname = \"a\"\ncert = \"a.pem\"\nkey = \"a.key\"\n\
         [[tls.certificates]]\nname = \"b\"\ncert = \"b.pem\"\nkey = \"b.key\"\n\
         [[upstreams]]\nname = \"app\"\nservers = [\"{}\"]\n[[vhosts]]\nhosts = [\"a.test\", \"*.b.test\"]\n\
         [[vhosts.routes]]\npath = \"/\"\nupstream = \"app\"\n",
        nginx.address
    );
    let flux = Flux::server("https = [\"127.0.0.1:0\"]", &rest);
    certificate(flux.dir.path(), "a", &["a.test"]);
    certificate(flux.dir.path(), "b", &["*.b.test"]);
    (flux, nginx)
}

fn handshake(address: std::net::SocketAddr, args: &[&str]) -> String {
    let connect = address.to_string();
    let output = run("openssl", "openssl", &[&["s_client", "-connect", &connect], args].concat());
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn chooses_the_certificate_by_name() {
    let (flux, _nginx) = two_names();
    let flux = flux.start();
    for (name, subject) in
        [("a.test", "CN = a.test"), ("x.b.test", "CN = *.b.test"), ("other.test", "CN = a.test")]
    {
        let seen = handshake(flux.https(), &["-servername", name]);
        assert!(seen.contains(&format!("subject={subject}")), "{name}: {seen}");
    }
    assert!(handshake(flux.https(), &["-noservername"]).contains("subject=CN = a.test"));
}

#[test]
fn speaks_tls_1_2_and_1_3_and_nothing_older() {
    let (flux, _nginx) = two_names();
    let flux = flux.start();
    assert!(handshake(flux.https(), &["-tls1_2", "-servername", "a.test"]).contains("New, TLSv1.2"));
    assert!(handshake(flux.https(), &["-tls1_3", "-servername", "a.test"]).contains("New, TLSv1.3"));
    let old = handshake(flux.https(), &["-tls1_1", "-cipher", "ALL@SECLEVEL=0", "-servername", "a.test"]);
    assert!(old.contains("Cipher is (NONE)"), "{old}");
}

#[test]
fn carries_requests_over_both_http_versions() {
    let (flux, _nginx) = two_names();
    let flux = flux.start();
    let port = flux.https().port();
    let resolve = format!("a.test:{port}:127.0.0.1");
    let url = format!("https://a.test:{port}/hello");
    let ca = flux.dir.path().join("a.pem");
    for (flag, version) in [("--http2", "2"), ("--http1.1", "1.1")] {
        let out = curl(&[
            flag,
            "--cacert",
            ca.to_str().unwrap(),
            "--resolve",
            &resolve,
            "-w",
            " %{http_version}",
            &url,
        ]);
        assert_eq!(String::from_utf8(out).unwrap(), format!("hello over tls {version}"));
    }
    let line = flux.access_line("/hello");
    assert_eq!((line["scheme"].as_str(), line["protocol"].as_str()), (Some("https"), Some("HTTP/2.0")));
}

/// An ECDSA and an RSA certificate for the same name; `vhost` says which of them are served.
fn two_kinds(vhost: &str) -> Flux {
    let rest = format!(
        "[[tls.certificates]]\nname = \"rsa\"\ncert = \"rsa.pem\"\nkey = \"rsa.key\"\n\
         [[tls.certificates]]\nname = \"ec\"\ncert = \"a.pem\"\nkey = \"a.key\"\n\
         [[vhosts]]\nhosts = [\"a.test\"]\n{vhost}\
         routes = [{{ path = \"/\", respond = {{ status = 200, body = \"hello\" }} }}]\n"
    );
    let flux = Flux::server("https = [\"127.0.0.1:0\"]", &rest);
    certificate(flux.dir.path(), "a", &["a.test"]);
    rsa_certificate(flux.dir.path(), "rsa", &["a.test"]);
    flux
}

#[test]
fn serves_the_kind_of_certificate_that_the_client_can_verify() {
    let rsa_only = "rsa_pss_rsae_sha256:RSA+SHA256";
    for (vhost, preferred) in [
        ("", "id-ecPublicKey"),
        ("certificate = [\"ec\", \"rsa\"]\n", "id-ecPublicKey"),
        ("certificate = [\"rsa\", \"ec\"]\n", "rsaEncryption"),
        ("certificate = \"rsa\"\n", "rsaEncryption"),
    ] {
        let flux = two_kinds(vhost).start();
        let kind = |args: &[&str]| {
            let seen = handshake(flux.https(), &[&["-servername", "A.test"], args].concat());
            let at = seen.find("a:PKEY: ").unwrap_or_else(|| panic!("{seen}")) + "a:PKEY: ".len();
            seen[at..].split(',').next().unwrap().to_owned()
        };
        assert_eq!(kind(&[]), preferred, "{vhost}");
        for version in ["-tls1_2", "-tls1_3"] {
            assert_eq!(kind(&[version, "-sigalgs", rsa_only]), "rsaEncryption", "{vhost}");
        }
    }
}

#[test]
fn agrees_on_a_hybrid_key_exchange_and_says_so() {
    let flux = two_kinds("").start();
    let mut client = tls(&flux, "a.test", &[b"http/1.1"]);
    client.write_all(b"GET /hybrid HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n").unwrap();
    let mut response = Vec::new();
    // A peer that closes without a word after its answer has given it.
    let _ = client.read_to_end(&mut response);
    assert!(response.ends_with(b"hello"));
    let line = flux.access_line("/hybrid");
    assert_eq!(
        (line["tls_group"].as_str(), line["tls_sni"].as_str(), line["tls_version"].as_str()),
        (Some("X25519MLKEM768"), Some("a.test"), Some("TLSv1.3")),
        "{line}"
    );
    assert!(line["tls_resumed"].is_null(), "{line}");
    let counted = String::from_utf8(request(flux.metrics(), "x", "/metrics").body).unwrap();
    let series = "fluxheim_tls_sessions_total{version=\"TLSv1.3\",group=\"X25519MLKEM768\",resumed=\"no\"} 1";
    assert!(counted.contains(series), "{counted}");
}

#[test]
fn tells_a_client_why_there_is_no_handshake() {
    let (flux, _nginx) = two_names();
    let flux = flux.start();
    let seen = handshake(flux.https(), &["-alpn", "smtp", "-servername", "a.test"]);
    assert!(seen.contains("alert no application protocol"), "{seen}");
    let old = handshake(flux.https(), &["-tls1_1", "-cipher", "ALL@SECLEVEL=0", "-servername", "a.test"]);
    assert!(old.contains("alert handshake failure"), "{old}");
}

#[test]
fn refuses_to_start_on_a_key_that_others_can_read() {
    let (flux, _nginx) = two_names();
    let key = flux.dir.path().join("a.key");
    set_mode(&key, 0o644);
    let output = flux.run_to_end();
    assert_eq!(output.status.code(), Some(78));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains(key.to_str().unwrap()) && said.contains("0644") && said.contains("chmod 0600"),
        "{said}"
    );
    assert!(!said.contains("\"listening\""), "{said}");
}

#[test]
fn refuses_to_start_on_a_key_of_another_certificate() {
    let (flux, _nginx) = two_names();
    std::fs::copy(flux.dir.path().join("b.key"), flux.dir.path().join("a.key")).unwrap();
    let output = flux.run_to_end();
    assert_eq!(output.status.code(), Some(78));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("a.pem") && said.contains("a.key"), "{said}");
}

#[test]
fn offers_the_hybrid_group_first() {
    // OpenSSL here may be too old to speak it, so the offer is checked where it is made.
    fluxheim::tls::install_provider().unwrap();
    let groups = &rustls::crypto::CryptoProvider::get_default().unwrap().kx_groups;
    assert_eq!(groups[0].name(), rustls::NamedGroup::X25519MLKEM768);
}
