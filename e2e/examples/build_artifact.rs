//! Builds one artifact and prints where it lies: `build_artifact bundle|tiny|debian`.

use anyhow::{Result, bail};
use suigen_e2e::artifact::{bundle, cache::Cache, guest_debian, guest_tiny};

fn main() -> Result<()> {
    let cache = Cache::open()?;
    let what = std::env::args().nth(1).unwrap_or_default();
    let path = match what.as_str() {
        "bundle" => bundle::ensure(&cache)?,
        "tiny" => guest_tiny::ensure(&cache)?,
        "debian" => guest_debian::ensure(&cache)?,
        _ => bail!("which artifact? bundle, tiny, debian"),
    };
    println!("{}", path.display());
    Ok(())
}
