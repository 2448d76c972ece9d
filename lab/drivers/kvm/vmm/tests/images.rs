//! Images that are not the right one: refused before anything runs, with what would be right.

use std::fs;
use std::path::PathBuf;

use pvqspin_kvm::{Image, ImageProblem};
use pvqspin_kvm_boot::Header;
use pvqspin_kvm_boot::header::MAGIC;

/// The image of the source tree, changed where its header lies.
fn changed(at: usize, byte: u8) -> (tempfile::TempDir, PathBuf) {
    let image = pvqspin_guest_image::up_to_date(|| eprintln!("building the guest image"));
    let mut bytes = fs::read(image.expect("cargo is there, it runs this test")).expect("readable");
    let header = bytes
        .windows(MAGIC.len())
        .position(|window| window == MAGIC)
        .expect("the header is in the file");
    bytes[header + at] = byte;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("changed");
    fs::write(&path, bytes).expect("written");
    (folder, path)
}

#[test]
fn an_image_as_it_is_built_is_accepted() {
    let (_folder, path) = changed(0, MAGIC[0]);
    Image::open(&path).expect("nothing was changed");
}

#[test]
fn an_image_of_another_version_is_refused_with_both_versions() {
    let (_folder, path) = changed(Header::BYTES - 16, b'9');
    let problem = Image::open(&path).expect_err("version 9 of something");
    assert!(
        matches!(problem, ImageProblem::OtherVersion { .. }),
        "{problem}"
    );
    let text = problem.to_string();
    assert!(
        text.contains("is of version 9") && text.contains("cargo xtask guest"),
        "{text}"
    );
}

#[test]
fn an_image_of_another_layout_or_of_somebody_else_is_refused() {
    let (_folder, path) = changed(MAGIC.len(), 0xff);
    let problem = Image::open(&path).expect_err("another layout");
    assert!(matches!(problem, ImageProblem::OtherLayout(_)), "{problem}");
    let (_folder, path) = changed(0, b'x');
    let problem = Image::open(&path).expect_err("another magic");
    assert!(matches!(problem, ImageProblem::Foreign(_)), "{problem}");
}

#[test]
fn what_is_no_program_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = folder.path().join("text");
    fs::write(&text, "not a program").expect("written");
    for path in [text, folder.path().to_owned()] {
        let problem = Image::open(&path).expect_err("no program");
        assert!(matches!(problem, ImageProblem::NoProgram(..)), "{problem}");
    }
    let missing = Image::open(&folder.path().join("missing")).expect_err("not there");
    assert!(matches!(missing, ImageProblem::Unreadable(..)), "{missing}");
}
