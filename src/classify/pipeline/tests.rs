//! The queue with a ledger and a looker that tests hold in their hands.

use super::*;
use std::sync::Condvar;

#[derive(Default)]
struct Fake {
    pending: Mutex<Vec<String>>,
    /// What was recorded, with the generation it was of.
    seen: Mutex<Vec<String>>,
    /// Generations, and those that have a verdict.
    known: Mutex<HashMap<String, (u64, u64)>>,
    gate: Mutex<bool>,
    opened: Condvar,
    looks: Mutex<usize>,
    /// How often recording goes wrong from now on.
    ill: Mutex<usize>,
    /// Builds that another process has.
    others: Mutex<Vec<String>>,
    /// How often it was asked what is pending.
    asked: Mutex<usize>,
}

impl Fake {
    fn open(&self) {
        *self.gate.lock().unwrap() = true;
        self.opened.notify_all();
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    /// The build's logs are other ones now.
    fn change(&self, uuid: &str) {
        let mut known = self.known.lock().unwrap();
        known.entry(uuid.to_owned()).or_insert((1, 0)).0 += 1;
    }
}

impl Ledger for Fake {
    fn pending(&self) -> Result<Vec<String>, LedgerError> {
        *self.asked.lock().unwrap() += 1;
        Ok(self.pending.lock().unwrap().clone())
    }

    fn take(&self, uuid: &str, _again: bool) -> Result<bool, LedgerError> {
        Ok(!self
            .others
            .lock()
            .unwrap()
            .iter()
            .any(|other| other == uuid))
    }

    fn job(&self, uuid: &str) -> Result<Option<Job>, LedgerError> {
        let mut known = self.known.lock().unwrap();
        let (generation, done) = *known.entry(uuid.to_owned()).or_insert((1, 0));
        Ok(Some(Job {
            build: Build::new(uuid),
            generation,
            waiting: done < generation,
            completed_at: None,
        }))
    }

    fn record(&self, job: &Job, outcome: &Outcome) -> Result<bool, LedgerError> {
        let mut ill = self.ill.lock().unwrap();
        if *ill > 0 {
            *ill -= 1;
            self.pending.lock().unwrap().push(job.build.uuid.clone());
            return Err(LedgerError("the disk is full".to_owned()));
        }
        let mut known = self.known.lock().unwrap();
        let (generation, done) = known.get_mut(&job.build.uuid).unwrap();
        if *generation != job.generation {
            return Ok(false);
        }
        *done = job.generation;
        let line = format!("{} {} of {generation}", job.build.uuid, outcome.verdict);
        self.seen.lock().unwrap().push(line);
        Ok(true)
    }
}

impl Looker for Fake {
    fn look(&self, build: &Build) -> Outcome {
        *self.looks.lock().unwrap() += 1;
        let mut open = self.gate.lock().unwrap();
        while !*open {
            open = self.opened.wait(open).unwrap();
        }
        drop(open);
        assert!(build.uuid != "bad", "a defect");
        Outcome {
            verdict: Verdict::Unmatched,
            ..Outcome::error("", "v1")
        }
    }
}

fn start(fake: &Arc<Fake>, queue: usize) -> Pipeline {
    let meter = Arc::new(Meter::new(&metrics::NoopRecorder));
    Pipeline::start(fake.clone(), fake.clone(), meter, queue, 1)
}

const LONG: Duration = Duration::from_secs(20);

async fn until(holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < LONG);
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_nobody_named_is_found_when_it_is_said_that_there_may_be_some() {
    let fake = Arc::new(Fake::default());
    fake.open();
    let pipeline = start(&fake, 8);
    // The first look is over; the next one would be in half a minute.
    until(|| *fake.asked.lock().unwrap() > 0).await;
    let begun = Instant::now();
    fake.pending.lock().unwrap().push("a".to_owned());
    while fake.seen().is_empty() {
        assert!(begun.elapsed() < LONG);
        pipeline.look_round();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(pipeline.drain(LONG).await);
}

#[tokio::test]
async fn what_waits_is_finished_before_the_end() {
    let fake = Arc::new(Fake::default());
    let pipeline = start(&fake, 8);
    for uuid in ["a", "b", "bad", "c"] {
        pipeline.reserve().unwrap().enter(uuid);
    }
    fake.open();
    assert!(pipeline.alive());
    assert!(pipeline.drain(LONG).await);
    assert_eq!(
        fake.seen(),
        [
            "a unmatched of 1",
            "b unmatched of 1",
            "bad error of 1",
            "c unmatched of 1"
        ]
    );
    assert_eq!(pipeline.reserve().unwrap_err(), Refused::Stopping);
}

#[tokio::test]
async fn a_full_queue_refuses_and_recovers() {
    let fake = Arc::new(Fake::default());
    let pipeline = start(&fake, 1);
    let mut taken = 0;
    // One may be running and one waits; the third at the latest is refused.
    while let Ok(place) = pipeline.reserve() {
        place.enter(&format!("u{taken}"));
        taken += 1;
        assert!(taken < 4);
    }
    assert_eq!(pipeline.reserve().unwrap_err(), Refused::Full);
    fake.open();
    assert!(pipeline.drain(LONG).await);
    assert_eq!(fake.seen().len(), taken);
}

#[tokio::test]
async fn a_build_that_is_complete_many_times_is_looked_at_once() {
    let fake = Arc::new(Fake::default());
    let pipeline = start(&fake, 8);
    pipeline.reserve().unwrap().enter("a");
    until(|| *fake.looks.lock().unwrap() == 1).await;
    for _ in 0..3 {
        pipeline.reserve().unwrap().enter("a");
    }
    fake.open();
    assert!(pipeline.drain(LONG).await);
    assert_eq!(fake.seen(), ["a unmatched of 1"]);
}

#[tokio::test]
async fn a_log_that_comes_while_the_build_is_looked_at_is_not_lost() {
    let fake = Arc::new(Fake::default());
    let pipeline = start(&fake, 8);
    pipeline.reserve().unwrap().enter("a");
    until(|| *fake.looks.lock().unwrap() == 1).await;
    // The worker has taken its job; nobody tells the queue of the change.
    fake.change("a");
    fake.open();
    assert!(pipeline.drain(LONG).await);
    assert_eq!(
        fake.seen(),
        ["a unmatched of 2"],
        "no verdict of the old logs"
    );
    assert_eq!(*fake.looks.lock().unwrap(), 2);
}

#[tokio::test]
async fn a_change_that_finds_no_place_is_picked_up_later() {
    let fake = Arc::new(Fake::default());
    let pipeline = start(&fake, 1);
    pipeline.reserve().unwrap().enter("a");
    until(|| *fake.looks.lock().unwrap() == 1).await;
    let place = pipeline.reserve().unwrap();
    fake.pending.lock().unwrap().push("late".into());
    pipeline.nudge("late");
    drop(place);
    fake.open();
    until(|| fake.seen().len() == 2).await;
    assert!(pipeline.drain(LONG).await);
    assert_eq!(fake.seen(), ["a unmatched of 1", "late unmatched of 1"]);
}

#[tokio::test]
async fn what_another_process_has_is_left_to_it() {
    let fake = Arc::new(Fake::default());
    fake.others.lock().unwrap().push("theirs".into());
    fake.open();
    let pipeline = start(&fake, 8);
    for uuid in ["theirs", "ours"] {
        pipeline.reserve().unwrap().enter(uuid);
    }
    assert!(pipeline.drain(LONG).await);
    assert_eq!(fake.seen(), ["ours unmatched of 1"]);
    assert_eq!(*fake.looks.lock().unwrap(), 1);
}

#[tokio::test]
async fn an_earlier_runs_builds_are_picked_up() {
    let fake = Arc::new(Fake::default());
    fake.pending.lock().unwrap().push("old".into());
    fake.open();
    let pipeline = start(&fake, 1);
    until(|| !fake.seen().is_empty()).await;
    assert!(pipeline.drain(LONG).await);
    assert_eq!(fake.seen(), ["old unmatched of 1"]);
}

#[tokio::test]
async fn a_stored_build_is_looked_at_again_when_asked() {
    let fake = Arc::new(Fake::default());
    fake.open();
    let pipeline = Arc::new(start(&fake, 1));
    for _ in 0..2 {
        let pipeline = pipeline.clone();
        let again = tokio::task::spawn_blocking(move || pipeline.look_again("a"));
        assert!(again.await.unwrap());
    }
    assert!(pipeline.drain(LONG).await);
    assert_eq!(fake.seen(), ["a unmatched of 1", "a unmatched of 1"]);
}

#[tokio::test]
async fn a_verdict_that_could_not_be_kept_comes_soon_after() {
    let fake = Arc::new(Fake::default());
    *fake.ill.lock().unwrap() = 2;
    fake.open();
    let pipeline = start(&fake, 5);
    let begun = Instant::now();
    pipeline.reserve().unwrap().enter("a");
    until(|| !fake.seen().is_empty()).await;
    assert!(begun.elapsed() < SWEEP / 2, "{:?}", begun.elapsed());
    assert_eq!(fake.seen(), ["a unmatched of 1"]);
}
