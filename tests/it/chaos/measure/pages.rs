//! What was measured, on the service's pages and in its data.

use crate::chaos::Place;
use crate::serve::program::Home;
use serde_json::Value;
use std::path::Path;

#[test]
fn fingerprints_show_what_was_measured_of_them() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let place = Place::new();
    let (fixtures, queries) = (root.join("fixtures"), root.join("queries"));
    let (fixtures, queries) = (fixtures.to_str().unwrap(), queries.to_str().unwrap());
    place.chaos(&["import", fixtures, "--queries", queries, "--out", "o"]);
    let home = Home::new("");
    home.rule("port-taken", "message:\"address already in use\"");
    home.rule("other", "message:\"something else\"");
    let file = home.dir.path().join("measured.json");
    home.configure(&format!("report: {{measured: {}}}\n", file.display()));
    let program = home.start();
    // The file that is named is not there yet: pages go on without it, and its own page says so.
    let words = "measured: recall 1.00 (7 of 7), precision 1.00 (7 of 7)";
    assert!(!program.get("/bugs").contains("measured: recall"));
    let page = program.get("/measured");
    assert!(
        page.contains("The measurement cannot be read") && page.contains("measured.json"),
        "{page}"
    );
    std::fs::copy(place.path("o/report.json"), &file).unwrap();
    assert!(program.get("/bugs").contains(words));
    assert!(program.get("/bugs/port-taken").contains(words));
    assert!(!program.get("/bugs/other").contains("measured: recall"));
    let page = program.get("/measured");
    for part in [
        "aria-current=\"page\">Measured",
        "<svg",
        "◆ 7",
        "href=\"/bugs/port-taken\"",
        "Cause against fingerprint",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!page.contains("style="), "pages allow no style in elements");
    let data: Value = serde_json::from_str(&program.get("/api/v1/fingerprints")).unwrap();
    let rules = data["fingerprints"].as_array().unwrap();
    let rule = |id: &str| rules.iter().find(|rule| rule["id"] == id).unwrap();
    assert_eq!(rule("port-taken")["measured"]["recall"]["of"], 7);
    assert_eq!(rule("port-taken")["measured"]["text"], words);
    assert!(rule("other").get("measured").is_none());
    let data: Value = serde_json::from_str(&program.get("/api/v1/measured")).unwrap();
    assert_eq!(data["totals"]["runs"], 103);
    // A new measurement counts without a restart.
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(
        &file,
        text.replace(
            "\"title\": \"fixtures\"",
            "\"title\": \"<b>newer & longer</b>\"",
        ),
    )
    .unwrap();
    let page = program.get("/measured");
    assert!(page.contains("&#60;b&#62;newer &#38; longer"), "{page}");
}

#[test]
fn without_a_measurement_the_page_says_how_to_make_one() {
    let home = Home::new("");
    home.rule("boom", "message:boom");
    let program = home.start();
    let page = program.get("/measured");
    assert!(
        page.contains("whorl chaos measure PLAN.yaml") && !page.contains("cannot be read"),
        "{page}"
    );
}
