//! The page and the metrics that say how the sources are.

use super::program::{Home, until};

#[test]
fn what_sources_hear_is_on_a_page_and_in_the_metrics() {
    let home = Home::new("");
    let folder = home.dir.path().join("drop");
    std::fs::create_dir(&folder).unwrap();
    home.configure(&format!(
        "sources:
  folder: [{{name: drop, path: {}, every: 1s}}]
  gerrit:
    - {{name: review, host: 127.0.0.1, port: 1, user: whorl, accounts: [ci]}}
",
        folder.display()
    ));
    let one = folder.join("b1");
    std::fs::create_dir(&one).unwrap();
    std::fs::write(one.join("job-output.txt"), "it went boom\n").unwrap();
    std::fs::write(
        one.join("build.json"),
        "{\"uuid\":\"b1\",\"job\":\"unit\",\"result\":\"FAILURE\"}",
    )
    .unwrap();
    std::fs::write(one.join("complete"), "").unwrap();
    let program = home.start();
    let page = until("both are on the page", || {
        let page = program.get("/status");
        let folder = page.contains("<td>drop</td><td><strong class=\"good\">hears since");
        let gerrit = page.contains("<td>review</td><td><strong class=\"bad\">does not hear since");
        (folder && gerrit).then_some(page)
    });
    assert!(page.contains("aria-current=\"page\">Status"), "{page}");
    let heard = "whorl_source_builds_total{source=\"drop\"} 1";
    let metrics = until("the build is counted", || {
        Some(program.get("/metrics")).filter(|metrics| metrics.contains(heard))
    });
    assert!(
        !metrics.contains("whorl_source_silent_seconds{source=\"review\"}"),
        "{metrics}"
    );
    for wanted in [
        "whorl_source_connected{source=\"drop\"} 1",
        "whorl_source_connected{source=\"review\"} 0",
        "whorl_source_not_understood_total{source=\"review\"} 0",
        "whorl_source_last_event_timestamp_seconds{source=\"drop\"}",
        "whorl_log_fetches{state=\"due\"}",
        "whorl_log_fetches_incomplete 0",
    ] {
        assert!(metrics.contains(wanted), "{wanted}: {metrics}");
    }
}
