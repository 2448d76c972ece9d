//! `pvq kvm`: a short comparison in real virtual machines.

mod binary;

use std::fs;
use std::path::Path;

use pvqspin_real_time::skipped::skipped;

#[test]
fn a_short_comparison_leaves_results_of_the_driver_kvm() {
    let folder = tempfile::tempdir().expect("a folder");
    let json = folder.path().join("kvm.json");
    // Where the sources are: the guest is built from them.
    let output = binary::command(Path::new("."), &["kvm", "--lock", "fifo,unfair-hinted"])
        .args(["--overcommit", "2", "--inside", "1us", "--outside", "2us"])
        .args([
            "--duration",
            "50ms",
            "--repeats",
            "1",
            "--watchdog",
            "30s",
            "--json",
        ])
        .arg(&json)
        .output()
        .expect("the binary starts");
    let (text, errors) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    // No /dev/kvm, or one that is not for us: said, with the exit code of what cannot be done.
    if output.status.code() == Some(2) && errors.contains("/dev/kvm") {
        skipped("kvm", &errors);
        return;
    }
    assert!(output.status.success(), "{errors}{text}");
    // What was found and chosen is always told.
    for told in ["code at CPL 0:", "port exit", "chosen   doorbell at CPL"] {
        assert!(text.contains(told), "no '{told}' in: {text}");
    }
    let report = fs::read_to_string(&json).expect("written");
    let report: serde_json::Value = serde_json::from_str(&report).expect("JSON");
    assert_eq!(report["driver"], "kvm");
    assert_eq!(report["complete"], true);
    let results = report["results"].as_array().expect("a list");
    assert_eq!(results.len(), 2);
    for result in results {
        assert!(result["acquisitions"].as_u64() > Some(0), "{result}");
        assert_eq!(result["exclusion_violations"], 0);
        assert_eq!(result["halt_timeouts"], 0);
    }
}
