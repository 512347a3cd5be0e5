//! Builds one artifact and prints where it lies: `build_artifact bundle|tiny|debian`.

use anyhow::{Result, bail};
use suigen_e2e::artifact::{bundle, cache::Cache};

fn main() -> Result<()> {
    let cache = Cache::open()?;
    let what = std::env::args().nth(1).unwrap_or_default();
    let path = match what.as_str() {
        "bundle" => bundle::ensure(&cache)?,
        _ => bail!("which artifact? bundle"),
    };
    println!("{}", path.display());
    Ok(())
}
