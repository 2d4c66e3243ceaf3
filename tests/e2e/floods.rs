//! HTTP/2 clients that attack: each is cut off or bounded, another client is served meanwhile.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fluxheim::wire::h2::{Allowance, Flood, Watch};
use rustls::{ClientConnection, StreamOwned};

use crate::support::{Flux, Nginx, Running, Scripted, certificate, program, request, tls, wait};

#[path = "../fuzz/properties/frames.rs"]
mod property;

/// The seeds of the fuzz target: seeds that nobody runs would rot. A seed's name says what becomes of it.
#[test]
fn seeds_of_the_fuzz_target_are_what_their_names_say() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuzz/seeds/frames");
    let (mut valid, mut refused) = (0, 0);
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let is_refused = property::holds(&std::fs::read(&path).unwrap()).is_some();
        match path.file_name().unwrap().to_str().unwrap().split_once('-').unwrap().0 {
            "valid" => valid += usize::from(!is_refused),
            "refused" => refused += usize::from(is_refused),
            other => panic!("{other}-...: valid-... or refused-...?"),
        }
        assert!(valid + refused > 0, "{}", path.display());
    }
    assert_eq!((valid, refused), (4, 4));
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const LONG: Duration = Duration::from_secs(30);
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn server(origin: SocketAddr, limits: &str) -> Running {
    let rest = format!(
        "[[tls.certificates]]\nname = \"a\"\ncert = \"a.pem\"\nkey = \"a.key\"\n[[upstreams]]\nname = \"app\"\n\
         servers = [\"{origin}\"]\n[[vhosts]]\nhosts = [\"*\"]\n[[vhosts.routes]]\npath = \"/\"\nupstream = \"app\"\n\
         [limits]\n{limits}\n"
    );
    let flux = Flux::server("http = [\"127.0.0.1:0\"]\nhttps = [\"127.0.0.1:0\"]", &rest);
    certificate(flux.dir.path(), "a", &["a.test"]);
    flux.start()
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, l0, l1, l2] = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let [s0, s1, s2, s3] = stream.to_be_bytes();
    [&[l0, l1, l2, kind, flags, s0, s1, s2, s3], payload].concat()
}

/// Method (0x82 GET, 0x83 POST), `https`, `/`, and `a.test`, of which HPACK's tables hear nothing.
fn head(method: u8) -> Vec<u8> {
    [&[method, 0x87, 0x84, 0x01, 6], &b"a.test"[..]].concat()
}

fn get(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &head(0x82))
}

fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])
}

/// A client of raw frames.
struct Raw {
    tls: StreamOwned<ClientConnection, TcpStream>,
    /// What came and was not looked at yet.
    came: Vec<u8>,
}

/// What a client sees of a frame: type, flags, stream, payload.
type Seen = (u8, u8, u32, Vec<u8>);

impl Raw {
    fn begin(flux: &Running, settings: &[u8]) -> Self {
        let tls = tls(flux, "a.test", &[b"h2"]);
        assert_eq!(tls.conn.alpn_protocol(), Some(&b"h2"[..]));
        tls.sock.set_read_timeout(Some(LONG)).unwrap();
        tls.sock.set_write_timeout(Some(LONG)).unwrap();
        let mut raw = Self { tls, came: Vec::new() };
        raw.send(&[PREFACE, &frame(SETTINGS, 0, 0, settings), &frame(SETTINGS, 1, 0, b"")].concat());
        raw
    }

    /// Whether it could be sent.
    fn send(&mut self, bytes: &[u8]) -> bool {
        self.tls.write_all(bytes).and_then(|()| self.tls.flush()).is_ok()
    }

    /// The next frame; `None` at the end of the connection, however it comes.
    fn next(&mut self) -> Option<Seen> {
        loop {
            if let [l0, l1, l2, kind, flags, stream @ ..] = self.came.as_slice() {
                let length = usize::from(*l0) << 16 | usize::from(*l1) << 8 | usize::from(*l2);
                if let Some(payload) = stream.get(4..4 + length) {
                    let id = u32::from_be_bytes(stream[..4].try_into().unwrap());
                    let seen = (*kind, *flags, id, payload.to_vec());
                    self.came.drain(..9 + length);
                    return Some(seen);
                }
            }
            let mut buffer = [0; 16_384];
            match self.tls.read(&mut buffer) {
                Ok(0) => return None,
                Ok(read) => self.came.extend_from_slice(&buffer[..read]),
                Err(error) => {
                    assert_ne!(error.kind(), ErrorKind::WouldBlock, "the connection stays open");
                    return None;
                }
            }
        }
    }

    /// The error of the GOAWAY with which the connection ends.
    fn end(mut self) -> Option<u32> {
        let mut error = None;
        while let Some((kind, _, _, payload)) = self.next() {
            if kind == GOAWAY {
                error = Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
            }
        }
        error
    }

    /// The first frame of that kind on that stream.
    fn wait_for(&mut self, kind: u8, stream: u32) -> Seen {
        loop {
            let seen = self.next().unwrap_or_else(|| panic!("no frame {kind} on {stream}, but the end"));
            if (seen.0, seen.2) == (kind, stream) {
                return seen;
            }
        }
    }
}

/// Another client, at work until it is asked; every one of its requests must be answered.
struct Bystander {
    stop: Arc<AtomicBool>,
    served: Arc<AtomicUsize>,
    thread: std::thread::JoinHandle<()>,
}

impl Bystander {
    fn of(flux: &Running) -> Self {
        let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (until, count, address) = (Arc::clone(&stop), Arc::clone(&served), flux.http());
        let thread = std::thread::spawn(move || {
            while !until.load(Ordering::Relaxed) {
                assert_eq!(request(address, "a.test", "/").status, 200);
                count.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        Self { stop, served, thread }
    }

    fn was_served(self) {
        assert!(
            wait(|| (self.served.load(Ordering::Relaxed) > 2).then_some(())).is_some(),
            "nobody was served"
        );
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
    }
}

fn rss(flux: &Running) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", flux.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

fn counted(flux: &Running, reason: &str) {
    let line = format!("fluxheim_http2_refused_total{{reason=\"{reason}\"}} 1\n");
    let text = || String::from_utf8(request(flux.metrics(), "x", "/metrics").body).unwrap();
    assert!(wait(|| text().contains(&line).then_some(())).is_some(), "{line} is not in\n{}", text());
}

/// Sends `round` again and again, each with numbers of its own, until the connection is ended.
fn flood(flux: &Running, name: &str, reason: Option<&str>, round: impl Fn(u32) -> Vec<u8>) {
    let (bystander, before) = (Bystander::of(flux), rss(flux));
    let mut raw = Raw::begin(flux, b"");
    let mut rounds = 0..20_000;
    while rounds.next().is_some_and(|number| raw.send(&round(2 * number + 1))) {
        // What is never read would hold up the server's own answers, and so the flood.
        if rounds.start % 50 == 0 {
            raw.tls.sock.set_nonblocking(true).unwrap();
            let mut buffer = [0; 16_384];
            while let Ok(read @ 1..) = raw.tls.read(&mut buffer) {
                raw.came.extend_from_slice(&buffer[..read]);
            }
            raw.tls.sock.set_nonblocking(false).unwrap();
        }
    }
    // Whatever the kernel took of it. A reset may overtake the GOAWAY where the client goes on sending.
    if let Some(error) = raw.end() {
        assert!(matches!(error, 1 | 11), "{name}: {error}");
    }
    if let Some(reason) = reason {
        counted(flux, reason);
    }
    bystander.was_served();
    assert!(rss(flux) < before + (64 << 20), "{name}: {before} became {}", rss(flux));
}

#[test]
fn rapid_resets_end_the_connection() {
    let origin = Scripted::answering(OK);
    let flux = server(origin.address, "");
    flood(&flux, "rapid reset", None, |stream| [get(stream), reset(stream)].concat());
}

/// Slowly enough for each request to be on its way to the upstream, which the library doesn't count.
#[test]
fn resets_of_requests_under_way_end_the_connection() {
    let flux = server(half_deaf_origin(), "max_h2_resets = 20");
    let bystander = Bystander::of(&flux);
    let mut raw = Raw::begin(&flux, b"");
    for stream in (1..400).step_by(2) {
        raw.send(&frame(HEADERS, END_STREAM | END_HEADERS, stream, &head(0x83)));
        std::thread::sleep(Duration::from_millis(2));
        raw.send(&reset(stream));
    }
    assert!(matches!(raw.end(), Some(11) | None));
    counted(&flux, "resets");
    bystander.was_served();
}

#[test]
fn resets_that_the_client_provokes_end_the_connection() {
    let flux = server(half_deaf_origin(), "max_h2_resets = 20\nmax_h2_control_frames = 1000000");
    // A window over what there may be (RFC 9113 section 6.9.1), on a request that nobody answers.
    let provoke = |stream| {
        let post = frame(HEADERS, END_STREAM | END_HEADERS, stream, &head(0x83));
        [post, frame(WINDOW_UPDATE, 0, stream, &[0x7f, 255, 255, 255])].concat()
    };
    flood(&flux, "made you reset", Some("server_resets"), provoke);
}

#[test]
fn floods_of_frames_that_ask_for_nothing_end_the_connection() {
    let origin = Scripted::answering(OK);
    for (name, bytes) in [
        ("PING", frame(PING, 0, 0, b"pingpong")),
        ("acknowledged PING", frame(PING, 1, 0, b"pingpong")),
        ("SETTINGS", frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0])),
        ("PRIORITY", frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 9])),
        ("unknown", frame(0x77, 0, 0, b"x")),
        ("WINDOW_UPDATE", frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
    ] {
        let flux = server(origin.address, "max_h2_control_frames = 100");
        flood(&flux, name, Some("control_frames"), |_| bytes.repeat(20));
    }
}

#[test]
fn floods_that_the_library_bounds_end_the_connection() {
    let origin = Scripted::answering(OK);
    let flux = server(origin.address, "");
    let begin = frame(HEADERS, 0, 1, &head(0x82));
    flood(&flux, "CONTINUATION", None, |stream| match stream {
        1 => begin.clone(),
        _ => frame(CONTINUATION, 0, 1, b""),
    });
    let post = frame(HEADERS, END_HEADERS, 1, &head(0x83));
    flood(&flux, "empty DATA", None, |stream| match stream {
        1 => post.clone(),
        _ => frame(DATA, 0, 1, b"").repeat(10),
    });
}

#[test]
fn a_browser_that_cancels_what_it_asked_for_is_served_on() {
    let origin = Scripted::answering(OK);
    let flux = server(origin.address, "");
    let mut raw = Raw::begin(&flux, b"");
    for page in 0..10_u32 {
        let first = page * 60 + 1;
        for stream in (first..first + 20).step_by(2) {
            assert!(raw.send(&get(stream)) && raw.send(&reset(stream)));
        }
        for stream in (first + 20..first + 60).step_by(2) {
            assert!(raw.send(&get(stream)) && raw.send(&frame(WINDOW_UPDATE, 0, 0, &[0, 0, 1, 0])));
            raw.wait_for(HEADERS, stream);
        }
    }
}

/// Answers GET, and nothing else ever.
fn half_deaf_origin() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(read @ 1..) = stream.read(&mut buffer) {
                    if buffer[..read].starts_with(b"GET") {
                        let _ = stream.write_all(OK.as_bytes());
                    }
                }
            });
        }
    });
    address
}

#[test]
fn a_body_that_trickles_loses_its_stream_and_no_other() {
    let flux = server(half_deaf_origin(), "");
    let mut raw = Raw::begin(&flux, b"");
    assert!(raw.send(&frame(HEADERS, END_HEADERS, 1, &head(0x83))));
    let began = Instant::now();
    let mut last = 1;
    let mut reset = None;
    while reset.is_none() {
        assert!(began.elapsed() < 2 * LONG, "it trickles for ever");
        last += 2;
        assert!(raw.send(&[frame(DATA, 0, 1, b"x"), get(last)].concat()));
        let mut served = false;
        while !served {
            let (kind, _, stream, payload) = raw.next().expect("the connection ended");
            served = (kind, stream) == (HEADERS, last);
            reset = reset.or_else(|| (kind == RST_STREAM && stream == 1).then_some(payload));
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(began.elapsed() > Duration::from_secs(9), "{:?}", began.elapsed());
    assert_eq!(reset.unwrap(), [0, 0, 0, 8]);
    counted(&flux, "slow_body");
    assert!(raw.send(&get(last + 2)));
    raw.wait_for(HEADERS, last + 2);
}

/// The bytes that `--print-config` allows an HTTP/2 connection.
fn allowed(flux: &Running) -> u64 {
    let output = program(&["--print-config", "--config", flux.config.to_str().unwrap()]);
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find(|line| line.starts_with("#   one HTTP/2 connection: ")).expect(&text);
    let number = line.split(": ").nth(1).unwrap().strip_suffix("MiB").expect(line);
    number.parse::<u64>().unwrap() << 20
}

/// `INITIAL_WINDOW_SIZE` 0: nothing of a body may be sent.
const NO_WINDOW: &[u8] = &[0, 4, 0, 0, 0, 0];

/// Asks on as many streams as there may be and reads nothing that needs a window; the streams are reset
/// after `write_timeout`, and until then memory stays within what was said.
fn stalled(flux: &Running, request: impl Fn(u32) -> Vec<u8>) {
    let (bystander, before, allowed) = (Bystander::of(flux), rss(flux), allowed(flux));
    let mut raw = Raw::begin(flux, NO_WINDOW);
    let streams: Vec<u32> = (0..100).map(|number| 2 * number + 1).collect();
    for stream in &streams {
        assert!(raw.send(&request(*stream)));
    }
    let (mut open, mut most) = (streams.len(), 0);
    while open > 0 {
        let (kind, flags, stream, _) = raw.next().expect("the connection ended");
        most = most.max(rss(flux).saturating_sub(before));
        assert!(kind != DATA || flags & END_STREAM != 0, "a body was sent");
        let ended = kind == RST_STREAM || flags & END_STREAM != 0 && matches!(kind, DATA | HEADERS);
        open -= usize::from(ended && stream > 0);
    }
    assert!(most < allowed, "{most} of {allowed}");
    bystander.was_served();
}

#[test]
fn a_header_bomb_stays_within_the_memory_that_is_printed() {
    let origin = Scripted::answering(OK);
    let flux = server(origin.address, "write_timeout = \"3s\"");
    // References of one byte to one field of a few bytes, on every stream: as many as the list may have,
    // and more.
    for references in [900, 3000] {
        stalled(&flux, |stream| {
            let first: &[u8] = if stream == 1 { &[0x40, 1, b'x', 1, b'y'] } else { &[] };
            let block = [&head(0x82), first, &vec![0xbe; references]].concat();
            frame(HEADERS, END_STREAM | END_HEADERS, stream, &block)
        });
    }
    // References to a field as large as the table: what they stand for is over four times the limit.
    let (before, mut raw) = (rss(&flux), Raw::begin(&flux, b""));
    let large = [&[0x40, 1, b'x', 0x7f, 0xc1, 0x1e][..], &[b'y'; 4032]].concat();
    assert!(raw.send(&frame(HEADERS, END_STREAM | END_HEADERS, 1, &[head(0x82), large].concat())));
    raw.send(&frame(HEADERS, END_STREAM | END_HEADERS, 3, &[&head(0x82), &[0xbe; 10_000][..]].concat()));
    assert!(matches!(raw.end(), Some(9 | 11) | None));
    assert!(rss(&flux) < before + (32 << 20));
}

#[test]
fn responses_that_no_window_is_opened_for_stay_within_the_memory_that_is_printed() {
    let origin = Nginx::serving(&[("index.html", &vec![b'x'; 8 << 20])]);
    let flux = server(origin.address, "write_timeout = \"3s\"");
    stalled(&flux, get);
}

#[test]
fn cookies_in_crumbs_are_joined_and_count_as_fields() {
    let origin = Scripted::answering(OK);
    let flux = server(origin.address, "");
    let mut raw = Raw::begin(&flux, b"");
    // `cookie` is number 32 of HPACK's static table (RFC 7541 appendix A).
    let crumb = |value: u8| [0x0f, 0x11, 1, value];
    let ask = |stream, crumbs: &[u8]| {
        let block =
            [&head(0x82), &crumbs.iter().flat_map(|value| crumb(*value)).collect::<Vec<_>>()[..]].concat();
        frame(HEADERS, END_STREAM | END_HEADERS, stream, &block)
    };
    assert!(raw.send(&ask(1, b"abc")));
    raw.wait_for(HEADERS, 1);
    let seen = origin.last_head();
    assert!(seen.contains("\r\ncookie: a; b; c\r\n") && seen.matches("cookie:").count() == 1, "{seen}");
    assert!(raw.send(&ask(3, &[b'x'; 150])));
    raw.wait_for(HEADERS, 3);
    let refused = "fluxheim_http_requests_total{vhost=\"-\",code=\"431\"} 1\n";
    let text = || String::from_utf8(request(flux.metrics(), "x", "/metrics").body).unwrap();
    assert!(wait(|| text().contains(refused).then_some(())).is_some(), "{}", text());
    assert_eq!(origin.requests(), 1);
}

#[test]
fn a_client_that_takes_its_response_a_byte_at_a_time_is_cut_off() {
    let origin = Nginx::serving(&[("index.html", &vec![b'x'; 32 << 20])]);
    let flux = server(origin.address, "write_timeout = \"2s\"");
    let mut slow = TcpStream::connect(flux.http()).unwrap();
    slow.write_all(b"GET /index.html HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n").unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let reader = std::thread::spawn({
        let stop = Arc::clone(&stop);
        move || {
            while !stop.load(Ordering::Relaxed) && matches!(slow.read(&mut [0; 1]), Ok(1)) {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    });
    let line = flux.access_line("/index.html");
    assert_eq!(line["error"], "client_write_timeout", "{line}");
    stop.store(true, Ordering::Relaxed);
    reader.join().unwrap();
}
