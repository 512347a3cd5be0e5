//! Builds one artifact and prints where it lies: `build_artifact bundle|tiny|debian`.

use anyhow::{Result, bail};
use suigen_e2e::artifact::{bundle, cache::Cache, guest_tiny};

fn main() -> Result<()> {
    let cache = Cache::open()?;
    let what = std::env::args().nth(1).unwrap_or_default();
    let path = match what.as_str() {
        "bundle" => bundle::ensure(&cache)?,
        "tiny" => guest_tiny::ensure(&cache)?,
        _ => bail!("which artifact? bundle, tiny"),
    };
    println!("{}", path.display());
    Ok(())
}
