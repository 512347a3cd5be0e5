//! The subset of Containerfiles that the charts' images are written in:
//! `FROM`, `COPY --from=`, `ENTRYPOINT`, `USER`, `ENV`, `LABEL`.
//!
//! Any other instruction is an error: an image must never be built from half
//! of its recipe.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

/// A parsed Containerfile.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Containerfile {
    /// The base image's name.
    pub from: String,
    /// What is copied, in order; each makes a layer.
    pub copies: Vec<Copy>,
    /// The program and its first arguments.
    pub entrypoint: Vec<String>,
    /// The user to run as, if not root.
    pub user: Option<String>,
    /// Environment variables as `NAME=value`.
    pub env: Vec<String>,
    /// Labels of the image.
    pub labels: BTreeMap<String, String>,
}

/// `COPY --from=<context> <source> <destination>`.
#[derive(Debug, PartialEq, Eq)]
pub struct Copy {
    /// The named build context that the source is looked up in.
    pub context: String,
    /// Path in the context; `.` is all of it.
    pub source: String,
    /// Absolute path in the image; with a trailing `/` a directory to copy into.
    pub destination: String,
}

/// Reads a Containerfile; an error names its line.
pub fn parse(text: &str) -> Result<Containerfile> {
    let mut file = Containerfile::default();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        instruction(&mut file, line).with_context(|| format!("line {}: {line}", index + 1))?;
    }
    if file.from.is_empty() {
        bail!("no FROM");
    }
    Ok(file)
}

fn instruction(file: &mut Containerfile, line: &str) -> Result<()> {
    let (verb, rest) = line.split_once(char::is_whitespace).context("an instruction alone")?;
    let rest = rest.trim();
    match verb {
        "FROM" if file.from.is_empty() => rest.clone_into(&mut file.from),
        "FROM" => bail!("only one stage is supported"),
        "COPY" => file.copies.push(copy(rest)?),
        "ENTRYPOINT" => {
            file.entrypoint = serde_json::from_str(rest).context("expected a JSON array")?;
        }
        "USER" => file.user = Some(rest.to_owned()),
        "ENV" => {
            let (name, value) = assignment(rest)?;
            file.env.push(format!("{name}={value}"));
        }
        "LABEL" => {
            let (name, value) = assignment(rest)?;
            file.labels.insert(name, value);
        }
        _ => bail!("unsupported instruction"),
    }
    Ok(())
}

fn copy(rest: &str) -> Result<Copy> {
    let words: Vec<&str> = rest.split_whitespace().collect();
    let [from, source, destination] = words[..] else {
        bail!("expected COPY --from=<context> <source> <destination>");
    };
    let context = from.strip_prefix("--from=").context("COPY needs --from=<context>")?;
    if !destination.starts_with('/') {
        bail!("the destination must be absolute");
    }
    Ok(Copy {
        context: context.to_owned(),
        source: source.to_owned(),
        destination: destination.to_owned(),
    })
}

fn assignment(rest: &str) -> Result<(String, String)> {
    let (name, value) = rest.split_once('=').context("expected NAME=value")?;
    Ok((name.to_owned(), value.trim_matches('"').to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_charts_use() {
        let text = r#"
            # why
            FROM debian:trixie-slim
            LABEL org.opencontainers.image.title="suigen operator"
            ENV RUST_BACKTRACE=1
            COPY --from=build operator /usr/bin/operator
            USER 65532:65532
            ENTRYPOINT ["/usr/bin/operator", "run"]
        "#;
        let file = parse(text).unwrap();
        assert_eq!(file.from, "debian:trixie-slim");
        assert_eq!(
            file.copies,
            [Copy {
                context: "build".into(),
                source: "operator".into(),
                destination: "/usr/bin/operator".into()
            }]
        );
        assert_eq!(file.entrypoint, ["/usr/bin/operator", "run"]);
        assert_eq!(file.user.as_deref(), Some("65532:65532"));
        assert_eq!(file.env, ["RUST_BACKTRACE=1"]);
        assert_eq!(file.labels["org.opencontainers.image.title"], "suigen operator");
    }

    #[test]
    fn refuses_what_it_does_not_understand() {
        for (text, why) in [
            ("FROM a\nRUN true", "line 2: RUN true"),
            ("FROM a\nFROM b", "only one stage"),
            ("FROM a\nCOPY x /y", "expected COPY"),
            ("FROM a\nCOPY --from=b x y", "absolute"),
            ("FROM a\nENTRYPOINT sh -c true", "JSON array"),
            ("USER 1", "no FROM"),
        ] {
            let error = format!("{:#}", parse(text).unwrap_err());
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
