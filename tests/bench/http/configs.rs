//! The same job in four languages: add the X-Forwarded fields and X-Real-IP, pass on to the same origin
//! over kept connections, serve a folder (but HAProxy), one worker, the same certificate.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;

use crate::stage::{Setup, Stage};

/// Where a contestant stands.
pub(crate) struct Place<'a> {
    pub(crate) folder: &'a Path,
    pub(crate) stage: &'a Stage,
    pub(crate) setup: Setup,
    pub(crate) http: SocketAddr,
    pub(crate) https: SocketAddr,
}

impl Place<'_> {
    /// `a.test`, and those after it.
    fn hosts(&self) -> impl Iterator<Item = String> {
        std::iter::once("a.test".to_owned()).chain((0..self.setup.vhosts).map(host))
    }
}

/// The host of the virtual host of that number.
pub(crate) fn host(number: usize) -> String {
    format!("v{number}.test")
}

pub(crate) fn fluxheim(place: &Place<'_>) -> String {
    let (http, https, origin) = (place.http, place.https, place.stage.origin);
    let (logging, root) = (place.setup.logging, place.stage.path().display());
    let mut text = format!(
        "[server]\nhttp = [\"{http}\"]\nhttps = [\"{https}\"]\nthreads = 1\n\
         [logging]\nlevel = \"error\"\naccess = {logging}\n\
         [limits]\nkeepalive_requests = 1000000\nkeepalive_timeout = \"5m\"\nmax_connections = 20000\nmax_connections_per_client = 20000\n\
         [[tls.certificates]]\nname = \"a\"\ncert = \"{root}/a.pem\"\nkey = \"{root}/a.key\"\n\
         [[upstreams]]\nname = \"app\"\nservers = [\"{origin}\"]\n"
    );
    if place.setup.vhosts == 0 {
        let site = format!(
            "[[vhosts]]\nhosts = [\"*\"]\n[[vhosts.routes]]\npath = \"/\"\nupstream = \"app\"\n\
             [[vhosts.routes]]\npath = \"/static/\"\nstatic = \"{root}\"\n"
        );
        return text + &site;
    }
    for host in place.hosts() {
        let route = "[[vhosts.routes]]\npath = \"/\"\nupstream = \"app\"";
        writeln!(text, "[[vhosts]]\nhosts = [\"{host}\"]\n{route}").unwrap();
    }
    text
}

/// As one process, so that there is one to look at.
pub(crate) fn nginx(place: &Place<'_>) -> String {
    let (root, cert) = (place.folder.display(), place.stage.path().display());
    let log = if place.setup.logging { "access_log /dev/stdout;" } else { "access_log off;" };
    let listen = format!(
        "listen {}; listen {} ssl http2; ssl_certificate {cert}/a.pem; ssl_certificate_key {cert}/a.key;",
        place.http, place.https
    );
    let proxy = "location / { proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection \"\";
        proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme;
        proxy_set_header X-Forwarded-Host $host; proxy_set_header X-Forwarded-Port $server_port; proxy_set_header X-Real-IP $remote_addr; }";
    let mut servers = String::new();
    if place.setup.vhosts == 0 {
        write!(servers, "server {{ {listen} {proxy} location /static/ {{ root {cert}; }} }}").unwrap();
    } else {
        for host in place.hosts() {
            // Only one of them has to name the certificate; the others inherit the listener.
            writeln!(servers, "server {{ listen {}; server_name {host}; {proxy} }}", place.http).unwrap();
        }
    }
    nginx_with(
        &root.to_string(),
        &format!(
            "{log} ssl_protocols TLSv1.2 TLSv1.3; keepalive_timeout 300; server_names_hash_max_size 65536;
             upstream app {{ server {}; keepalive 64; }}\n{servers}",
            place.stage.origin
        ),
    )
}

/// What everybody is in front of.
pub(crate) fn origin(folder: &Path, at: SocketAddr) -> String {
    let root = folder.join("origin");
    std::fs::create_dir_all(&root).unwrap();
    nginx_with(
        &root.display().to_string(),
        &format!("access_log off; server {{ listen {at}; root {}; }}", folder.display()),
    )
}

fn nginx_with(root: &str, http: &str) -> String {
    format!(
        "daemon off; master_process off; pid {root}/pid; error_log stderr error; events {{ worker_connections 19000; }}
         http {{ types {{ text/html html; }} keepalive_requests 100000000; sendfile on; tcp_nodelay on;
         client_body_temp_path {root}/b; proxy_temp_path {root}/p; fastcgi_temp_path {root}/f;
         uwsgi_temp_path {root}/u; scgi_temp_path {root}/s;\n{http} }}\n"
    )
}

pub(crate) fn haproxy(place: &Place<'_>) -> String {
    let (http, https, origin) = (place.http, place.https, place.stage.origin);
    let cert = place.stage.path().join("both.pem");
    let cert = cert.display();
    let log =
        if place.setup.logging { "    log stdout format raw local0 info\n    option httplog\n" } else { "" };
    let backend = if place.setup.vhosts == 0 {
        "    default_backend app\n".to_owned()
    } else {
        // As its documentation has it for many hosts.
        let hosts: String = place.hosts().map(|host| format!("{host} app\n")).collect();
        let map = place.folder.join("hosts.map");
        std::fs::write(&map, hosts).unwrap();
        format!("    use_backend %[req.hdr(host),field(1,:),lower,map({})]\n", map.display())
    };
    format!(
        "global\n    nbthread 1\n    maxconn 15000\n    no strict-limits\n    ssl-default-bind-options ssl-min-ver TLSv1.2\n\
         defaults\n    mode http\n    timeout connect 5s\n    timeout client 300s\n    timeout server 60s\n    timeout http-keep-alive 300s\n    http-reuse always\n\
         frontend all\n    bind {http}\n    bind {https} ssl crt {cert} alpn h2,http/1.1\n{log}\
         \x20   http-request set-header X-Forwarded-For %[src]\n    http-request set-header X-Forwarded-Proto %[ssl_fc,iif(https,http)]\n\
         \x20   http-request set-header X-Forwarded-Host %[req.hdr(host)]\n    http-request set-header X-Forwarded-Port %[dst_port]\n\
         \x20   http-request set-header X-Real-IP %[src]\n{backend}\
         backend app\n    server origin {origin}\n"
    )
}

pub(crate) fn caddy(place: &Place<'_>) -> String {
    let (http, https, root) = (place.http, place.https, place.stage.path().display());
    let log = if place.setup.logging { "log {\noutput stdout\nformat json\n}\n" } else { "" };
    let proxy = |port: u16| {
        format!(
            "reverse_proxy {} {{\nheader_up X-Real-IP {{remote_host}}\nheader_up X-Forwarded-Port {port}\n\
             transport http {{\nkeepalive_idle_conns_per_host 64\n}}\n}}",
            place.stage.origin
        )
    };
    let mut text = "{\nadmin off\nauto_https off\nlog {\nlevel ERROR\n}\n}\n".to_owned();
    if place.setup.vhosts > 0 {
        for host in place.hosts() {
            let proxy = proxy(http.port());
            writeln!(text, "http://{host}:{} {{\nbind 127.0.0.1\n{log}{proxy}\n}}", http.port()).unwrap();
        }
        return text;
    }
    let files = format!("handle /static/* {{\nroot * {root}\nfile_server\n}}");
    for (scheme, at, tls) in
        [("http", http, String::new()), ("https", https, format!("tls {root}/a.pem {root}/a.key\n"))]
    {
        let (port, proxy) = (at.port(), proxy(at.port()));
        writeln!(
            text,
            "{scheme}://:{port} {{\nbind 127.0.0.1\n{tls}{log}{files}\nhandle {{\n{proxy}\n}}\n}}"
        )
        .unwrap();
    }
    text
}
