//! Two replicas of the image on one Docker network, with one Redis server and Debian's Pebble: one orders,
//! both answer the CA, both serve what it gives, and each goes on without the other.

use std::net::IpAddr;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::docker::{Container, Network, USER, curl, docker, mounted_config, set_mode, volume};

/// What the modules of the servers ask of their surroundings.
mod fixtures {
    pub(crate) use crate::docker::{certificate, curl, run, set_mode, wait};
}
#[path = "../issued.rs"]
mod issued;
#[path = "../pebble.rs"]
mod pebble;
#[path = "../stores/server.rs"]
mod server;

use issued::until;
use pebble::{HTTP, HTTPS, Pebble};
use server::Server;

const HOSTS: [&str; 4] = ["a.test", "b.test", "c.test", "d.test"];
/// Seconds. After two thirds of it they are renewed: long enough for the server to be missed and to come back.
const LIFE: u32 = 240;

const HARDENED: [&str; 5] = [
    "--read-only",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    // Of the admin socket; nothing else can be written.
    "--tmpfs=/run/fluxheim:uid=65532,gid=65532,mode=0700",
    "--pids-limit=200",
];

/// What both replicas mount: the same files, the secrets among them the service user's.
fn configuration(redis: &Server, pebble: &Pebble, ip: IpAddr) -> TempDir {
    let vhosts = HOSTS.map(|host| {
        format!(
            "[[vhosts]]\nhosts = [\"{host}\"]\ncertificate = \"acme\"\n\
             routes = [{{ path = \"/\", respond = {{ status = 200, body = \"ok\" }} }}]\n"
        )
    });
    let config = format!(
        "[server]\nhttp = [\"0.0.0.0:{HTTP}\"]\nhttps = [\"0.0.0.0:{HTTPS}\"]\n[metrics]\nlisten = [\"0.0.0.0:9100\"]\n\
         [admin]\nsocket = \"/run/fluxheim/admin.sock\"\n\
         [acme]\ndirectory = \"{}\"\nca_file = \"pebble.pem\"\nterms_of_service_agreed = true\nchallenge = \"http-01\"\n\
         [acme.storage.redis]\naddress = \"{ip}:{}\"\nca_file = \"redis.pem\"\nusername = \"flux\"\n\
         password_file = \"password\"\nseal_key_file = \"seal.key\"\ntimeout = \"2s\"\n{}",
        pebble.url(),
        redis.setup().port,
        vhosts.concat(),
    );
    let folder = mounted_config(&config, &[]);
    std::fs::write(folder.path().join("pebble.pem"), pebble.ca()).unwrap();
    std::fs::copy(redis.path().join("server.pem"), folder.path().join("redis.pem")).unwrap();
    secret(&redis.password(), &folder.path().join("password"));
    secret(&redis.path().join("seal.key"), &folder.path().join("seal.key"));
    folder
}

fn secret(from: &Path, to: &Path) {
    std::fs::copy(from, to).unwrap();
    chown(to, Some(USER), Some(USER)).unwrap();
    set_mode(to, 0o600);
}

struct Replica(Container);

impl Replica {
    fn start(network: &Network, config: &TempDir) -> Self {
        let volume = volume(config);
        let options = [&HARDENED[..], &["--network", &network.0, "-v", &volume]].concat();
        let replica = Self(Container::run(&options));
        replica.0.wait_for("\"ready\"");
        replica
    }

    fn serial(&self, host: &str) -> Option<String> {
        issued::serial(&format!("{}:{HTTPS}", self.0.address()), host)
    }

    fn serials(&self) -> Option<Vec<String>> {
        issued::serials(&format!("{}:{HTTPS}", self.0.address()), &HOSTS)
    }

    fn storage_is_up(&self) -> bool {
        let metrics = curl(&[&format!("http://{}:9100/metrics", self.0.address())]);
        issued::storage_is_up(&String::from_utf8(metrics).unwrap())
    }

    /// Has a certificate ordered; ends when that has, or the container.
    fn renew(&self, host: &str) -> Child {
        Command::new("docker")
            .args(["exec", &self.0.0, "/fluxheim", "ctl", "certs", "renew", host])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// How often the CA was answered.
    fn answered(&self) -> usize {
        let logs = self.0.logs();
        let lines = logs.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let asked = |line: &Value| {
            line["target"].as_str().is_some_and(|path| path.starts_with("/.well-known/acme-challenge/"))
                && line["status"] == 200
        };
        lines.filter(asked).count()
    }
}

#[test]
fn two_containers_share_one_store_and_each_goes_on_without_the_other() {
    let network = Network::new();
    let ip = network.gateway();
    let mut redis = Server::start_at(ip);
    let life = json!({ "certificateValidityPeriod": LIFE });
    let pebble = Pebble::at(ip, &life, &[("PEBBLE_VA_NOSLEEP", "1")]);
    let config = configuration(&redis, &pebble, ip);
    // Nobody orders before both are there, and the CA finds each of them at half of the names.
    redis.cli(&["SET", "fluxheim:lock:orders", "test", "PX", "120000"]);
    let (one, two) = (Replica::start(&network, &config), Replica::start(&network, &config));
    for (host, replica) in HOSTS.iter().zip([&one, &two].into_iter().cycle()) {
        pebble.finds(host, &[replica.0.address()]);
    }
    redis.cli(&["DEL", "fluxheim:lock:orders"]);
    let first = until(Duration::from_secs(60), "certificates of the first", || one.serials());
    let same = |replica: &Replica| replica.serials().filter(|seen| *seen == first);
    until(Duration::from_secs(10), "the same of the second", || same(&two));
    let issued = |replica: &Replica| replica.0.logs().matches("certificate issued").count();
    assert_eq!(issued(&one) + issued(&two), HOSTS.len(), "each was ordered once");
    for replica in [&one, &two] {
        assert!(replica.answered() > 0, "a replica was not asked: {}", replica.0.logs());
    }

    the_server_goes_and_comes_back(&mut redis, [&one, &two], &first);

    // Renewals go on by themselves, and reach both.
    let renewed = |replica: &Replica| {
        replica.serials().filter(|seen| seen.iter().zip(&first).all(|(new, old)| new != old))
    };
    let second = until(Duration::from_secs(u64::from(LIFE)), "renewals", || renewed(&one));
    until(Duration::from_secs(10), "the same of the second", || two.serials().filter(|seen| *seen == second));

    the_one_that_orders_is_killed(&redis, &pebble, one, &two);
}

/// Both serve on, and raise the alarm, until it is back.
fn the_server_goes_and_comes_back(redis: &mut Server, replicas: [&Replica; 2], serials: &[String]) {
    redis.kill();
    for replica in replicas {
        until(Duration::from_secs(90), "an alarm", || (!replica.storage_is_up()).then_some(()));
        assert_eq!(replica.serials().as_deref(), Some(serials), "{}", replica.0.logs());
    }
    redis.again();
    for replica in replicas {
        until(Duration::from_secs(90), "the end of the alarm", || replica.storage_is_up().then_some(()));
    }
}

/// In the midst of an order, holding the lock: the other one waits until that has run out, and orders.
fn the_one_that_orders_is_killed(redis: &Server, pebble: &Pebble, one: Replica, two: &Replica) {
    let before = two.serial("a.test").unwrap();
    let is_held = || redis.cli(&["EXISTS", "fluxheim:lock:orders"]).trim() == "1";
    until(Duration::from_secs(30), "a lock that nobody holds", || (!is_held()).then_some(()));
    pebble.signal(Signal::SIGSTOP);
    let mut order = one.renew("a.test");
    until(Duration::from_secs(20), "an order under way", || is_held().then_some(()));
    docker(&["kill", &one.0.0]);
    order.wait().unwrap();
    drop(one);
    for host in HOSTS {
        pebble.finds(host, &[two.0.address()]);
    }
    pebble.signal(Signal::SIGCONT);
    assert_eq!(two.serial("a.test"), Some(before.clone()), "it serves on");
    until(Duration::from_secs(u64::from(LIFE)), "an order of the other one", || {
        two.serial("a.test").filter(|serial| *serial != before)
    });
    assert!(two.0.logs().contains("certificate issued"), "{}", two.0.logs());
}
