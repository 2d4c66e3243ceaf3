//! TLS as real clients see it.

use std::io::{Read, Write};
use std::net::SocketAddr;

use nix::sys::signal::Signal;

use crate::support::{
    Flux, Nginx, Running, certificate, curl, program, request, rsa_certificate, run, set_mode, tls,
};

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

fn handshake(address: SocketAddr, args: &[&str]) -> String {
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
fn a_client_without_a_name_gets_the_certificate_of_the_address_it_came_to() {
    let addresses = ["127.0.0.1", "127.0.0.2", "127.0.0.3"];
    let pairs: String = addresses
        .iter()
        .map(|name| {
            format!("[[tls.certificates]]\nname = \"{name}\"\ncert = \"{name}.pem\"\nkey = \"{name}.key\"\n")
        })
        .collect();
    let flux = || {
        let flux = Flux::server("https = [\"0.0.0.0:0\"]", &pairs);
        addresses.iter().for_each(|name| drop(certificate(flux.dir.path(), name, &[name])));
        flux
    };
    for strict in [false, true] {
        let flux = flux().also(&format!("[tls]\nstrict_sni = {strict}\n")).start();
        let seen = |address: &str, version: &str| {
            let at = SocketAddr::new(address.parse().unwrap(), flux.https().port());
            handshake(at, &["-noservername", version])
        };
        for address in addresses {
            for version in ["-tls1_2", "-tls1_3"] {
                let seen = seen(address, version);
                assert!(seen.contains(&format!("subject=CN = {address}")), "{address}: {seen}");
            }
        }
        // Where none is for the address, the first stands in, or none does.
        let other = seen("127.0.0.4", "-tls1_3");
        match strict {
            false => assert!(other.contains("subject=CN = 127.0.0.1"), "{other}"),
            true => assert!(other.contains("unrecognized name"), "{other}"),
        }
    }
}

#[test]
fn keys_of_tickets_and_files_that_are_of_no_ca_are_judged_before_anything_starts() {
    let rest = "[tls.session_tickets]\nkey_file = \"tickets\"\n\
                [[tls.certificates]]\nname = \"a\"\ncert = \"a.pem\"\nkey = \"a.key\"\n\
                [[upstreams]]\nname = \"app\"\nservers = [\"127.0.0.1:1\"]\ntls = { ca = \"a.pem\", server_name = \"a.test\" }\n\
                [[vhosts]]\nhosts = [\"a.test\"]\nclient_auth = { mode = \"required\", ca = \"b.pem\" }\n\
                routes = [{ path = \"/\", upstream = \"app\" }]\n";
    let flux = Flux::server("https = [\"127.0.0.1:0\"]", rest).file("tickets", b"# none\nc2hvcnQ=\n");
    set_mode(&flux.dir.path().join("tickets"), 0o600);
    certificate(flux.dir.path(), "a", &["a.test"]);
    certificate(flux.dir.path(), "b", &["b.test"]);
    let config = flux.write();
    // It judges for the service user, and the proxy here is another one.
    let given_to = |user: u32| {
        for name in ["tickets", "a.key"] {
            std::os::unix::fs::chown(flux.dir.path().join(name), Some(user), Some(user)).unwrap();
        }
    };
    given_to(65532);
    let check = || {
        let output = program(&["--check-tls-storage", "--config", config.to_str().unwrap()]);
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, told) = check();
    assert_eq!(code, Some(78), "{told}");
    for part in ["[ticket-keys-unusable]", "tickets", "line 2 is no key", "openssl rand -base64 32"] {
        assert!(told.contains(part), "{part} is not in {told}");
    }
    assert!(!told.contains("c2hvcnQ"), "{told}");
    let no_ca = "no basic constraints CA:TRUE: certificate 1 (CN=";
    assert_eq!(told.matches("[not-a-ca]").count(), 2, "{told}");
    given_to(0);
    let refused = String::from_utf8(flux.run_to_end().stderr).unwrap();
    assert!(refused.contains("line 2 is no key: give 32 to 64 random bytes"), "{refused}");
    let key = run("openssl", "openssl", &["rand", "-base64", "32"]).stdout;
    std::fs::write(flux.dir.path().join("tickets"), key).unwrap();
    given_to(65532);
    assert_eq!(check().0, Some(0), "{}", check().1);
    given_to(0);
    // The proxy takes them, as a certificate that has signed itself can be pinned so, and says what they are.
    let running = flux.start();
    let said = running.said();
    for name in ["CN=a.test", "CN=b.test"] {
        let told = |line: &&str| line.contains(no_ca) && line.contains(name) && line.contains("not-a-ca");
        assert_eq!(said.lines().filter(told).count(), 1, "{name}: {said}");
    }
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
fn with_strict_sni_no_certificate_stands_in_for_another_name() {
    let (flux, _nginx) = two_names();
    let flux = flux.also("[tls]\nstrict_sni = true\n").start();
    for name in ["a.test", "A.TEST", "x.b.test"] {
        let seen = handshake(flux.https(), &["-servername", name]);
        assert!(seen.contains("subject=CN = "), "{name}: {seen}");
    }
    for args in [&["-servername", "other.test"][..], &["-servername", "x.y.b.test"], &["-noservername"]] {
        for version in ["-tls1_2", "-tls1_3"] {
            let seen = handshake(flux.https(), &[args, &[version]].concat());
            assert!(seen.contains("unrecognized name"), "{args:?}: {seen}");
        }
    }
}

#[test]
fn the_modern_profile_speaks_tls_1_3_only_and_every_suite_of_the_other_is_forward_secret() {
    let (flux, _nginx) = two_names();
    let flux = flux.also("[tls]\nprofile = \"modern\"\n").start();
    assert!(handshake(flux.https(), &["-tls1_3", "-servername", "a.test"]).contains("New, TLSv1.3"));
    let old = handshake(flux.https(), &["-tls1_2", "-servername", "a.test"]);
    assert!(old.contains("alert protocol version"), "{old}");
    let (flux, _nginx) = two_names();
    let flux = flux.start();
    for suite in ["AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA256", "DHE-RSA-AES128-GCM-SHA256"] {
        let args = ["-tls1_2", "-cipher", &format!("{suite}:@SECLEVEL=0"), "-servername", "a.test"];
        let seen = handshake(flux.https(), &args);
        assert!(seen.contains("alert handshake failure"), "{suite}: {seen}");
    }
}

/// The status that a request for `host` gets over a connection made for `name`.
fn status(flux: &Running, name: &str, host: &str) -> u16 {
    let mut client = tls(flux, name, &[b"http/1.1"]);
    client
        .write_all(format!("GET /h HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes())
        .unwrap();
    let mut response = Vec::new();
    let _ = client.read_to_end(&mut response);
    String::from_utf8_lossy(&response).split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_request_for_a_host_that_the_certificate_is_not_for_is_misdirected() {
    let vhost = |host: &str| {
        format!(
            "[[vhosts]]\nhosts = [\"{host}\"]\nroutes = [{{ path = \"/\", respond = {{ status = 200 }} }}]\n"
        )
    };
    let pairs = "[[tls.certificates]]\nname = \"a\"\ncert = \"a.pem\"\nkey = \"a.key\"\n";
    let rest = format!("{pairs}{}{}{}", vhost("a.test"), vhost("*.b.test"), vhost("c.test"));
    let flux = Flux::server("https = [\"127.0.0.1:0\"]", &rest);
    certificate(flux.dir.path(), "a", &["a.test", "*.b.test", "127.0.0.1"]);
    let flux = flux.start();
    for (name, host, expected) in [
        ("a.test", "a.test", 200),
        ("a.test", "A.test.:443", 200),
        // One connection may serve all that its certificate is for.
        ("a.test", "x.b.test", 200),
        ("x.b.test", "a.test", 200),
        ("a.test", "c.test", 421),
        ("a.test", "x.y.b.test", 421),
        // No name is asked for where the client has an address only.
        ("127.0.0.1", "c.test", 200),
    ] {
        assert_eq!(status(&flux, name, host), expected, "{name}, {host}");
    }
    let line = flux.access_line("/h");
    assert!(line["tls_sni"].is_string(), "{line}");
    let (flux, host) = (flux, "c.test");
    let mut client = tls(&flux, "a.test", &[b"http/1.1"]);
    client.write_all(format!("GET /lost HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).unwrap();
    let line = flux.access_line("/lost");
    assert_eq!((line["error"].as_str(), line["status"].as_u64()), (Some("misdirected"), Some(421)), "{line}");
}

/// What a session that was taken up looks like to OpenSSL; `version` is one of its flags.
fn resumes(at: SocketAddr, to: SocketAddr, names: [&str; 2], version: &str) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let session = folder.path().join("session");
    let session = session.to_str().unwrap();
    // Tickets of TLS 1.3 come after the handshake: the client has to read for a moment.
    let ask = |address: SocketAddr, name: &str, flag: &str| {
        let line = format!(
            "(printf 'GET / HTTP/1.1\\r\\nHost: {name}\\r\\nConnection: close\\r\\n\\r\\n'; sleep 1) | \
             openssl s_client -connect {address} -servername {name} {version} -ign_eof {flag} {session} 2>&1"
        );
        let output = run("sh", "dash", &["-c", &line]);
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let first = ask(at, names[0], "-sess_out");
    assert!(first.contains("\nNew, TLSv1"), "{first}");
    if !std::path::Path::new(session).exists() {
        return false;
    }
    let second = ask(to, names[1], "-sess_in");
    assert!(second.contains("\nReused, TLSv1") || second.contains("\nNew, TLSv1"), "{second}");
    second.contains("\nReused, TLSv1")
}

const SAME: [&str; 2] = ["a.test", "a.test"];

/// What a server does not ask again of a session that it takes up, it has to have asked for that name.
#[test]
fn takes_up_no_session_for_another_name() {
    for more in ["", "[tls]\nsession_cache_size = 100\n[tls.session_tickets]\nenabled = false\n"] {
        let (flux, _nginx) = two_names();
        let flux = flux.also(more).start();
        for version in ["-tls1_2", "-tls1_3"] {
            let resumes = |names| resumes(flux.https(), flux.https(), names, version);
            assert!(resumes(SAME) && !resumes(["a.test", "x.b.test"]), "{version} {more}");
            assert!(!resumes(["x.b.test", "y.b.test"]), "{version} {more}");
        }
    }
}

#[test]
fn takes_up_sessions_by_ticket_or_from_memory_or_not_at_all() {
    let off = "[tls.session_tickets]\nenabled = false\n";
    for (more, expected) in
        [("", true), (off, false), (&format!("[tls]\nsession_cache_size = 100\n{off}"), true)]
    {
        let flux = two_kinds("").also(more).start();
        for version in ["-tls1_2", "-tls1_3"] {
            assert_eq!(resumes(flux.https(), flux.https(), SAME, version), expected, "{version} {more}");
        }
        if expected {
            let counted = String::from_utf8(request(flux.metrics(), "x", "/metrics").body).unwrap();
            assert!(counted.contains("version=\"TLSv1.2\",group=\"none\",resumed=\"yes\"} 1"), "{counted}");
        }
    }
}

#[test]
fn replicas_with_one_key_file_take_up_each_other_s_sessions_over_a_change_of_keys() {
    let (old, new) =
        ("b2xkb2xkb2xkb2xkb2xkb2xkb2xkb2xkb2xkb2xkb2w=", "bmV3bmV3bmV3bmV3bmV3bmV3bmV3bmV3bmV3bmV3bmU=");
    let replica = |keys: &str| {
        let flux = two_kinds("").also("[tls.session_tickets]\nkey_file = \"tickets.key\"\n");
        let flux = flux.file("tickets.key", keys.as_bytes());
        set_mode(&flux.dir.path().join("tickets.key"), 0o600);
        flux.start()
    };
    let (one, other) = (replica(&format!("{old}\n")), replica(&format!("# from today\n{new}\n{old}\n")));
    for version in ["-tls1_2", "-tls1_3"] {
        assert!(resumes(one.https(), other.https(), SAME, version), "{version}");
        assert!(!resumes(other.https(), one.https(), SAME, version), "{version}");
    }
    let keys = one.dir.path().join("tickets.key");
    std::fs::write(&keys, format!("{old}\n{new}\n")).unwrap();
    one.wait_for("file replaced");
    assert!(resumes(other.https(), one.https(), SAME, "-tls1_3"));
    // What is no key leaves the old ones in use, and keeps a configuration from being used.
    std::fs::write(&keys, "short\n").unwrap();
    let alarm = one.wait_for_start_of("replaced by what can't be used").to_string();
    assert!(alarm.contains("line 1 is no key"), "{alarm}");
    one.signal(Signal::SIGHUP);
    let refused = one.wait_for_start_of("reload refused").to_string();
    assert!(refused.contains("tickets.key") && refused.contains("line 1 is no key"), "{refused}");
    assert!(resumes(other.https(), one.https(), SAME, "-tls1_3"));
}

#[test]
fn refuses_to_start_on_ticket_keys_that_others_can_read() {
    let flux = two_kinds("").also("[tls.session_tickets]\nkey_file = \"tickets.key\"\n");
    let flux = flux.file("tickets.key", b"b2xkb2xkb2xkb2xkb2xkb2xkb2xkb2xkb2xkb2xkb2w=\n");
    set_mode(&flux.dir.path().join("tickets.key"), 0o644);
    let output = flux.run_to_end();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(78), "{said}");
    assert!(said.contains("keys of session tickets") && said.contains("chmod 0600"), "{said}");
}

#[test]
fn sends_an_ocsp_response_along_and_no_stale_one() {
    let staple = |is_over: bool| {
        let rest = "[[tls.certificates]]\nname = \"a\"\ncert = \"a.pem\"\nkey = \"a.key\"\nocsp = \"a.ocsp\"\n\
                    [[vhosts]]\nhosts = [\"a.test\"]\nroutes = [{ path = \"/\", respond = { status = 200 } }]\n";
        let flux = Flux::server("https = [\"127.0.0.1:0\"]", rest);
        certificate(flux.dir.path(), "a", &["a.test"]);
        let line = format!(
            "cd {} && serial=$(openssl x509 -in a.pem -noout -serial | cut -d= -f2) && \
             printf 'V\\t351231235959Z\\t\\t%s\\tunknown\\t/CN=a.test\\n' $serial > index && \
             openssl ocsp -index index -CA a.pem -rsigner a.pem -rkey a.key -issuer a.pem -cert a.pem \
             -noverify -respout a.ocsp -ndays 2",
            flux.dir.path().display()
        );
        let output = run("sh", "dash", &["-c", &line]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        if is_over {
            // The last time in it is nextUpdate.
            let file = flux.dir.path().join("a.ocsp");
            let mut response = std::fs::read(&file).unwrap();
            std::fs::copy(&file, flux.dir.path().join("good.ocsp")).unwrap();
            let at = response.windows(4).rposition(|bytes| bytes == b"\x18\x0f20").unwrap();
            response[at + 2..at + 6].copy_from_slice(b"2020");
            std::fs::write(&file, response).unwrap();
        }
        flux.start()
    };
    let flux = staple(false);
    for version in ["-tls1_2", "-tls1_3"] {
        let seen = handshake(flux.https(), &["-status", "-servername", "a.test", version]);
        assert!(
            seen.contains("OCSP Response Status: successful") && seen.contains("Cert Status: good"),
            "{seen}"
        );
    }
    let flux = staple(true);
    let seen = handshake(flux.https(), &["-status", "-servername", "a.test"]);
    assert!(seen.contains("OCSP response: no response sent"), "{seen}");
    let said = flux.said();
    assert!(said.contains("a.ocsp") && said.contains("its time is over"), "{said}");
    let folder = flux.dir.path();
    std::fs::rename(folder.join("good.ocsp"), folder.join("a.ocsp")).unwrap();
    flux.wait_for("file replaced");
    let seen = handshake(flux.https(), &["-status", "-servername", "a.test"]);
    assert!(seen.contains("OCSP Response Status: successful"), "{seen}");
}

#[test]
fn turns_a_client_away_that_asks_for_too_many_handshakes() {
    let more = "[limits]\nhandshake_rate = { handshakes = 1, per = \"1h\", burst = 3 }\n";
    let flux = two_kinds("").also(more).start();
    let shakes = || handshake(flux.https(), &["-servername", "a.test"]).contains("New, TLSv1.3");
    assert!((0..3).all(|_| shakes()) && (0..3).all(|_| !shakes()));
    let counted = String::from_utf8(request(flux.metrics(), "x", "/metrics").body).unwrap();
    assert!(counted.contains("fluxheim_connections_refused_total{reason=\"handshake_rate\"} 3"), "{counted}");
}

#[test]
fn handshakes_may_have_threads_of_their_own() {
    let flux = two_kinds("").also("[tls]\noffload_threads = 2\n").start();
    let names = std::fs::read_dir(format!("/proc/{}/task", flux.pid())).unwrap();
    let names = names.map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).unwrap());
    assert_eq!(names.filter(|name| name.trim_end() == "handshakes").count(), 2);
    for version in ["-tls1_2", "-tls1_3"] {
        assert!(resumes(flux.https(), flux.https(), SAME, version), "{version}");
    }
    let failed = handshake(flux.https(), &["-alpn", "smtp", "-servername", "a.test"]);
    assert!(failed.contains("alert no application protocol"), "{failed}");
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
