//! Files that are replaced while the proxy runs: read anew and put to use one by one.
//!
//! Owns what is done for each kind of file. It runs on the loop that reloads the configuration, so neither
//! can undo the other: what was read for a configuration that is gone by then is dropped. No connection
//! notices; new handshakes and requests use what is new.

use std::collections::BTreeSet;
use std::sync::Arc;

use fluxheim_config::Config;
use fluxheim_posture::confine::Reach;
use fluxheim_trust::bounded::{Late, within};
use fluxheim_trust::{Identity, Item, Role, ShownTo, Terms, inventory};
use tokio::task::JoinHandle;

use crate::app::expiry;
use crate::app::patience::PATIENCE;
use crate::app::reload::Reloadable;
use crate::cli::Configuration;
use crate::edge::fresh::Fresh;
use crate::edge::live::Live;
use crate::rotation::{Changed, Look, Rotation, Settings, Sight, Tell};
use crate::telemetry::certificates::FileLabels;
use crate::tls::{About, Certificates, ClientAuths, ClientsRenewed, Loaded, TicketKeys, read_ticket_keys};

/// The watching, and a reading under way.
pub(super) struct Rotating {
    rotation: Rotation,
    files: Vec<FileLabels>,
    reading: Option<JoinHandle<Result<Found, Late>>>,
}

/// What was found, read for the configuration that is still in use.
#[derive(Debug)]
pub(super) struct Found {
    seen: Vec<Changed>,
    read: Vec<(usize, Result<Read, String>)>,
}

#[derive(Debug)]
enum Read {
    /// A pair for clients, and its place among them.
    Served(usize, Box<Loaded>),
    Tickets(Arc<TicketKeys>),
    /// Whose client certificates are believed, of all vhosts.
    Clients(ClientsRenewed),
    Other(Fresh),
}

/// Every file of `config` that can be taken while it is in use, as it is now.
pub(super) fn sights(config: &Config) -> Vec<Sight> {
    let is_taken = |item: &Item| match item {
        Item::Pair(pair) => pair.shown_to == ShownTo::Clients,
        Item::One(object) => {
            matches!(object.role, Role::OcspResponse | Role::TicketKeys)
                || ClientAuths::are_of(config, object)
        }
    };
    let items = inventory(config).items.into_iter();
    Sight::all(items.filter(|item| is_taken(item) || Fresh::is_of(config, item)).collect())
}

const fn settings(config: &Config) -> Settings {
    let watch = config.tls.watch;
    Settings { enabled: watch.enabled, poll: watch.poll }
}

impl Rotating {
    /// Watches the files of `config`, which were read when they were as in `sights` or later.
    pub(super) fn new(config: &Config, sights: Vec<Sight>) -> Self {
        let files = sights.iter().map(|sight| labels(&sight.item)).collect();
        Self { rotation: Rotation::new(settings(config), sights), files, reading: None }
    }

    /// The same after a reload. A reading under way was for the configuration before: nobody waits for it.
    pub(super) fn follow(&mut self, config: &Config, sights: Vec<Sight>) {
        self.reading = None;
        self.files = sights.iter().map(|sight| labels(&sight.item)).collect();
        self.rotation.follow(settings(config), sights);
    }

    /// Each watched file, as metrics call it.
    pub(super) fn files(&self) -> BTreeSet<FileLabels> {
        self.files.iter().cloned().collect()
    }
}

impl Reloadable {
    /// Waits until something was replaced and is read. Loses nothing when it is dropped early.
    pub(super) async fn rotated(&mut self, at: &Configuration) -> Option<Found> {
        loop {
            if let Some(reading) = &mut self.rotating.reading {
                let found = reading.await;
                self.rotating.reading = None;
                return self.read_in_time(found.ok());
            }
            self.rotating.rotation.due().await;
            self.begin(at);
        }
    }

    fn read_in_time(&mut self, found: Option<Result<Found, Late>>) -> Option<Found> {
        match found {
            Some(Ok(found)) => Some(found),
            late => {
                let reason = late.and_then(Result::err).map_or_else(String::new, |late| late.to_string());
                tracing::error!(
                    reason,
                    "rotated files can't be looked at: what was read before stays in use; \
                     --check-tls-storage says which file lies on it"
                );
                self.rotating.rotation.unanswered();
                None
            }
        }
    }

    fn begin(&mut self, at: &Configuration) {
        let look = self.rotating.rotation.look();
        let (live, shown) = (self.live.load_full(), self.termination.resolver().current());
        let (at, confined_to) = (at.clone(), self.confined_to.clone());
        let read = move || read(look, &live, &shown, &at, confined_to.as_ref());
        self.rotating.reading = Some(tokio::task::spawn_blocking(move || within(PATIENCE, read)));
    }

    /// Puts what was found to use.
    pub(super) fn put(&mut self, found: Found) {
        let Found { seen, read } = found;
        self.rotating.rotation.saw(seen);
        let mut served = Vec::new();
        for (index, result) in read {
            let tell =
                self.rotating.rotation.outcome(index, result.as_ref().map(|_| ()).map_err(String::as_str));
            let Some(file) = self.rotating.files.get(index) else { continue };
            match result {
                Ok(read) => {
                    self.record.taken(file);
                    if tell == Tell::Recovered {
                        tracing::info!(name = file.name, path = file.path, "can be used again");
                    }
                    match read {
                        Read::Served(at, loaded) => served.push((at, *loaded, file.clone())),
                        Read::Tickets(keys) => {
                            let life = self.live.load().config.tls.session_tickets.rotation;
                            self.termination.tickets().follow(Some(keys), life);
                            self.tell_taken(file);
                        }
                        Read::Clients(clients) => {
                            clients.warnings().for_each(|warning| tracing::warn!("{warning}"));
                            let live = self.live.load();
                            let clients = live.clients.load().with(clients);
                            self.termination.believe(&live.config, &clients);
                            live.clients.store(Arc::new(clients));
                            self.tell_taken(file);
                        }
                        Read::Other(fresh) => {
                            self.live.load().take(fresh);
                            self.tell_taken(file);
                        }
                    }
                }
                Err(reason) => self.tell_bad(file, tell, &reason),
            }
        }
        self.serve_anew(served);
    }

    fn tell_taken(&self, file: &FileLabels) {
        self.telemetry.metrics.files.taken(file);
        tracing::info!(role = file.role, name = file.name, path = file.path, "file replaced");
    }

    fn tell_bad(&self, file: &FileLabels, tell: Tell, reason: &str) {
        let FileLabels { role, name, path } = file;
        if tell == Tell::Alarm {
            self.record.refused(file, reason);
            self.telemetry.metrics.files.failed(file);
            tracing::error!(
                role,
                name,
                path,
                reason,
                "replaced by what can't be used: what was read before stays in use"
            );
        } else {
            tracing::debug!(role, name, path, reason, "not to be used yet");
        }
    }

    fn serve_anew(&self, served: Vec<(usize, Loaded, FileLabels)>) {
        let resolver = self.termination.resolver();
        let current = resolver.current();
        let mut changed = Vec::new();
        for (at, loaded, file) in served {
            if current.loaded().get(at).is_some_and(|old| old.shown.is(&loaded.shown)) {
                self.telemetry.metrics.files.good(&file);
                continue;
            }
            let not_after = expiry::date(loaded.shown.about.not_after);
            match file.role == Role::OcspResponse.id() {
                true => self.tell_taken(&file),
                false => {
                    tracing::info!(name = file.name, path = file.path, not_after, "certificate replaced");
                    self.telemetry.metrics.files.taken(&file);
                }
            }
            loaded.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
            changed.push((at, loaded));
        }
        if !changed.is_empty() {
            resolver.replace(current.with(changed));
        }
    }
}

/// Everything that touches a file.
fn read(
    look: Look,
    live: &Arc<Live>,
    shown: &Certificates,
    at: &Configuration,
    confined_to: Option<&Reach>,
) -> Found {
    let (config, seen) = (&live.config, look.make().changed);
    let terms = Terms::of(config, Identity::current());
    let read = seen.iter().filter_map(|changed| {
        let read =
            match &changed.sight.item {
                Item::Pair(pair) if pair.shown_to == ShownTo::Clients => {
                    served(config, &changed.sight.item, shown, &terms)
                }
                Item::One(object) if object.role == Role::OcspResponse => {
                    served(config, &changed.sight.item, shown, &terms).map(|read| read.and_then(stapled))
                }
                Item::One(object) if object.role == Role::TicketKeys => {
                    let keys = read_ticket_keys(config, &terms).transpose();
                    keys.map(|keys| keys.map(Read::Tickets).map_err(|error| error.to_string()))
                }
                Item::One(object) if ClientAuths::are_of(config, object) => {
                    let clients = ClientAuths::read_anew(config, object, &terms).map(Read::Clients);
                    Some(clients.map_err(|errors| {
                        errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
                    }))
                }
                item => Fresh::read(config, item, &terms).map(|read| read.map(Read::Other)),
            };
        Some((changed.index, read?.map_err(|reason| explained(reason, config, at, confined_to))))
    });
    let read = read.collect();
    Found { seen, read }
}

/// The certificate that `item` belongs to, with all that does.
fn served(config: &Config, item: &Item, shown: &Certificates, terms: &Terms) -> Option<Result<Read, String>> {
    let is_of = |index: &usize| match item {
        Item::Pair(pair) => fluxheim_trust::pair(config, *index).as_ref() == Some(pair),
        Item::One(object) => fluxheim_trust::ocsp_response(config, *index).as_ref() == Some(object),
    };
    let index = (0..config.tls.certificates.len()).find(is_of)?;
    let path = &config.tls.certificates.get(index)?.cert;
    let read = Certificates::read_one(config, index, terms)
        .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
    Some(read.and_then(|loaded| {
        if let Some(old) = shown.loaded().get(index) {
            better(&old.shown.about, &loaded.shown.about, expiry::now())
                .map_err(|why| format!("{}: {why}", path.display()))?;
        }
        Ok(Read::Served(index, Box::new(loaded)))
    }))
}

/// A response that is not to be sent does not take the place of one that is.
fn stapled(read: Read) -> Result<Read, String> {
    match read {
        Read::Served(_, loaded) if !loaded.shown.is_stapled() => Err(loaded.warnings.join("\n")),
        read => Ok(read),
    }
}

/// A certificate that clients refuse does not take the place of one that they take.
fn better(old: &About, new: &About, now: i64) -> Result<(), String> {
    let is_good = |about: &About| about.not_before <= now && now <= about.not_after;
    if is_good(new) || !is_good(old) {
        return Ok(());
    }
    Err(if now < new.not_before {
        format!("the certificate is not valid before {}: it is taken then", expiry::date(new.not_before))
    } else {
        format!("the certificate expired on {}: put a newer one in its place", expiry::date(new.not_after))
    })
}

/// With what the kernel does not say.
fn explained(reason: String, config: &Config, at: &Configuration, confined_to: Option<&Reach>) -> String {
    let Some(confined_to) = confined_to else { return reason };
    let wanted = Reach::of(config, &at.path);
    let beyond: Vec<_> = wanted.beyond(confined_to).iter().map(|path| path.display().to_string()).collect();
    if beyond.is_empty() {
        return reason;
    }
    format!(
        "{reason}\n{} is gone, or not the folder that it was at the start, and Landlock confined this process to \
         that one: restart it, and from now on replace the files in the folder, not the folder",
        beyond.join(", ")
    )
}

/// How metrics call the files of a certificate of the configuration.
pub(super) fn named(certificate: &str) -> String {
    plain(&fluxheim_trust::certificate_name(certificate))
}

/// As people write it in a query.
fn plain(name: &str) -> String {
    name.replace('"', "")
}

fn labels(item: &Item) -> FileLabels {
    let objects = item.objects();
    let first = objects.first();
    let role = first.map_or("", |object| object.role.id());
    FileLabels {
        role: match item {
            Item::Pair(pair) if pair.shown_to == ShownTo::Upstreams => "client-certificate",
            Item::Pair(_) | Item::One(_) => role,
        },
        name: first.map_or_else(String::new, |object| plain(&object.name)),
        path: first.map_or_else(String::new, |object| object.path.display().to_string()),
    }
}
