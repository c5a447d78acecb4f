//! The example everybody begins with: a service whose file is moved away.

use super::{Place, Ran, beside, until};
use std::fs;
use std::process::{Child, Command};

/// A service that ends with its test.
struct Service {
    child: Child,
    address: String,
}

impl Service {
    fn start(place: &Place, kind: &str) -> Self {
        let child = Command::new("python3")
            .arg(beside("example/service.py"))
            .args([kind, "exchange.dat", "port"])
            .current_dir(place.folder.path())
            .spawn()
            .unwrap();
        until("the service", || place.path("port").exists());
        let address = format!("http://127.0.0.1:{}", place.read("port"));
        Self { child, address }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn experiment(place: &Place, kind: &str) -> Ran {
    let service = Service::start(place, kind);
    fs::copy(
        beside("example/experiment.yaml"),
        place.path("experiment.yaml"),
    )
    .unwrap();
    let variable = format!("service={}", service.address);
    place.chaos(&[
        "run",
        "--var",
        &variable,
        "--result",
        "result.json",
        "experiment.yaml",
    ])
}

#[test]
fn the_naive_service_deviates() {
    let place = Place::new();
    let ran = experiment(&place, "naive");
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(
        ran.err.contains("a weakness may have been discovered"),
        "{}",
        ran.err
    );
    let journal = place.json("journal.json");
    assert_eq!(
        journal["steady_states"]["before"]["probes"][0]["output"]["status"],
        200
    );
    assert_eq!(
        journal["steady_states"]["after"]["probes"][0]["output"]["status"],
        500
    );
    assert_eq!(place.json("result.json")["outcome"], "deviated");
    assert!(place.path("exchange.dat").exists(), "the file is back");
}

#[test]
fn the_resilient_service_completes() {
    let place = Place::new();
    let ran = experiment(&place, "resilient");
    assert_eq!(ran.code, 0, "{}", ran.err);
    let after = &place.json("journal.json")["steady_states"]["after"]["probes"][0]["output"];
    assert_eq!(after["status"], 503);
    assert_eq!(after["headers"]["Content-Type"], "text/plain");
    assert_eq!(place.json("result.json")["outcome"], "passed");
    assert!(place.path("exchange.dat").exists(), "the file is back");
}
