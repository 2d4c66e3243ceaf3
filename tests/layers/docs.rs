//! Documents lead to what is there: every relative link of a document, and every test that the threat model names.

use std::path::{Path, PathBuf};

use super::root;

/// Documents of the project, from its top.
fn documents() -> Vec<PathBuf> {
    let in_folder = |folder: PathBuf| {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect::<Vec<_>>()
    };
    [in_folder(root()), in_folder(root().join("docs"))].concat()
}

/// Targets of `[text](target)`, without code blocks.
fn links(text: &str) -> Vec<String> {
    let mut fenced = false;
    let prose = text.lines().filter(|line| {
        fenced ^= line.starts_with("```");
        !fenced && !line.starts_with("    ")
    });
    let prose = prose.collect::<Vec<_>>().join("\n");
    let targets = prose.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0.to_owned()));
    targets.filter(|target| !target.starts_with("http") && !target.starts_with("mailto:")).collect()
}

/// How a heading is named in a link, as GitHub does it.
fn anchors(text: &str) -> Vec<String> {
    let headings =
        text.lines().filter_map(|line| Some(line.strip_prefix('#')?.trim_start_matches('#').trim()));
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    headings
        .map(|heading| heading.to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-"))
        .collect()
}

fn broken(document: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(document).unwrap();
    let folder = document.parent().unwrap();
    let leads_nowhere = |target: &String| {
        let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
        let file = if path.is_empty() { document.to_owned() } else { folder.join(path) };
        if !file.exists() {
            return true;
        }
        !anchor.is_empty() && !anchors(&std::fs::read_to_string(&file).unwrap()).contains(&anchor.to_owned())
    };
    let broken = links(&text).into_iter().filter(leads_nowhere);
    broken.map(|target| format!("{}: {target}", document.display())).collect()
}

#[test]
fn links_lead_somewhere() {
    let found: Vec<String> = documents().iter().flat_map(|document| broken(document)).collect();
    assert!(found.is_empty(), "{found:#?}");
    assert!(documents().len() > 10);
}

#[test]
fn a_link_that_leads_nowhere_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let document = folder.path().join("a.md");
    std::fs::write(&document, "# A `b`-c\n[x](#a-b-c) [y](gone.md) [z](#gone) [w](https://x)\n").unwrap();
    assert_eq!(broken(&document).len(), 2, "{:?}", broken(&document));
}

#[test]
fn tests_that_the_threat_model_names_are_there() {
    let text = std::fs::read_to_string(root().join("docs/threat-model.md")).unwrap();
    let mut missing = Vec::new();
    let mut named = 0;
    for cell in text.lines().filter(|line| line.starts_with('|')).filter_map(|line| line.rsplit('|').nth(1)) {
        let mut file = String::new();
        for code in cell.split('`').skip(1).step_by(2) {
            if code.ends_with(".rs") {
                file = std::fs::read_to_string(root().join(code)).unwrap_or_default();
                missing.extend(file.is_empty().then(|| code.to_owned()));
            } else if !file.is_empty() && code.contains('_') {
                named += 1;
                missing.extend((!file.contains(&format!("fn {code}("))).then(|| code.to_owned()));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:?}");
    assert!(named > 20, "{named}");
}
