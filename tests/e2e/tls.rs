//! TLS as real clients see it.

use crate::support::{Flux, Nginx, certificate, curl, run, set_mode};

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
