//! Files other than certificates of sites: what upstreams are believed by and shown, who may come in.

use rustls::version::{TLS12, TLS13};

use super::*;
use crate::support::{Answer, Peer, Scripted, exchange, hashed, server_config};

const BOTH: &[&rustls::SupportedProtocolVersion] = &[&TLS13, &TLS12];

fn until(flux: &Running, status: u16) {
    let get = || (request(flux.http(), "x.test", "/").status == status).then_some(());
    wait(get).unwrap_or_else(|| panic!("never {status}; {}", flux.said()));
}

#[test]
fn believes_and_shows_upstreams_what_the_files_say_by_now() {
    let flux = Flux::with(
        "[[upstreams]]\nname = \"app\"\nservers = [\"$ORIGIN\"]\n[upstreams.tls]\nca = \"$DIR/up/ca.pem\"\n\
         cert = \"$DIR/up/us.pem\"\nkey = \"$DIR/up/us.key\"\nserver_name = \"app.test\"\n\
         [[vhosts]]\nhosts = [\"*\"]\nroutes = [{ path = \"/\", upstream = \"app\" }]\n",
    );
    let dir = flux.dir.path().to_owned();
    fs::create_dir(dir.join("up")).unwrap();
    certificate(&dir, "origin", &["app.test"]);
    certificate(&dir, "stranger", &["app.test"]);
    certificate(&dir, "us", &["us.test"]);
    certificate(&dir, "nobody", &["us.test"]);
    let origin =
        Peer::start(Answer::Http1, Some(server_config(&dir, "origin", BOTH, &[b"http/1.1"], Some("us"))));
    let read = |name: &str| fs::read(dir.join(name)).unwrap();
    write(&dir.join("up/ca.pem"), &read("stranger.pem"));
    write(&dir.join("up/us.pem"), &read("nobody.pem"));
    write(&dir.join("up/us.key"), &read("nobody.key"));
    let flux = flux.replacing("$ORIGIN", &origin.address.to_string()).start();
    until(&flux, 502);
    rename_over(&dir.join("up/ca.pem"), &read("origin.pem"));
    flux.wait_for("file replaced");
    // It is believed now, and does not believe us.
    until(&flux, 502);
    write(&dir.join("up/us.key"), &read("us.key"));
    write(&dir.join("up/us.pem"), &read("us.pem"));
    until(&flux, 200);
    assert!(origin.tls().last().unwrap().certificate);
    rename_over(&dir.join("up/ca.pem"), &read("stranger.pem"));
    // A connection from before is not used for it.
    until(&flux, 502);
    assert_eq!(
        metric(&flux, "fluxheim_file_reload_failed{role=\"client-certificate\",name=\"upstreams app\""),
        Some(0.0)
    );
    assert_eq!(
        metric(&flux, "fluxheim_file_reloads_total{role=\"ca-bundle\",name=\"upstreams app\""),
        Some(2.0)
    );
    assert!(!flux.said().contains("configuration reloaded"));
}

#[test]
fn lets_in_whom_the_file_of_users_names_by_now() {
    let origin = Scripted::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let flux = Flux::with(&format!(
        "[[upstreams]]\nname = \"app\"\nservers = [\"{}\"]\n\
         sticky = {{ cookie = \"srv\", secret_file = \"$DIR/sticky\" }}\n\
         [[vhosts]]\nhosts = [\"*\"]\nbasic_auth = {{ users_file = \"$DIR/users\", realm = \"staff\" }}\n\
         routes = [{{ path = \"/\", upstream = \"app\" }}]\n",
        origin.address
    ));
    let dir = flux.dir.path().to_owned();
    write(&dir.join("sticky"), &[b'1'; 32]);
    write(&dir.join("users"), line("ann", "one").as_bytes());
    let flux = flux.start();
    let (ann, bob) = (basic("ann:one"), basic("bob:two"));
    assert_eq!((ask(&flux, &ann).status, ask(&flux, &bob).status), (200, 401));
    let cookie = cookie(&ask(&flux, &ann).head);
    assert!(!ask(&flux, &format!("{ann}Cookie: {cookie}\r\n")).head.contains("set-cookie"));
    rename_over(&dir.join("users"), line("bob", "two").as_bytes());
    wait(|| (ask(&flux, &bob).status == 200).then_some(())).expect("bob is never let in");
    assert_eq!(ask(&flux, &ann).status, 401, "a password that was remembered is forgotten with its user");
    rename_over(&dir.join("sticky"), &[b'2'; 32]);
    let told_anew = || ask(&flux, &format!("{bob}Cookie: {cookie}\r\n")).head.contains("set-cookie");
    wait(|| told_anew().then_some(())).expect("cookies of the old key are believed");
    // Nobody comes in by a file that can't be read; those who could, still do.
    rename_over(&dir.join("users"), b"bob:two\n");
    let said = flux.wait_for("replaced by what can't be used: what was read before stays in use");
    assert_eq!((said["role"].as_str(), said["name"].as_str()), (Some("users-file"), Some("vhosts 1")));
    assert!(!flux.said().contains("bob:two"), "what stands in the file is not told");
    assert_eq!((ask(&flux, &bob).status, ask(&flux, &ann).status), (200, 401));
}

fn line(user: &str, password: &str) -> String {
    format!("{user}:{}\n", hashed(password))
}

fn basic(credentials: &str) -> String {
    use base64::Engine;
    let encoded = base64::engine::general_purpose::STANDARD.encode(credentials);
    format!("Authorization: Basic {encoded}\r\n")
}

fn ask(flux: &Running, fields: &str) -> crate::support::Response {
    exchange(flux.http(), &format!("GET / HTTP/1.1\r\nHost: a.test\r\n{fields}Connection: close\r\n\r\n"))
}

fn cookie(head: &str) -> String {
    let line = head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).expect("no cookie");
    line.split(';').next().unwrap().to_owned()
}
