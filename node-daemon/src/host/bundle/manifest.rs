//! `MANIFEST`: the list of everything in a bundle but itself. One line an
//! entry, sorted by path: `f <octal mode> <sha256> <path>`, `l <target> <path>`
//! or `d <octal mode> <path>`.

use std::path::{Component, Path};

/// All entries, a directory before what is in it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) entries: Vec<Entry>,
}

/// One entry; the path is relative and stays below the bundle.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) path: String,
    pub(super) kind: Kind,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File { mode: u32, sha256: String },
    Link { target: String },
    Directory { mode: u32 },
}

impl Manifest {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut entries: Vec<Entry> = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let entry = parse_line(line)
                .ok_or_else(|| format!("line {} of its MANIFEST: {line:?}", index + 1))?;
            if entries.last().is_some_and(|last| last.path >= entry.path) {
                return Err(format!("line {} of its MANIFEST is out of order", index + 1));
            }
            entries.push(entry);
        }
        Ok(Self { entries })
    }
}

fn parse_line(line: &str) -> Option<Entry> {
    let fields: Vec<&str> = line.split(' ').collect();
    let (kind, path) = match fields[..] {
        ["f", mode, sha256, path] => {
            (Kind::File { mode: parse_mode(mode)?, sha256: sha256.to_owned() }, path)
        }
        ["l", target, path] => (Kind::Link { target: target.to_owned() }, path),
        ["d", mode, path] => (Kind::Directory { mode: parse_mode(mode)? }, path),
        _ => return None,
    };
    let below = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
    (below && !path.is_empty()).then(|| Entry { path: path.to_owned(), kind })
}

/// Set-user-id and set-group-id bits have no business in a bundle.
fn parse_mode(text: &str) -> Option<u32> {
    u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o1777)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_entry_is_read() {
        let text = "d 755 a\nf 644 00ff a/f\nl a/f b\n";
        let entries = Manifest::parse(text).unwrap().entries;
        assert_eq!(entries[0].kind, Kind::Directory { mode: 0o755 });
        assert_eq!(entries[1].kind, Kind::File { mode: 0o644, sha256: "00ff".into() });
        assert_eq!(
            entries[2],
            Entry { path: "b".into(), kind: Kind::Link { target: "a/f".into() } }
        );
    }

    #[test]
    fn a_path_cannot_climb_out_and_a_file_cannot_gain_rights() {
        for bad in
            ["d 755 ../a", "d 755 /a", "d 755 ", "f 4755 00 su", "x a b", "l a", "d 755 b\nd 755 a"]
        {
            assert!(Manifest::parse(bad).is_err(), "{bad:?}");
        }
    }
}
