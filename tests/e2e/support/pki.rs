//! A certification authority of the tests: OpenSSL's `ca`, with a database of its own.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{folder, run, set_mode};

/// A CA whose key never leaves its folder.
pub(crate) struct Pki {
    dir: TempDir,
}

/// What a certificate is to say.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) subject: &'a str,
    /// As OpenSSL writes it, such as `DNS:a.test`; empty for none.
    pub(crate) san: &'a str,
    pub(crate) usage: &'a str,
    /// Whether it is a CA's.
    pub(crate) ca: bool,
    /// `YYYYMMDDHHMMSSZ`
    pub(crate) dates: Option<(&'a str, &'a str)>,
}

impl<'a> Wanted<'a> {
    /// A client's of that name.
    pub(crate) const fn client(subject: &'a str, san: &'a str) -> Self {
        Self { subject, san, usage: "clientAuth", ca: false, dates: None }
    }
}

impl Pki {
    /// A root of its own.
    pub(crate) fn root(name: &str) -> Self {
        let pki = Self::empty();
        let (subject, key, cert) = (format!("/CN={name}"), pki.path("ca.key"), pki.path("ca.pem"));
        let ext = "basicConstraints=critical,CA:TRUE";
        let request = ["req", "-x509", "-days", "9", "-subj", &subject, "-keyout", &key, "-out", &cert];
        openssl(&[&request[..], &["-addext", ext, "-addext", "keyUsage=keyCertSign,cRLSign"], KEY].concat());
        pki
    }

    /// A CA below this one.
    pub(crate) fn below(&self, name: &str) -> Self {
        let pki = Self::empty();
        let subject = format!("/CN={name}");
        let wanted = Wanted { ca: true, usage: "", ..Wanted::client(&subject, "") };
        self.certify(pki.dir.path(), "ca", wanted);
        pki
    }

    fn empty() -> Self {
        let pki = Self { dir: folder() };
        for (name, content) in [("index.txt", ""), ("index.txt.attr", "unique_subject = no\n")] {
            std::fs::write(pki.path(name), content).unwrap();
        }
        for name in ["serial", "crlnumber"] {
            std::fs::write(pki.path(name), "1001\n").unwrap();
        }
        std::fs::create_dir(pki.path("issued")).unwrap();
        pki
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    /// The CA's own certificate.
    pub(crate) fn pem(&self) -> String {
        std::fs::read_to_string(self.path("ca.pem")).unwrap()
    }

    /// `NAME.pem` and `NAME.key` in `folder`.
    pub(crate) fn certify(&self, folder: &Path, name: &str, wanted: Wanted<'_>) -> (PathBuf, PathBuf) {
        let (cert, key) = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
        let request = self.path("request");
        let subject = ["req", "-new", "-subj", wanted.subject, "-utf8", "-keyout", key.to_str().unwrap()];
        openssl(&[&subject[..], &["-out", &request], KEY].concat());
        let constraints = if wanted.ca { "critical,CA:TRUE" } else { "CA:FALSE" };
        let mut extensions = format!("basicConstraints = {constraints}\n");
        if !wanted.san.is_empty() {
            extensions += &format!("subjectAltName = {}\n", wanted.san);
        }
        if !wanted.usage.is_empty() {
            extensions += &format!("extendedKeyUsage = {}\n", wanted.usage);
        }
        let (from, until) = wanted.dates.unwrap_or(("", ""));
        let dates = ["-startdate", from, "-enddate", until];
        let dates = if wanted.dates.is_some() { &dates[..] } else { &["-days", "5"] };
        let out = ["-in", &request, "-out", cert.to_str().unwrap(), "-notext"];
        self.ca(&[&out[..], dates].concat(), &extensions);
        set_mode(&key, 0o600);
        set_mode(&cert, 0o644);
        (cert, key)
    }

    /// As `openssl x509 -req` makes one that is asked for no extensions: of version 1.
    pub(crate) fn certify_plainly(&self, folder: &Path, name: &str, subject: &str) {
        let file = |kind: &str| folder.join(format!("{name}.{kind}")).to_str().unwrap().to_owned();
        let (request, cert, ca) =
            (self.path("request"), file("pem"), [self.path("ca.pem"), self.path("ca.key")]);
        openssl(
            &[&["req", "-new", "-subj", subject, "-keyout", &file("key"), "-out", &request][..], KEY]
                .concat(),
        );
        openssl(&[
            "x509", "-req", "-days", "5", "-in", &request, "-CA", &ca[0], "-CAkey", &ca[1], "-out", &cert,
        ]);
    }

    /// Puts a certificate on the list.
    pub(crate) fn revoke(&self, cert: &Path) {
        self.ca(&["-revoke", cert.to_str().unwrap()], "");
    }

    /// The list as PEM, good for that many days, or seconds where days are none.
    pub(crate) fn crl(&self, to: &Path, days: u32, seconds: u32) {
        let (days, seconds) = (days.to_string(), seconds.to_string());
        let times = if days == "0" { ["-crlsec", &seconds] } else { ["-crldays", &days] };
        self.ca(&[&["-gencrl", "-out", to.to_str().unwrap()][..], &times].concat(), "");
        set_mode(to, 0o644);
    }

    fn ca(&self, args: &[&str], extensions: &str) {
        let config = self.path("ca.cnf");
        let folder = self.dir.path().display();
        let text = format!(
            "[ca]\ndefault_ca = it\n[it]\ndatabase = {folder}/index.txt\nserial = {folder}/serial\n\
             crlnumber = {folder}/crlnumber\nnew_certs_dir = {folder}/issued\ncertificate = {folder}/ca.pem\n\
             private_key = {folder}/ca.key\ndefault_md = sha256\npolicy = any\ncopy_extensions = none\n\
             x509_extensions = ext\nstring_mask = utf8only\nutf8 = yes\n[any]\norganizationName = optional\n\
             commonName = optional\n[ext]\n{extensions}"
        );
        std::fs::write(&config, text).unwrap();
        openssl(&[&["ca", "-batch", "-config", &config][..], args].concat());
    }
}

fn openssl(args: &[&str]) {
    let output = run("openssl", "openssl", args);
    assert!(output.status.success(), "openssl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

const KEY: &[&str] = &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
