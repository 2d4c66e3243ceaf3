//! What of a private key can be found in the memory of the running program, seen from outside.

use std::os::unix::fs::FileExt;

use crate::support::{Flux, Running, certificate, run};

fn one_key() -> Flux {
    let site = "[[tls.certificates]]\nname = \"a\"\ncert = \"a.pem\"\nkey = \"a.key\"\n[[vhosts]]\n\
                hosts = [\"*\"]\n[[vhosts.routes]]\npath = \"/\"\nstatic = \"$DIR/site\"\n";
    let flux = Flux::server("https = [\"127.0.0.1:0\"]", site).file("site/index.html", b"hello");
    certificate(flux.dir.path(), "a", &["a.test"]);
    flux
}

/// How often `needle` is in the memory of the program, whatever is mapped where.
fn found(flux: &Running, needle: &[u8]) -> usize {
    let proc = format!("/proc/{}", flux.pid());
    let memory = std::fs::File::open(format!("{proc}/mem")).unwrap();
    let (mut count, mut read) = (0, 0);
    for line in std::fs::read_to_string(format!("{proc}/maps")).unwrap().lines() {
        let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let (from, to) = (u64::from_str_radix(from, 16).unwrap(), u64::from_str_radix(to, 16).unwrap());
        if !line.contains(" rw") || to < from {
            continue;
        }
        let mut bytes = vec![0; usize::try_from(to - from).unwrap()];
        if memory.read_exact_at(&mut bytes, from).is_ok() {
            read += bytes.len();
            count += bytes.windows(needle.len()).filter(|window| *window == needle).count();
        }
    }
    assert!(read > 1 << 20, "only {read} bytes of memory could be read: run this test as root");
    count
}

#[test]
fn leaves_neither_the_text_nor_the_encoding_of_a_key_behind() {
    let flux = one_key();
    let key = flux.dir.path().join("a.key");
    let text = std::fs::read_to_string(&key).unwrap();
    let pkcs8 = ["pkcs8", "-topk8", "-nocrypt", "-outform", "DER", "-in", key.to_str().unwrap()];
    let der = run("openssl", "openssl", &pkcs8).stdout;
    // What stands before the key in PKCS#8 of P-256; the key itself is bytes 36 to 67.
    assert_eq!(der[29..36], [0x30, 0x6b, 0x02, 0x01, 0x01, 0x04, 0x20], "{der:02x?}");
    let flux = flux.start();
    // Shows that what is in memory is found: the subject of the certificate.
    assert!(found(&flux, b"a.test") > 0);
    for line in text.lines().filter(|line| !line.starts_with('-')) {
        for piece in line.as_bytes().chunks_exact(16) {
            assert_eq!(found(&flux, piece), 0, "text of the key is left in memory: {line}");
        }
    }
    assert_eq!(found(&flux, &der[28..52]), 0, "the encoding of the key is left in memory");
}

#[test]
fn tells_in_what_memory_keys_were_read() {
    let flux = one_key().start();
    let line = flux.wait_for("private keys read");
    let (secret, locked) = (line["secret_memory"].as_u64().unwrap(), line["locked"].as_u64().unwrap());
    assert_eq!((secret + locked, line["unlocked"].as_u64()), (1, Some(0)), "{line}");
}

#[test]
fn serves_with_a_warning_where_no_memory_can_be_locked() {
    let flux = one_key().start_locking(0);
    assert_eq!(flux.wait_for("private keys read")["unlocked"], 1);
    let said = flux.wait_for_start_of("private keys were read through memory that is not locked (EPERM");
    assert!(said["message"].as_str().unwrap().contains("--ulimit memlock="), "{said}");
    assert_eq!(said["level"], "WARN");
}
