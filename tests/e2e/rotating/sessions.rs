//! Keys of session tickets and OCSP responses.

use super::*;

/// One handshake by OpenSSL with these options; what it prints.
fn openssl(flux: &Running, more: &[&str]) -> String {
    let at = flux.https().to_string();
    let output =
        run("openssl", "openssl", &[&["s_client", "-connect", &at, "-servername", "a.test"], more].concat());
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn seals_tickets_by_the_keys_that_the_file_has_by_now() {
    let pairs = pairs(1);
    let keys: Vec<_> = ["A", "E", "I"].iter().map(|letter| format!("{}=\n", letter.repeat(43))).collect();
    let text = config("[tls.session_tickets]\nkey_file = \"$DIR/tickets\"", "$DIR/a.pem", "$DIR/a.key");
    let flux = Flux::server("https = [\"127.0.0.1:0\"]", &text).file("site/small", b"small");
    pairs[0].put(flux.dir.path());
    let file = flux.dir.path().join("tickets");
    write(&file, keys[0].as_bytes());
    let flux = flux.start();
    let session = flux.dir.path().join("session").to_str().unwrap().to_owned();
    let begins = || assert!(openssl(&flux, &["-tls1_2", "-sess_out", &session]).contains("New, TLSv1.2"));
    let resumes = || openssl(&flux, &["-tls1_2", "-sess_in", &session]).contains("Reused, TLSv1.2");
    begins();
    assert!(resumes());
    // The new key first, the old one behind it: its sessions are taken up still.
    rename_over(&file, format!("{}{}", keys[1], keys[0]).as_bytes());
    flux.wait_for_times("file replaced", 1);
    assert!(resumes());
    write(&file, keys[2].as_bytes());
    wait(|| (!resumes()).then_some(())).expect("tickets of keys that are gone are taken");
    begins();
    assert!(resumes());
    write(&file, b"no key\n");
    let said = flux.wait_for("replaced by what can't be used: what was read before stays in use");
    assert_eq!(said["role"], "ticket-keys");
    assert!(said["reason"].as_str().unwrap().contains("line 1"), "{said}");
    assert!(resumes());
}

#[test]
fn sends_the_ocsp_response_that_the_file_has_by_now() {
    let text = config("", "$DIR/a.pem", "$DIR/a.key")
        .replace("key = \"$DIR/a.key\"", "key = \"$DIR/a.key\"\nocsp = \"$DIR/a.ocsp\"");
    let flux = Flux::server("https = [\"127.0.0.1:0\"]", &text).file("site/small", b"small");
    let dir = flux.dir.path().to_owned();
    certificate(&dir, "a", &["a.test"]);
    response(&dir, "first", 2);
    fs::copy(dir.join("first"), dir.join("a.ocsp")).unwrap();
    let flux = flux.start();
    let sent = || openssl(&flux, &["-status"]);
    let until = |said: &str| {
        said.lines().find_map(|line| line.trim().strip_prefix("Next Update: ").map(str::to_owned))
    };
    let first = until(&sent()).expect("no response");
    response(&dir, "second", 5);
    rename_over(&dir.join("a.ocsp"), &fs::read(dir.join("second")).unwrap());
    wait(|| until(&sent()).filter(|next| *next != first)).expect("the new response is never sent");
    let second = until(&sent());
    rename_over(&dir.join("a.ocsp"), b"no response");
    let said = flux.wait_for("replaced by what can't be used: what was read before stays in use");
    assert_eq!(said["role"], "ocsp-response");
    assert_eq!(until(&sent()), second);
}

/// A response that is good for so many days, signed by the certificate's own key.
fn response(dir: &Path, name: &str, days: u8) {
    let script = format!(
        "cd {} && serial=$(openssl x509 -in a.pem -noout -serial | cut -d= -f2) && \
         printf 'V\\t330101000000Z\\t\\t%s\\tunknown\\t/CN=a.test\\n' \"$serial\" > index && \
         openssl ocsp -index index -CA a.pem -rsigner a.pem -rkey a.key -issuer a.pem -cert a.pem -noverify \
         -respout {name} -ndays {days}",
        dir.display()
    );
    let output = run("sh", "dash", &["-c", &script]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
