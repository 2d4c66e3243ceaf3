//! Fluxheim and nginx in front of the same origin, taking turns under the same load.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use tempfile::TempDir;

use crate::processes::{Process, cpu_seconds, first_answer, free_address, resident};
use crate::{median, program};

const RUNS: usize = 3;
const SECONDS: &str = "4s";

/// One job both proxies do.
struct Job {
    name: &'static str,
    path: &'static str,
    logging: bool,
}

const JOBS: &[Job] = &[
    Job { name: "32 bytes, keep-alive, access log off", path: "/", logging: false },
    Job { name: "32 bytes, keep-alive, access log on", path: "/", logging: true },
    Job { name: "100 KiB, keep-alive, access log off", path: "/big", logging: false },
];

pub(crate) fn beside_nginx() {
    let dir = TempDir::new().unwrap();
    // nginx's worker drops to another user and still has to read this.
    crate::docker::set_mode(dir.path(), 0o755);
    std::fs::write(dir.path().join("index.html"), [b'x'; 32]).unwrap();
    std::fs::write(dir.path().join("big"), vec![b'x'; 100 * 1024]).unwrap();
    let origin_at = free_address();
    let _origin = nginx(
        dir.path(),
        "origin",
        &format!("server {{ listen {origin_at}; root {}; }}", dir.path().display()),
        false,
    );
    first_answer(origin_at, Instant::now());
    println!("| job | Fluxheim | nginx {} | ratio | resident |\n|---|---|---|---|---|", nginx_version());
    for job in JOBS {
        compare(job, dir.path(), origin_at);
    }
}

/// The same proxy with and without its filter of system calls and its confinement, in turn.
pub(crate) fn confined_beside_not() {
    let dir = TempDir::new().unwrap();
    crate::docker::set_mode(dir.path(), 0o755);
    std::fs::write(dir.path().join("index.html"), [b'x'; 32]).unwrap();
    let site = dir.path().join("site");
    std::fs::create_dir(&site).unwrap();
    std::fs::write(site.join("file"), [b'x'; 32]).unwrap();
    let origin_at = free_address();
    let root = dir.path().display();
    let server = format!("server {{ listen {origin_at}; root {root}; }}");
    let _origin = nginx(dir.path(), "origin", &server, false);
    first_answer(origin_at, Instant::now());
    let start = |hardening: &str| {
        let at = free_address();
        let site = format!("[[vhosts.routes]]\npath = \"/site\"\nstatic = \"{root}\"\n{hardening}");
        let process = fluxheim(dir.path(), at, origin_at, false, &site);
        first_answer(at, Instant::now());
        (process, at)
    };
    let confined = start("");
    let free = start("[hardening]\nseccomp = \"off\"\nlandlock = \"off\"\n");
    println!("| job | confined | not | ratio |\n|---|---|---|---|");
    for (name, path) in [("32 bytes from an upstream", "/"), ("a static file of 32 bytes", "/site/file")] {
        let (mut with, mut without) = (Vec::new(), Vec::new());
        for _ in 0..RUNS {
            with.push(per_cpu_second(confined.0.pid(), confined.1, path));
            without.push(per_cpu_second(free.0.pid(), free.1, path));
        }
        let (with, without) = (median(with), median(without));
        println!("| {name} | {with:.0} | {without:.0} | {:.3} |", with / without);
    }
}

fn compare(job: &Job, dir: &Path, origin: SocketAddr) {
    let (flux_at, nginx_at) = (free_address(), free_address());
    let flux = fluxheim(dir, flux_at, origin, job.logging, "");
    let upstream = format!("upstream app {{ server {origin}; keepalive 64; }}");
    let location = "location / { proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection \"\";
        proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme;
        proxy_set_header X-Forwarded-Host $host; proxy_set_header X-Forwarded-Port $server_port; proxy_set_header X-Real-IP $remote_addr; }";
    let peer =
        nginx(dir, "peer", &format!("{upstream} server {{ listen {nginx_at}; {location} }}"), job.logging);
    first_answer(flux_at, Instant::now());
    first_answer(nginx_at, Instant::now());
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        ours.push(per_cpu_second(flux.pid(), flux_at, job.path));
        theirs.push(per_cpu_second(peer.pid(), nginx_at, job.path));
    }
    let (ours, theirs) = (median(ours), median(theirs));
    println!(
        "| {} | {ours:.0} | {theirs:.0} | {:.2} | {} / {} KiB |",
        job.name,
        ours / theirs,
        resident(flux.pid()),
        resident(peer.pid())
    );
}

/// Requests completed for each CPU-second that the process used.
fn per_cpu_second(pid: u32, at: SocketAddr, path: &str) -> f64 {
    let before = cpu_seconds(pid);
    let url = format!("http://{at}{path}");
    let output = Command::new("wrk")
        .args(["-t1", "-c32", "-d", SECONDS, "-H", "Host: a.test", &url])
        .output()
        .unwrap_or_else(|error| panic!("wrk: {error}; install it with: apt-get install -y wrk"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!said.contains("Non-2xx") && !said.contains("Socket errors"), "{said}");
    let done = said.lines().find(|line| line.contains(" requests in ")).unwrap_or_else(|| panic!("{said}"));
    let requests: f64 = done.split_whitespace().next().unwrap().parse().unwrap();
    requests / (cpu_seconds(pid) - before)
}

fn fluxheim(dir: &Path, at: SocketAddr, origin: SocketAddr, logging: bool, more: &str) -> Process {
    let config = dir.join("fluxheim.toml");
    let text = format!(
        "[server]\nhttp = [\"{at}\"]\nthreads = 1\n[logging]\naccess = {logging}\n[limits]\nkeepalive_requests = 1000000\n\
         [[upstreams]]\nname = \"app\"\nservers = [\"{origin}\"]\n[[vhosts]]\nhosts = [\"*\"]\n\
         [[vhosts.routes]]\npath = \"/\"\nupstream = \"app\"\n{more}"
    );
    std::fs::write(&config, text).unwrap();
    Process::start(Command::new(program("fluxheim")).args(["--config".as_ref(), config.as_os_str()]))
}

/// nginx as a single process, so that its CPU time is all in one place.
fn nginx(dir: &Path, name: &str, http: &str, logging: bool) -> Process {
    let root = dir.display();
    let log = if logging { "access_log /dev/null combined buffer=64k flush=1s;" } else { "access_log off;" };
    let text = format!(
        "daemon off; master_process off; pid {root}/{name}.pid; error_log stderr error; events {{ worker_connections 2048; }}
         http {{ {log} keepalive_requests 1000000; sendfile on; tcp_nodelay on; client_body_temp_path {root}/{name}.b;
         proxy_temp_path {root}/{name}.p; fastcgi_temp_path {root}/{name}.f; uwsgi_temp_path {root}/{name}.u;
         scgi_temp_path {root}/{name}.s; {http} }}"
    );
    let config = dir.join(format!("{name}.conf"));
    std::fs::write(&config, text).unwrap();
    Process::start(Command::new("nginx").args(["-c".as_ref(), config.as_os_str()]))
}

fn nginx_version() -> String {
    let output =
        Command::new("nginx").arg("-v").output().expect("install it with: apt-get install -y nginx-light");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    said.rsplit("/").next().unwrap_or("").split_whitespace().next().unwrap_or("").to_owned()
}
