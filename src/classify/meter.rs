//! What the pipeline counts about itself.

use super::engine::ClusterStatus;
use crate::event::Verdict;
use jiff::Timestamp;
use metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Recorder, Unit};

/// Counters of one service; each service has its own, so that tests do not meet.
#[derive(Debug)]
pub struct Meter {
    verdicts: [Counter; Verdict::ALL.len()],
    /// Events that went through the matcher.
    pub events: Counter,
    /// Seconds from the start of a classification to its recorded verdict.
    pub seconds: Histogram,
    /// Builds that wait.
    pub waiting: Gauge,
    /// Builds that are being classified.
    pub running: Gauge,
    /// Builds that were not accepted because too many waited.
    pub refused: Counter,
    /// Stored builds that a changed fingerprint set still has to look at.
    pub reclassify_left: Gauge,
    /// Stored builds that were looked at again.
    pub reclassified: Counter,
    /// Bytes of logs taken in.
    pub bytes: Counter,
    /// Reports made.
    pub reports: Counter,
    /// When the last report was made, in seconds since 1970.
    pub last_report: Gauge,
    /// Fingerprints in force.
    pub fingerprints: Gauge,
    /// Fingerprint files that cannot be used.
    pub broken: Gauge,
    /// Classified builds that are not in the log index yet.
    pub index_waiting: Gauge,
    /// How long the first of them has waited.
    pub index_lag: Gauge,
}

const META: Metadata<'static> = Metadata::new("whorl", Level::INFO, None);

impl Meter {
    /// Registers everything with `to`.
    pub fn new(to: &dyn Recorder) -> Self {
        describe(to);
        let counter = |name: &'static str| to.register_counter(&Key::from_name(name), &META);
        let gauge = |name: &'static str| {
            let gauge = to.register_gauge(&Key::from_name(name), &META);
            gauge.set(0.0);
            gauge
        };
        let verdict = |verdict: Verdict| {
            let labels = vec![Label::from_static_parts("verdict", verdict.as_str())];
            let key = Key::from_parts("whorl_builds_classified_total", labels);
            to.register_counter(&key, &META)
        };
        Self {
            verdicts: Verdict::ALL.map(verdict),
            events: counter("whorl_events_total"),
            seconds: to.register_histogram(&Key::from_name("whorl_classify_seconds"), &META),
            waiting: gauge("whorl_queue_waiting"),
            running: gauge("whorl_queue_running"),
            refused: counter("whorl_intake_refused_total"),
            reclassify_left: gauge("whorl_reclassify_left"),
            reclassified: counter("whorl_reclassified_total"),
            bytes: counter("whorl_intake_bytes_total"),
            reports: counter("whorl_reports_total"),
            last_report: gauge("whorl_last_report_timestamp_seconds"),
            fingerprints: gauge("whorl_fingerprints"),
            broken: gauge("whorl_fingerprint_files_broken"),
            index_waiting: gauge("whorl_index_waiting"),
            index_lag: gauge("whorl_index_lag_seconds"),
        }
    }

    /// Counts one verdict.
    pub fn verdict(&self, verdict: Verdict) {
        let at = Verdict::ALL.iter().position(|v| *v == verdict);
        if let Some(counter) = at.and_then(|n| self.verdicts.get(n)) {
            counter.increment(1);
        }
    }
}

/// What is known of each source: name, kind, meaning.
const SOURCE_GAUGES: [(&str, &str); 3] = [
    ("whorl_source_connected", "1 while the source hears"),
    (
        "whorl_source_last_event_timestamp_seconds",
        "When the source last heard something",
    ),
    ("whorl_source_silent_seconds", "How long ago that is"),
];

/// What is counted of each source.
const SOURCE_COUNTERS: [(&str, &str); 4] = [
    ("whorl_source_events_total", "Events that the source heard"),
    ("whorl_source_builds_total", "Builds in them"),
    (
        "whorl_source_not_understood_total",
        "Parts of them that were not understood",
    ),
    (
        "whorl_source_events_by_type_total",
        "Events that the source heard, by type",
    ),
];

/// Numbers of one source.
#[derive(Debug)]
pub struct SourceMeter {
    source: String,
    connected: Gauge,
    counters: [Counter; 3],
}

impl SourceMeter {
    /// Registers the source with `to`, or finds it there.
    pub fn new(to: &dyn Recorder, source: &str) -> Self {
        for (name, text) in SOURCE_GAUGES {
            to.describe_gauge(name.into(), None, text.into());
        }
        for (name, text) in SOURCE_COUNTERS {
            to.describe_counter(name.into(), Some(Unit::Count), text.into());
        }
        let key = |name: &'static str| {
            Key::from_parts(name, vec![Label::new("source", source.to_owned())])
        };
        let [events, builds, lost, _] = SOURCE_COUNTERS;
        let counter = |(name, _): (&'static str, &str)| to.register_counter(&key(name), &META);
        Self {
            source: source.to_owned(),
            connected: to.register_gauge(&key(SOURCE_GAUGES[0].0), &META),
            counters: [counter(events), counter(builds), counter(lost)],
        }
    }

    /// Whether it hears.
    pub fn connected(&self, yes: bool) {
        self.connected.set(f64::from(u8::from(yes)));
    }

    /// When it last heard something; nothing is shown of one that never did.
    pub fn heard(&self, to: &dyn Recorder, at: Timestamp, now: Timestamp) {
        let show = |name: &'static str, value: f64| {
            let labels = vec![Label::new("source", self.source.clone())];
            let key = Key::from_parts(name, labels);
            to.register_gauge(&key, &META).set(value);
        };
        show(SOURCE_GAUGES[1].0, at.as_second() as f64);
        let silent = now.duration_since(at).as_secs_f64();
        show(SOURCE_GAUGES[2].0, silent.max(0.0));
    }

    /// What it heard since the start.
    pub fn counts(&self, events: u64, builds: u64, not_understood: u64) {
        for (counter, count) in self.counters.iter().zip([events, builds, not_understood]) {
            counter.absolute(count);
        }
    }

    /// How many events were of a type.
    pub fn event_type(&self, to: &dyn Recorder, kind: &str, count: u64) {
        let labels = vec![
            Label::new("source", self.source.clone()),
            Label::new("type", kind.to_owned()),
        ];
        let key = Key::from_parts(SOURCE_COUNTERS[3].0, labels);
        to.register_counter(&key, &META).absolute(count);
    }
}

/// Shows how many fetches of logs stand where, and how many ended with something missing.
pub fn fetch_meter(to: &dyn Recorder, states: &[(String, u64)], missing: u64) {
    let (all, lost) = ("whorl_log_fetches", "whorl_log_fetches_incomplete");
    to.describe_gauge(
        all.into(),
        None,
        "Builds whose logs are fetched, by state".into(),
    );
    to.describe_gauge(
        lost.into(),
        None,
        "Builds whose logs could not be fetched whole".into(),
    );
    let known = ["due", "done"];
    for state in known {
        let count = states.iter().find(|(name, _)| name == state);
        let key = Key::from_parts(all, vec![Label::new("state", state)]);
        let count = count.map_or(0, |(_, count)| *count);
        to.register_gauge(&key, &META).set(count as f64);
    }
    to.register_gauge(&Key::from_name(lost), &META)
        .set(missing as f64);
}

/// Numbers of the cluster that keeps the logs, when one does.
#[derive(Debug)]
pub struct ClusterMeter {
    counters: [Counter; 6],
    gauges: [Gauge; 4],
}

/// The names of the counters, and what they count.
const CLUSTER_COUNTERS: [(&str, &str); 6] = [
    (
        "whorl_cluster_requests_total",
        "Requests sent to the log cluster, repetitions included",
    ),
    (
        "whorl_cluster_repeated_total",
        "Requests that were sent to the log cluster again",
    ),
    (
        "whorl_cluster_sent_bytes_total",
        "Bytes of the requests' bodies",
    ),
    (
        "whorl_cluster_received_bytes_total",
        "Bytes of the answers' bodies",
    ),
    (
        "whorl_cluster_extra_pages_total",
        "Requests for further pages of a build's events",
    ),
    (
        "whorl_cluster_splits_total",
        "Requests because one could not hold all queries",
    ),
];

/// The names of the gauges, and what they show.
const CLUSTER_GAUGES: [(&str, &str); 4] = [
    (
        "whorl_cluster_reached",
        "1 once the log cluster has answered since the start",
    ),
    (
        "whorl_cluster_breaker_open",
        "1 while the log cluster is left alone after failures in a row",
    ),
    (
        "whorl_builds_waiting_for_logs",
        "Builds whose log is not complete in the index",
    ),
    (
        "whorl_builds_unindexed",
        "Builds whose events are still to be indexed",
    ),
];

impl ClusterMeter {
    /// Registers everything with `to`.
    pub fn new(to: &dyn Recorder) -> Self {
        let counter = |(name, text): (&'static str, &'static str)| {
            to.describe_counter(name.into(), Some(Unit::Count), text.into());
            to.register_counter(&Key::from_name(name), &META)
        };
        let gauge = |(name, text): (&'static str, &'static str)| {
            to.describe_gauge(name.into(), None, text.into());
            to.register_gauge(&Key::from_name(name), &META)
        };
        Self {
            counters: CLUSTER_COUNTERS.map(counter),
            gauges: CLUSTER_GAUGES.map(gauge),
        }
    }

    /// Shows how it stands.
    pub fn show(&self, status: &ClusterStatus) {
        let counts = [
            status.requests,
            status.repeated,
            status.sent_bytes,
            status.received_bytes,
            status.extra_pages,
            status.splits,
        ];
        for (counter, value) in self.counters.iter().zip(counts) {
            counter.absolute(value);
        }
        let values = [
            f64::from(u8::from(status.reached)),
            f64::from(u8::from(status.breaker_open)),
            status.waiting_builds as f64,
            status.unindexed_builds as f64,
        ];
        for (gauge, value) in self.gauges.iter().zip(values) {
            gauge.set(value);
        }
    }
}

fn describe(to: &dyn Recorder) {
    let counters = [
        (
            "whorl_builds_classified_total",
            "Verdicts given, by verdict",
        ),
        (
            "whorl_events_total",
            "Log events that went through the matcher",
        ),
        (
            "whorl_intake_refused_total",
            "Builds told to come back later",
        ),
        ("whorl_intake_bytes_total", "Bytes of logs taken in"),
        ("whorl_reclassified_total", "Stored builds looked at again"),
        ("whorl_reports_total", "Reports made"),
    ];
    for (name, text) in counters {
        to.describe_counter(name.into(), Some(Unit::Count), text.into());
    }
    let gauges = [
        ("whorl_queue_waiting", "Complete builds that wait"),
        ("whorl_queue_running", "Builds being classified"),
        (
            "whorl_reclassify_left",
            "Stored builds still to look at again",
        ),
        (
            "whorl_last_report_timestamp_seconds",
            "When the last report was made",
        ),
        ("whorl_fingerprints", "Fingerprints in force"),
        (
            "whorl_fingerprint_files_broken",
            "Fingerprint files that cannot be used",
        ),
        (
            "whorl_index_waiting",
            "Classified builds that are not in the log index yet",
        ),
        (
            "whorl_index_lag_seconds",
            "How long the first of them has waited",
        ),
    ];
    for (name, text) in gauges {
        to.describe_gauge(name.into(), None, text.into());
    }
    to.describe_histogram(
        "whorl_classify_seconds".into(),
        Some(Unit::Seconds),
        "Time to classify one build".into(),
    );
}
