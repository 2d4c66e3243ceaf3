//! What ten thousand virtual hosts cost: time to start, memory, and requests to hosts at random.

use crate::PLAIN;
use crate::contestant::Contestant;
use crate::rate::{self, Job, Load};
use crate::stage::{Setup, Stage};
use crate::table::{Row, Unit};

pub(crate) fn measure(stage: &Stage) -> Vec<Row> {
    let setup = Setup { vhosts: VHOSTS, ..PLAIN };
    let mut rows = starts(stage, "one virtual host", PLAIN);
    rows.extend(starts(stage, "10,000 virtual hosts", setup));
    let load = Load::Hosts(rate::random_hosts(stage, VHOSTS));
    let title = "32 bytes, keep-alive, 10,000 virtual hosts at random";
    rows.push(rate::measure(stage, &Job { title, setup, load }));
    rows
}

fn starts(stage: &Stage, what: &str, setup: Setup) -> Vec<Row> {
    let mut times: Vec<_> = Contestant::ALL.into_iter().map(|one| (one, Vec::new())).collect();
    let mut sizes = times.clone();
    for _ in 0..ROUNDS {
        for ((one, times), (_, sizes)) in times.iter_mut().zip(&mut sizes) {
            let running = one.start(stage, setup);
            times.push(running.started_in.as_secs_f64() * 1e3);
            sizes.push(running.resident() / 1024.0);
        }
    }
    vec![
        Row { title: format!("start to first answer, {what}"), unit: Unit::Millis, samples: times },
        Row { title: format!("resident memory, {what}"), unit: Unit::Mib, samples: sizes },
    ]
}

const VHOSTS: usize = 10_000;
const ROUNDS: usize = 3;
