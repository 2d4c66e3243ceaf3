//! Client certificates: whose are believed, whom they let in, what routes and upstreams learn of them.

use std::io::{Read, Write};
use std::path::Path;

use nix::sys::signal::Signal;

use crate::support::{Flux, Pki, Running, Scripted, Wanted, certificate, folder, program, request, run};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Vhosts that ask for certificates and one that doesn't, before one origin. `$CA` is the file of the CA.
fn flux(origin: &Scripted, pki: &Pki, vhosts: &str) -> Flux {
    let rest = format!(
        "[[tls.certificates]]\nname = \"a\"\ncert = \"a.pem\"\nkey = \"a.key\"\n\
         [[upstreams]]\nname = \"app\"\nservers = [\"{}\"]\n{}\n\
         [[vhosts]]\nhosts = [\"open.test\"]\nroutes = [{{ path = \"/\", upstream = \"app\" }}]\n",
        origin.address,
        vhosts.replace("$ROUTES", "routes = [{ path = \"/\", upstream = \"app\" }]"),
    );
    let flux = Flux::server("http = [\"127.0.0.1:0\"]\nhttps = [\"127.0.0.1:0\"]\nthreads = 2", &rest);
    let names = ["closed.test", "open.test", "*.wild.test", "maybe.test"];
    certificate(flux.dir.path(), "a", &names);
    flux.file("ca.pem", pki.pem().as_bytes())
}

const CLOSED: &str = "[[vhosts]]\nhosts = [\"closed.test\", \"*.wild.test\"]\n$ROUTES\n\
    client_auth = { mode = \"required\", ca = \"ca.pem\" }\n\
    [[vhosts]]\nhosts = [\"maybe.test\"]\n$ROUTES\nclient_auth = { mode = \"optional\", ca = \"ca.pem\" }\n";

/// A client with a certificate in a folder, or without.
struct Client<'a> {
    flux: &'a Running,
    folder: &'a Path,
    name: Option<&'a str>,
}

impl Client<'_> {
    /// The status, or what curl says.
    fn get(&self, host: &str, more: &[&str]) -> Result<u16, String> {
        let port = self.flux.https().port();
        let url = format!("https://{host}:{port}/");
        self.get_at(&url, host, more)
    }

    fn get_at(&self, url: &str, resolved: &str, more: &[&str]) -> Result<u16, String> {
        let port = self.flux.https().port();
        let resolve = format!("{resolved}:{port}:127.0.0.1");
        let ca = self.flux.dir.path().join("a.pem");
        let file = |kind: &str| self.name.map(|name| self.folder.join(format!("{name}.{kind}")));
        let (cert, key) = (file("pem"), file("key"));
        let mut args =
            vec!["-sS", "--max-time", "20", "--cacert", ca.to_str().unwrap(), "--resolve", &resolve];
        args.extend(["-o", "/dev/null", "-w", "%{http_code}"]);
        if let (Some(cert), Some(key)) = (&cert, &key) {
            args.extend(["--cert", cert.to_str().unwrap(), "--key", key.to_str().unwrap()]);
        }
        args.extend(more);
        args.push(url);
        let output = run("curl", "curl", &args);
        match output.status.success() {
            true => Ok(String::from_utf8(output.stdout).unwrap().parse().unwrap()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }
}

fn metric(flux: &Running, line: &str) -> bool {
    let text = String::from_utf8(request(flux.metrics(), "x", "/metrics").body).unwrap();
    text.contains(line)
}

#[test]
fn lets_in_who_shows_a_good_certificate_and_nobody_else() {
    let (origin, pki, other, dir) =
        (Scripted::answering(OK), Pki::root("clients"), Pki::root("clients"), folder());
    pki.certify(dir.path(), "good", Wanted::client("/CN=good", "DNS:good.test"));
    pki.certify(dir.path(), "anything", Wanted { usage: "", ..Wanted::client("/CN=any", "") });
    pki.certify(dir.path(), "server", Wanted { usage: "serverAuth", ..Wanted::client("/CN=server", "") });
    let past = Some(("20200101000000Z", "20200102000000Z"));
    pki.certify(dir.path(), "past", Wanted { dates: past, ..Wanted::client("/CN=past", "") });
    let future = Some(("20480101000000Z", "20490102000000Z"));
    pki.certify(dir.path(), "future", Wanted { dates: future, ..Wanted::client("/CN=future", "") });
    other.certify(dir.path(), "stranger", Wanted::client("/CN=good", "DNS:good.test"));
    let flux = flux(&origin, &pki, CLOSED).start();
    let get =
        |name, host: &str, more: &[&str]| Client { flux: &flux, folder: dir.path(), name }.get(host, more);
    for version in ["--http1.1", "--http2"] {
        for tls in [&["--tls-max", "1.2"][..], &["--tlsv1.3"]] {
            let more = [&[version], tls].concat();
            assert_eq!(get(Some("good"), "closed.test", &more), Ok(200), "{more:?}");
            assert_eq!(get(Some("good"), "X.Wild.Test", &more), Ok(200), "{more:?}");
            assert!(get(None, "closed.test", &more).is_err(), "{more:?}");
            assert!(get(Some("stranger"), "closed.test", &more).is_err(), "{more:?}");
        }
    }
    assert_eq!(get(Some("anything"), "closed.test", &[]), Ok(200));
    for (name, result) in [("server", "purpose"), ("past", "expired"), ("future", "not_yet_valid")] {
        assert!(get(Some(name), "closed.test", &[]).is_err(), "{name}");
        // Optional is no way in for one that is bad.
        assert!(get(Some(name), "maybe.test", &[]).is_err(), "{name}");
        let counted =
            format!("tls_client_certificates_total{{vhost=\"maybe.test\",result=\"{result}\"}} 1\n");
        assert!(metric(&flux, &counted), "{counted}");
    }
    assert_eq!((get(None, "maybe.test", &[]), get(Some("good"), "maybe.test", &[])), (Ok(200), Ok(200)));
    assert_eq!(get(None, "open.test", &[]), Ok(200));
    assert!(metric(&flux, "vhost=\"closed.test\",result=\"missing\"} 4\n"));
    assert!(metric(&flux, "vhost=\"maybe.test\",result=\"none\"} 1\n"));
    let line = flux.access_line("/");
    assert_eq!(line["client_cert_subject"], "CN=good", "{line}");
    assert_eq!(line["client_cert_fingerprint"].as_str().unwrap().len(), 64);
    // A certificate is nobody's business beyond that.
    assert!(!flux.said().contains("MII"));
}

#[test]
fn names_a_certificate_of_version_1() {
    let (origin, pki, dir) = (Scripted::answering(OK), Pki::root("clients"), folder());
    pki.certify_plainly(dir.path(), "plain", "/CN=plain");
    let flux = flux(&origin, &pki, &format!("{CLOSED}[logging]\nlevel = \"debug\"\n")).start();
    for tls in [&["--tls-max", "1.2"][..], &["--tlsv1.3"]] {
        let client = Client { flux: &flux, folder: dir.path(), name: Some("plain") };
        assert!(client.get("closed.test", tls).is_err(), "{tls:?}");
    }
    assert!(metric(&flux, "tls_client_certificates_total{vhost=\"closed.test\",result=\"version\"} 2\n"));
    let line = flux.wait_for("a client's certificate is refused");
    assert_eq!((&line["vhost"], &line["result"]), (&"closed.test".into(), &"version".into()), "{line}");
}

#[test]
fn tells_the_client_by_an_alert() {
    let (origin, pki, dir) = (Scripted::answering(OK), Pki::root("clients"), folder());
    let past = Some(("20200101000000Z", "20200102000000Z"));
    let (cert, key) =
        pki.certify(dir.path(), "past", Wanted { dates: past, ..Wanted::client("/CN=past", "") });
    let flux = flux(&origin, &pki, CLOSED).start();
    let alert = |more: &[&str]| {
        let connect = flux.https().to_string();
        let args = ["s_client", "-connect", &connect, "-servername", "closed.test", "-ign_eof", "-tls1_3"];
        let output = run("openssl", "openssl", &[&args[..], more].concat());
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout)
    };
    // RFC 8446 section 6.2: 116 and 45.
    let said = alert(&[]);
    assert!(said.contains("alert number 116") || said.contains("certificate required"), "{said}");
    assert!(said.contains("CN = clients"), "the CAs that are believed are named: {said}");
    let said = alert(&["-cert", cert.to_str().unwrap(), "-key", key.to_str().unwrap()]);
    assert!(said.contains("alert number 45") || said.contains("certificate expired"), "{said}");
}

#[test]
fn plain_http_never_stands_in_for_a_handshake() {
    let (origin, pki) = (Scripted::answering(OK), Pki::root("clients"));
    let redirected = "[[vhosts]]\nhosts = [\"moved.test\"]\nredirect = \"https\"\n$ROUTES\n\
         client_auth = { mode = \"required\", ca = \"ca.pem\" }\n";
    let flux = flux(&origin, &pki, &format!("{CLOSED}{redirected}")).start();
    for host in ["closed.test", "CLOSED.test.", "a.wild.test:80"] {
        let answer = request(flux.http(), host, "/plain");
        assert_eq!(answer.status, 403, "{host}");
    }
    assert_eq!(flux.access_line("/plain")["error"], "client_certificate_required");
    assert_eq!(request(flux.http(), "moved.test", "/").status, 308);
    assert_eq!(request(flux.http(), "maybe.test", "/").status, 200);
    for method in ["HEAD", "OPTIONS", "POST"] {
        let head = format!(
            "{method} /{method} HTTP/1.1\r\nHost: closed.test\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        );
        assert_eq!(crate::support::exchange(flux.http(), &head).status, 403, "{method}");
    }
    let upgrade =
        "GET /upgrade HTTP/1.1\r\nHost: closed.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    assert_eq!(crate::support::exchange(flux.http(), upgrade).status, 403);
    assert_eq!(origin.requests(), 1);
}

#[test]
fn a_connection_made_for_another_vhost_is_no_way_in() {
    let (origin, pki, dir) = (Scripted::answering(OK), Pki::root("clients"), folder());
    pki.certify(dir.path(), "good", Wanted::client("/CN=good", ""));
    let flux = flux(&origin, &pki, CLOSED).start();
    for name in ["open.test", "maybe.test"] {
        for host in ["closed.test", "Closed.TEST", "x.wild.test", "maybe.test", "open.test"] {
            let mut tls = crate::support::tls(&flux, name, &[b"http/1.1"]);
            write!(tls, "GET /{name}/{host} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
            let mut answer = String::new();
            let _ = tls.read_to_string(&mut answer);
            // The certificate is for all of them, so only a vhost that asks for certificates minds.
            let expected = if host == name || host == "open.test" { "HTTP/1.1 200" } else { "HTTP/1.1 421" };
            assert!(answer.starts_with(expected), "{name}, {host}: {answer}");
        }
    }
    assert_eq!(flux.access_line("/open.test/closed.test")["error"], "misdirected");
    // A certificate that was shown to one vhost is not shown to another.
    let client = Client { flux: &flux, folder: dir.path(), name: Some("good") };
    assert_eq!(client.get("maybe.test", &["-H", "Host: closed.test"]), Ok(421));
    assert_eq!(client.get("closed.test", &["-H", "Host: CLOSED.test"]), Ok(200));
    // Without a name there is no vhost here that could have asked.
    let port = flux.https().port();
    let url = format!("https://127.0.0.1:{port}/");
    let unnamed = client.get_at(&url, "x", &["-k", "-H", "Host: closed.test"]);
    assert_eq!(unnamed, Ok(421));
}

#[test]
fn a_vhost_that_is_an_address_asks_whoever_comes_to_it() {
    let (origin, pki, dir) = (Scripted::answering(OK), Pki::root("clients"), folder());
    pki.certify(dir.path(), "good", Wanted::client("/CN=good", ""));
    let vhosts = "[[vhosts]]\nhosts = [\"127.0.0.1\"]\n$ROUTES\n\
                  client_auth = { mode = \"required\", ca = \"ca.pem\" }\n\
                  [[vhosts]]\nhosts = [\"*\"]\n$ROUTES\n";
    let flux = flux(&origin, &pki, vhosts).start();
    let url = format!("https://127.0.0.1:{}/", flux.https().port());
    let of = |name| Client { flux: &flux, folder: dir.path(), name };
    assert_eq!(of(Some("good")).get_at(&url, "x", &["-k"]), Ok(200));
    assert!(of(None).get_at(&url, "x", &["-k"]).is_err());
    assert_eq!(of(None).get("open.test", &[]), Ok(200));
    // Whoever came for the address has not come for another vhost's name, nor the other way round.
    assert_eq!(of(None).get("open.test", &["-H", "Host: 127.0.0.1"]), Ok(421));
}

/// CVE-2026-32305: whoever sends the first message in pieces is asked all the same.
#[test]
fn a_fragmented_hello_is_asked_all_the_same() {
    let (origin, pki) = (Scripted::answering(OK), Pki::root("clients"));
    let flux = flux(&origin, &pki, CLOSED).start();
    for piece in [1, 7, 100] {
        let mut tls = crate::support::handshake(&flux, "closed.test", &[b"http/1.1"]);
        let mut hello = Vec::new();
        tls.conn.write_tls(&mut hello).unwrap();
        // In records of their own, and in segments of their own.
        let body = &hello[5..];
        for part in body.chunks(piece.max(body.len() / 40)) {
            let [high, low] = u16::try_from(part.len()).unwrap().to_be_bytes();
            tls.sock.write_all(&[&[22, 3, 1, high, low], part].concat()).unwrap();
            tls.sock.flush().unwrap();
        }
        let _ = tls.write_all(b"GET / HTTP/1.1\r\nHost: closed.test\r\nConnection: close\r\n\r\n");
        let mut answer = Vec::new();
        let error = tls.read_to_end(&mut answer).unwrap_err().to_string();
        assert!(error.contains("CertificateRequired") && answer.is_empty(), "{piece}: {error}");
    }
    assert_eq!(origin.requests(), 0);
}

#[test]
fn revoked_certificates_and_lists_that_say_nothing_keep_clients_out() {
    let (origin, root, dir) = (Scripted::answering(OK), Pki::root("root"), folder());
    let between = root.below("between");
    let issue = |name: &str| {
        let (cert, _) = between.certify(dir.path(), name, Wanted::client(&format!("/CN={name}"), ""));
        let chain = std::fs::read_to_string(&cert).unwrap() + &between.pem();
        std::fs::write(&cert, chain).unwrap();
        cert
    };
    issue("good");
    between.revoke(&issue("revoked"));
    let vhost = |host: &str, more: &str| {
        format!(
            "[[vhosts]]\nhosts = [\"{host}\"]\n$ROUTES\nclient_auth = {{ mode = \"required\", ca = \"ca.pem\", {more} }}\n"
        )
    };
    let vhosts = [
        vhost("both.wild.test", "crl = [\"root.crl\", \"between.crl\"]"),
        vhost("leaf.wild.test", "crl = [\"between.der\"], crl_depth = \"leaf\""),
        vhost("half.wild.test", "crl = [\"between.crl\"]"),
        vhost("lax.wild.test", "crl = [\"root.crl\"], on_unknown_revocation = \"allow\""),
        vhost("old.wild.test", "crl = [\"root.crl\", \"old.crl\"]"),
        vhost("older.wild.test", "crl = [\"root.crl\", \"old.crl\"], on_expired_crl = \"allow\""),
        vhost("short.wild.test", "verify_depth = 0"),
    ];
    let flux = flux(&origin, &root, &vhosts.concat());
    let file = |name: &str| flux.dir.path().join(name);
    root.crl(&file("root.crl"), 1, 0);
    between.crl(&file("between.crl"), 1, 0);
    between.crl(&file("old.crl"), 0, 1);
    let (pem, der) = (file("between.crl"), file("between.der"));
    let convert = ["crl", "-in", pem.to_str().unwrap(), "-outform", "DER", "-out", der.to_str().unwrap()];
    assert!(run("openssl", "openssl", &convert).status.success());
    std::thread::sleep(std::time::Duration::from_secs(2));
    let flux = flux.start();
    let get = |name, host: &str| Client { flux: &flux, folder: dir.path(), name: Some(name) }.get(host, &[]);
    for (host, good, revoked, why) in [
        ("both", true, false, "revoked"),
        ("leaf", true, false, "revoked"),
        ("half", false, false, "unknown_revocation"),
        ("lax", true, true, ""),
        ("old", false, false, "expired_crl"),
        ("older", true, false, "revoked"),
        ("short", false, false, "too_long"),
    ] {
        let host = format!("{host}.wild.test");
        assert_eq!(get("good", &host).is_ok(), good, "{host}");
        assert_eq!(get("revoked", &host).is_ok(), revoked, "{host}");
        let counted = format!("tls_client_certificates_total{{vhost=\"{host}\",result=\"{why}\"}}");
        assert!(why.is_empty() || metric(&flux, &counted), "{counted}");
    }
}

#[test]
fn names_and_fingerprints_let_in_and_routes_tell_clients_apart() {
    let (origin, pki, dir) = (Scripted::answering(OK), Pki::root("clients"), folder());
    pki.certify(dir.path(), "dns", Wanted::client("/CN=dns", "DNS:x.Clients.test"));
    pki.certify(dir.path(), "deep", Wanted::client("/CN=deep", "DNS:y.x.clients.test"));
    pki.certify(dir.path(), "uri", Wanted::client("/CN=uri", "URI:spiffe://test/billing"));
    pki.certify(dir.path(), "email", Wanted::client("/CN=email", "email:Ann@Clients.TEST"));
    let (cert, _) = pki.certify(dir.path(), "print", Wanted::client("/CN=print", "DNS:print.test"));
    let digest = ["x509", "-noout", "-fingerprint", "-sha256", "-in", cert.to_str().unwrap()];
    let digest = String::from_utf8(run("openssl", "openssl", &digest).stdout).unwrap();
    let digest = digest.trim().split_once('=').unwrap().1.to_owned();
    let names = "[\"*.clients.test\", \"spiffe://test/billing\", \"Ann@clients.test\"]";
    let vhosts = format!(
        "[[vhosts]]\nhosts = [\"closed.test\"]\n$ROUTES\n\
         client_auth = {{ mode = \"optional\", ca = \"ca.pem\", allow_san = {names} }}\n\
         [[vhosts]]\nhosts = [\"maybe.test\"]\n\
         client_auth = {{ mode = \"optional\", ca = \"ca.pem\" }}\n\
         routes = [\n\
           {{ path = \"/\", client_certificate = {{ fingerprint = [\"{digest}\"] }}, respond = {{ status = 201 }} }},\n\
           {{ path = \"/\", client_certificate = {{ san = [\"spiffe://test/billing\"] }}, methods = [\"POST\"], \
             respond = {{ status = 202 }} }},\n\
           {{ path = \"/\", client_certificate = \"absent\", respond = {{ status = 401 }} }},\n\
           {{ path = \"/\", client_certificate = \"present\", respond = {{ status = 203 }} }},\n\
         ]\n"
    );
    let flux = flux(&origin, &pki, &vhosts).start();
    let get =
        |name, host: &str, more: &[&str]| Client { flux: &flux, folder: dir.path(), name }.get(host, more);
    for (name, status) in [("dns", 200), ("uri", 200), ("email", 200), ("deep", 403), ("print", 403)] {
        assert_eq!(get(Some(name), "closed.test", &[]), Ok(status), "{name}");
    }
    assert_eq!(get(None, "closed.test", &[]), Ok(200));
    for more in [
        &["-I"][..],
        &["-X", "OPTIONS"],
        &["-H", "Connection: Upgrade", "-H", "Upgrade: websocket", "--http1.1"],
    ] {
        assert_eq!(get(Some("deep"), "closed.test", more), Ok(403), "{more:?}");
    }
    assert!(metric(
        &flux,
        "http_errors_total{vhost=\"closed.test\",reason=\"client_certificate_denied\"} 5\n"
    ));
    for (name, more, status) in [
        (Some("print"), &[][..], 201),
        (Some("uri"), &["-X", "POST"], 202),
        (Some("uri"), &[], 203),
        (Some("dns"), &["-X", "POST"], 203),
        (None, &[], 401),
    ] {
        assert_eq!(get(name, "maybe.test", more), Ok(status), "{name:?} {more:?}");
    }
    assert_eq!(request(flux.http(), "maybe.test", "/").status, 401);
}

#[test]
fn a_file_that_cant_be_used_keeps_the_configuration_out() {
    let (origin, pki, dir) = (Scripted::answering(OK), Pki::root("clients"), folder());
    pki.certify(dir.path(), "good", Wanted::client("/CN=good", ""));
    let with_list = CLOSED.replacen("ca = \"ca.pem\"", "ca = \"ca.pem\", crl = [\"list.crl\"]", 1);
    for (name, content) in
        [("ca.pem", "no CA"), ("list.crl", "no list"), ("list.crl", ""), ("ca.pem", &pki.pem()[..90])]
    {
        let broken = flux(&origin, &pki, &with_list);
        pki.crl(&broken.dir.path().join("list.crl"), 1, 0);
        std::fs::write(broken.dir.path().join(name), content).unwrap();
        let output = broken.run_to_end();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(78), "{said}");
        assert!(said.contains(name), "{said}");
    }
    let flux = flux(&origin, &pki, &with_list);
    pki.crl(&flux.dir.path().join("list.crl"), 1, 0);
    let flux = flux.start();
    std::fs::write(flux.dir.path().join("ca.pem"), "no CA").unwrap();
    flux.signal(Signal::SIGHUP);
    flux.wait_for_start_of("reload refused");
    let client = Client { flux: &flux, folder: dir.path(), name: Some("good") };
    assert_eq!(client.get("closed.test", &[]), Ok(200));
    assert!(Client { name: None, ..client }.get("closed.test", &[]).is_err());
}

#[test]
fn neither_a_session_nor_a_connection_outlives_the_ca() {
    let (origin, pki, other, dir) = (Scripted::answering(OK), Pki::root("old"), Pki::root("new"), folder());
    let (cert, key) = pki.certify(dir.path(), "good", Wanted::client("/CN=good", ""));
    let flux = flux(&origin, &pki, CLOSED).start();
    let session = dir.path().join("session");
    let connect = flux.https().to_string();
    let (cert, key, kept) = (cert.to_str().unwrap(), key.to_str().unwrap(), session.to_str().unwrap());
    let base = ["s_client", "-connect", &connect, "-servername", "closed.test", "-cert", cert, "-key", key];
    for version in ["-tls1_2", "-tls1_3"] {
        let _ = std::fs::remove_file(&session);
        run("openssl", "openssl", &[&base[..], &[version, "-sess_out", kept]].concat());
        if session.exists() {
            let again = run("openssl", "openssl", &[&base[..], &[version, "-sess_in", kept]].concat());
            let said = String::from_utf8_lossy(&again.stdout).into_owned();
            assert!(said.contains("New, TLSv1") && !said.contains("Reused, TLSv1"), "{said}");
        }
    }
    // A connection of before, kept open over the reload.
    let mut open = mutual(&flux, "closed.test", cert, key);
    assert!(ask(&mut open, "/before").starts_with("HTTP/1.1 200"));
    std::fs::write(flux.dir.path().join("ca.pem"), other.pem()).unwrap();
    flux.signal(Signal::SIGHUP);
    flux.wait_for("configuration reloaded");
    let answer = ask(&mut open, "/after");
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    let line = flux.access_line("/after");
    assert_eq!(line["error"], "client_certificate_invalid");
    assert!(line["error_detail"].as_str().unwrap().contains("unknown_ca"), "{line}");
    let client = Client { flux: &flux, folder: dir.path(), name: Some("good") };
    assert!(client.get("closed.test", &[]).is_err());
}

#[test]
fn a_list_that_is_replaced_is_taken_by_itself() {
    let (origin, pki, dir) = (Scripted::answering(OK), Pki::root("clients"), folder());
    let (cert, key) = pki.certify(dir.path(), "good", Wanted::client("/CN=good", ""));
    let with_list = CLOSED.replacen("ca = \"ca.pem\"", "ca = \"ca.pem\", crl = [\"list.crl\"]", 1);
    let flux = flux(&origin, &pki, &with_list);
    let (list, next) = (flux.dir.path().join("list.crl"), flux.dir.path().join("next.crl"));
    pki.crl(&list, 1, 0);
    let flux = flux.start();
    let mut open = mutual(&flux, "closed.test", cert.to_str().unwrap(), key.to_str().unwrap());
    assert!(ask(&mut open, "/before").starts_with("HTTP/1.1 200"));
    pki.revoke(&cert);
    pki.crl(&next, 1, 0);
    std::fs::rename(&next, &list).unwrap();
    flux.wait_for("file replaced");
    let answer = ask(&mut open, "/after");
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    assert!(flux.access_line("/after")["error_detail"].as_str().unwrap().contains("revoked"));
    let client = Client { flux: &flux, folder: dir.path(), name: Some("good") };
    assert!(client.get("closed.test", &[]).is_err());
    assert!(metric(&flux, "vhost=\"closed.test\",result=\"revoked\"} 1\n"));
}

/// A list that revokes is taken at its vhost, whatever is wrong with that of another.
#[test]
fn a_damaged_list_of_one_vhost_holds_up_no_other() {
    let (origin, pki, dir) = (Scripted::answering(OK), Pki::root("clients"), folder());
    let (cert, _) = pki.certify(dir.path(), "good", Wanted::client("/CN=good", ""));
    let with_list = CLOSED.replacen("ca = \"ca.pem\"", "ca = \"ca.pem\", crl = [\"list.crl\"]", 1);
    let (closed, _) = with_list.split_once("[[vhosts]]\nhosts = [\"maybe").unwrap();
    let other = closed.replacen("\"closed.test\", \"*.wild.test\"", "\"other.test\"", 1);
    let other = other.replacen("list.crl", "other.crl", 1);
    let flux = flux(&origin, &pki, &format!("{with_list}{other}"));
    let at = |name: &str| flux.dir.path().join(name);
    let (list, next) = (at("list.crl"), at("next.crl"));
    pki.crl(&list, 1, 0);
    pki.crl(&at("other.crl"), 1, 0);
    let (other, damaged) = (at("other.crl"), at("damaged.crl"));
    let flux = flux.start();
    let client = Client { flux: &flux, folder: dir.path(), name: Some("good") };
    assert!(client.get("closed.test", &[]).is_ok());
    std::fs::write(&damaged, "no list").unwrap();
    std::fs::rename(&damaged, &other).unwrap();
    flux.wait_for_start_of("replaced by what can't be used");
    pki.revoke(&cert);
    pki.crl(&next, 1, 0);
    std::fs::rename(&next, &list).unwrap();
    flux.wait_for("file replaced");
    assert!(client.get("closed.test", &[]).is_err());
}

/// A kept connection that has shown a certificate.
fn mutual(
    flux: &Running,
    name: &str,
    cert: &str,
    key: &str,
) -> rustls::StreamOwned<rustls::ClientConnection, std::net::TcpStream> {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(flux.dir.path().join("a.pem")).unwrap()).unwrap();
    let chain = CertificateDer::pem_file_iter(cert).unwrap().map(Result::unwrap).collect();
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(key).unwrap())
        .unwrap();
    let name = name.to_owned().try_into().unwrap();
    let client = rustls::ClientConnection::new(std::sync::Arc::new(config), name).unwrap();
    rustls::StreamOwned::new(client, std::net::TcpStream::connect(flux.https()).unwrap())
}

/// One answer on a connection that stays.
fn ask(tls: &mut (impl Read + Write), path: &str) -> String {
    write!(tls, "GET {path} HTTP/1.1\r\nHost: closed.test\r\n\r\n").unwrap();
    let mut got = Vec::new();
    let mut buffer = [0; 4096];
    while !got.windows(4).any(|window| window == b"\r\n\r\n") {
        match tls.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(read) => got.extend_from_slice(&buffer[..read]),
        }
    }
    String::from_utf8_lossy(&got).into_owned()
}

/// The commands of docs/client-certificates.md, block by block.
fn documented() -> Vec<&'static str> {
    const PAGE: &str = include_str!("../../docs/client-certificates.md");
    let blocks = PAGE.split("```sh\n").skip(1);
    blocks.map(|block| block.split("```").next().unwrap()).collect()
}

#[test]
fn the_documented_commands_make_a_client_that_is_let_in_and_a_list_that_keeps_it_out() {
    let origin = Scripted::answering(OK);
    let folder = folder();
    let type_in = |commands: &str| {
        let script = format!("set -e; cd {}\n{commands}", folder.path().display());
        let output = run("sh", "dash", &["-c", &script]);
        assert!(output.status.success(), "{commands}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let blocks = documented();
    let [ca, client, list, revoke] = blocks[..] else { panic!("{} blocks of commands", blocks.len()) };
    [ca, client, list].into_iter().for_each(type_in);
    let made = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    let vhosts = "[[vhosts]]\nhosts = [\"closed.test\"]\n$ROUTES\nclient_auth = { mode = \"required\", ca = \"ca.pem\", \
                  crl = [\"clients.crl\"], allow_san = [\"spiffe://example.com/billing\"] }\n";
    let flux = flux(&origin, &Pki::root("another"), vhosts);
    let flux = flux.file("ca.pem", &made("clients-ca.pem")).file("clients.crl", &made("clients.crl"));
    let checked = program(&["--check-tls-storage", "--config", flux.write().to_str().unwrap()]);
    let told = String::from_utf8(checked.stdout).unwrap();
    for part in ["ok      CA bundle of vhosts 1", "ok      revocation list of vhosts 1"] {
        assert!(told.contains(part), "{part} is not in {told}");
    }
    let flux = flux.start();
    let client = Client { flux: &flux, folder: folder.path(), name: Some("billing") };
    assert_eq!(client.get("closed.test", &[]), Ok(200), "{}", flux.said());
    assert!(Client { name: None, ..client }.get("closed.test", &[]).is_err());
    type_in(revoke);
    let (new, place) = (flux.dir.path().join("clients.new"), flux.dir.path().join("clients.crl"));
    std::fs::write(&new, made("clients.crl")).unwrap();
    std::fs::rename(&new, &place).unwrap();
    flux.wait_for("file replaced");
    let client = Client { flux: &flux, folder: folder.path(), name: Some("billing") };
    let refused = client.get("closed.test", &[]).unwrap_err();
    assert!(refused.contains("revoked"), "{refused}");
}
